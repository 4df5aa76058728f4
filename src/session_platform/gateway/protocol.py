"""One connection's protocol, without I/O: inputs change its state and leave outputs for `take`. Pure.

Laws of this module:

* Client frames are handled in the order in which they came. While one waits for the world (`resolve`), the later ones wait.
* Events are pulled, never pushed: `wake` only notes that there may be some, `pull` reads on from the subscriptions' positions.
  A connection that cannot be written to is not pulled, so nothing of it can overflow.
* Every close in the 44xx range follows an ``error`` with ``fatal`` true. After a `Close` nothing is put out and nothing
  changes.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from session_platform.access import Identity, StaffIdentity
from session_platform.access.policy import Standing
from session_platform.contract import SealedEphemeral
from session_platform.errors import ConnectTimeout, PlatformError, RateLimited, TooSlow, Unauthenticated
from session_platform.gateway import frames
from session_platform.gateway.commands import Commands, Fatal, Phase, Shared
from session_platform.gateway.delivery import Delivery
from session_platform.gateway.effects import Close, FetchPage, Outcome, Output, Recheck, Rechecked, SendPing
from session_platform.gateway.limits import Alarm, Bucket, Watch
from session_platform.gateway.tenure import Reason
from session_platform.gateway.websocket import DRAINING, GOING_AWAY
from session_platform.timeline.window import Entry


class TokenExpiring(PlatformError):
    """A warning, never raised: the connection ends with its token."""

    code = "token_expiring"
    text = "The token expires soon: refresh it, or the connection ends with it."


_ENDS: Final[Mapping[Alarm, type[PlatformError]]] = {
    Alarm.NO_CONNECT: ConnectTimeout,
    Alarm.EXPIRED: Unauthenticated,
    Alarm.STALLED: TooSlow,
}
"""Waits that, once over, end the connection with an error."""


class Connection:
    """The protocol of one connection. Feed it inputs; after each of them do what `take` gives, in that order.

    An input that finds the connection closed does nothing.
    """

    __slots__ = ("_blocked", "_bucket", "_commands", "_delivery", "_out", "_shared", "_waiting", "_waiting_bytes", "_watch")

    def __init__(self, shared: Shared, now: float) -> None:
        self._shared = shared
        self._bucket = Bucket(shared.limits, now)
        self._watch = Watch(shared.limits, now)
        self._delivery = Delivery(shared.limits, shared.windows)
        self._commands = Commands(shared, self._watch, self._delivery)
        self._waiting: list[str | None] = []  # None: a binary message
        self._waiting_bytes = 0
        self._blocked = False
        self._out: list[Output] = []

    @property
    def phase(self) -> Phase:
        return self._commands.phase

    @property
    def identity(self) -> Identity | None:
        """Who is connected."""
        return self._commands.identity

    @property
    def closed(self) -> bool:
        return self._commands.phase is Phase.CLOSED

    @property
    def is_blocked(self) -> bool:
        """Whether nothing can be written to the client for now."""
        return self._blocked

    @property
    def next_at(self) -> float:
        """When `tick` has something to do, if nothing else happens; never later."""
        return min(self._watch.next_at, self._delivery.next_at)

    @property
    def full(self) -> bool:
        """Whether the socket should not be read for now: too much waits to be handled, or the answers would not be taken in."""
        return not self.closed and (self._blocked or self._waiting_bytes >= self._shared.limits.waiting_bytes)

    @property
    def timelines(self) -> tuple[str, ...]:
        """What to stop listening to when the connection is gone."""
        return self._delivery.timelines

    @property
    def subscriptions(self) -> int:
        """How many there are."""
        return len(self._delivery)

    def take(self) -> list[Output]:
        """What is to be done now, in order."""
        out, self._out = self._out, []
        return out

    # --------------------------------------------------------------------------------------------------------- what was heard

    def receive(self, text: str | None, now: float) -> None:
        """A message from the client; None for a binary one."""
        if not self.pinged(now):
            return
        self._waiting.append(text)
        self._waiting_bytes += _weight(text)
        self._work(now)

    def pinged(self, now: float) -> bool:
        """The client's WebSocket library sent a ping, which counts as a frame does; whether to answer it."""
        self.ponged(now)
        if self.closed:
            return False
        if self._bucket.take(self._shared.limits, now):
            return True
        self.end(RateLimited())
        return False

    def ponged(self, now: float) -> None:
        """The client's WebSocket library answered, or sent a pong of its own."""
        self.tick(now)
        self._watch.heard(now)

    def resolve(self, outcome: Outcome, now: float) -> None:
        """What became of the `Asked` effect put out last; the commands behind it go on."""
        self.tick(now)
        if self.closed:
            return
        try:
            self._commands.resolve(outcome, now, self._out)
        except Fatal as fatal:
            self._fail(fatal.problem, fatal.frame_id)
        self._work(now)

    def _work(self, now: float) -> None:
        """Handle what waits, in order, until something has to be asked of the world."""
        while self._waiting and not self._commands.busy and not self.closed:
            text = self._waiting.pop(0)
            self._waiting_bytes -= _weight(text)
            try:
                self._commands.handle(text, self._out)
            except Fatal as fatal:
                self._fail(fatal.problem, fatal.frame_id)
        self._watch.deaf(self.full, now)

    # ----------------------------------------------------------------------------------------------------------------- events

    def wake(self, timeline: str) -> None:
        """Something may have been published there: `pull` soon."""
        self._delivery.wake(timeline)

    def passing(self, timeline: str, event: SealedEphemeral, now: float) -> None:
        """An unnumbered event goes by; it is sent now or never."""
        self.tick(now)
        if not self._blocked and not self.closed:
            self._delivery.passing(timeline, event, self._out, now)

    def pull(self, now: float) -> bool:
        """Put out what the subscriptions have to send, about `Limits.turn_bytes` of it; whether to pull again."""
        self.tick(now)
        return not self._blocked and not self.closed and self._delivery.pull(self._out, now)

    def page(self, fetch: FetchPage, entries: Sequence[Entry]) -> None:
        """The answer to a `FetchPage`: `pull` soon."""
        self._delivery.page(fetch, entries)

    def prefix_lost(self, fetch: FetchPage, head_seq: int, head_cursor: str) -> None:
        """The answer to a `FetchPage` whose page is gone: `pull` soon."""
        self._delivery.lost(fetch, head_seq, head_cursor)

    def page_failed(self, fetch: FetchPage, now: float) -> None:
        """A `FetchPage` that the store could not answer is asked again later."""
        self._delivery.failed(fetch, now)

    # ------------------------------------------------------------------------------------------------------- rights that end

    def right_changed(self, timeline: str, number: int, seq: int | None, now: float) -> None:
        """Change ``number`` of rights may have ended the right to this timeline behind its number ``seq`` (None: nobody knows
        where). Nothing above that is sent until it was looked into; before this call nothing above it could be read."""
        self.tick(now)
        self._recheck(timeline, None if self.closed else self._delivery.doubt(timeline, number, seq))

    def rechecked(self, answer: Rechecked, now: float) -> None:
        """The answer to a `Recheck`: `pull` soon."""
        self.tick(now)
        self._recheck(answer.timeline, None if self.closed else self._delivery.rechecked(answer, now))

    def recheck_failed(self, recheck: Recheck, now: float) -> None:
        """A `Recheck` that the store could not answer is asked again later; until then what is in doubt stays held."""
        self._delivery.failed(recheck, now)

    def rights_unknown(self, now: float) -> None:
        """Nobody knows any more which rights hold: every subscription to somebody else's timeline ends."""
        self.tick(now)
        if not self.closed:
            self._delivery.end(Reason.RIGHTS_UNKNOWN, frozenset(Standing), self._out, now)

    def _recheck(self, timeline: str, as_of: int | None) -> None:
        identity = self.identity
        if as_of is not None and isinstance(identity, StaffIdentity):
            self._out.append(Recheck(identity, timeline, as_of))

    # ------------------------------------------------------------------------------------------------------------ time, the end

    def blocked(self, now: float) -> None:
        """The client takes in nothing for now; call again at every sign that it took in something."""
        self._watch.blocked(now)
        self._watch.deaf(True, now)
        self._delivery.blocked()
        self._blocked = True

    def unblocked(self, now: float) -> None:
        """The client has taken in what there was: `pull` soon."""
        self._blocked = False
        self._watch.unblocked()
        self._watch.deaf(self.full, now)

    def tick(self, now: float) -> None:
        """Do what is due."""
        if now < self.next_at or self.closed:
            return
        for alarm in self._watch.due(now):
            if not self.closed:
                self._react(alarm)
        if not self.closed:
            self._delivery.tick(now, self._out)

    def _react(self, alarm: Alarm) -> None:
        match alarm:
            case Alarm.NO_CONNECT if self._commands.busy:
                pass  # it came in time; what takes long is on this side
            case Alarm.NO_CONNECT | Alarm.EXPIRED | Alarm.STALLED:
                self._fail(_ENDS[alarm]())
            case Alarm.DEAD:
                self._close(GOING_AWAY)
            case Alarm.EXPIRES_SOON:
                self._out.append(frames.error(TokenExpiring(), fatal=False))
            case Alarm.SILENT:
                self._out.append(SendPing())
            case Alarm.POSITIONS_DUE:
                self._tell_positions()

    def _tell_positions(self) -> None:
        if not self._blocked and (positions := self._delivery.positions()):
            self._out.append(frames.encode(frames.Position(positions=positions)))

    def end(self, problem: PlatformError) -> None:
        """End the connection for this reason: `Replaced`, `Revoked`, `RateLimited`…"""
        if not self.closed:
            self._fail(problem)

    def goodbye(self, reason: str, reconnect_after_ms: int) -> None:
        """The server drains: the client should come back elsewhere, or later."""
        if not self.closed:
            self._out.append(frames.encode(frames.Goodbye(reason=reason, reconnect_after_ms=reconnect_after_ms)))
            self._close(DRAINING)

    def hang_up(self, code: int) -> None:
        """Close without an error frame: the client closes, it broke the WebSocket protocol, or something failed here."""
        if not self.closed:
            self._close(code)

    def gone(self) -> None:
        """The client is not there any more."""
        self._commands.phase = Phase.CLOSED
        self._waiting.clear()

    def _fail(self, problem: PlatformError, frame_id: str | None = None) -> None:
        self._out.append(frames.error(problem, fatal=True, frame_id=frame_id))
        self._close(frames.CLOSE_CODES[problem.code])

    def _close(self, code: int) -> None:
        self._out.append(Close(code))
        self.gone()


def _weight(text: str | None) -> int:
    return 0 if text is None else len(text)
