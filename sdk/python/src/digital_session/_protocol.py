"""The client's side of the wire protocol as a state machine: no socket, no clock, no randomness.

Inputs are methods: what the socket did (`opened`, `received`, `closed`), what the application wants (`start`, `subscribe`,
`handled`, `beat`, `close` …) and time (`tick`, due at `deadline`). Each answers the effects that the shell has to carry out, in
order. ``now`` is in seconds of any clock that never goes back; ``jitter`` is a number from 0 to 1.

A shell opens a connection for each `Dial`, calls `opened`, then `received` for each message, then `closed`: exactly once for
each `Dial`, also when no connection came about.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from digital_session import errors
from digital_session._backoff import Policy, full_jitter
from digital_session._effects import (
    Abort,
    Dial,
    Effect,
    Ended,
    FlagsChanged,
    HangUp,
    RenewToken,
    Send,
    State,
    StateChanged,
    Trouble,
)
from digital_session._loss import Again, Loss, Never, judge
from digital_session._track import Track
from digital_session._tracks import Tracks

CONNECT_WITHIN_S = 10.0
SUSPENDED_AFTER_S = 120.0
SUSPENDED_CAP_S = 60.0
# A connection that lasted this long was a good one: the next back-off begins from the start.
STABLE_AFTER_S = 10.0
RENEW_BEFORE_S = 90.0
ACKNOWLEDGE_AFTER_S = 0.2
# A token refused this often in a row is not going to be accepted.
REFUSALS_MAX = 3

START, CONNECTED, LOST, SLOW, GIVE_UP, CLOSE = "start", "connected", "lost", "slow", "give_up", "close"

# An absent key is an input that changes nothing.
TRANSITIONS: Mapping[tuple[State, str], State] = {
    (State.IDLE, START): State.CONNECTING,
    (State.CONNECTING, CONNECTED): State.CONNECTED,
    (State.CONNECTING, LOST): State.RECONNECTING,
    (State.CONNECTED, LOST): State.RECONNECTING,
    (State.RECONNECTING, CONNECTED): State.CONNECTED,
    (State.RECONNECTING, SLOW): State.SUSPENDED,
    (State.SUSPENDED, CONNECTED): State.CONNECTED,
    **{(state, GIVE_UP): State.FAILED for state in State if state not in (State.CLOSED, State.FAILED)},
    **{(state, CLOSE): State.CLOSED for state in State if state is not State.CLOSED},
}
_FINAL = (State.CLOSED, State.FAILED)


@dataclass(slots=True)
class _Link:
    """One open socket: from `opened` to `closed`."""

    token: str
    opened_at: float
    opened_wall: datetime
    connected_at: float | None = None
    heard_at: float = 0.0
    heartbeat_s: float = 0.0
    beat_at: float = 0.0
    renew_at: float | None = None
    acknowledge_at: float | None = None
    dropped: bool = False
    goodbye_s: float | None = None
    fatal: Mapping[str, Any] | None = None


class Protocol:
    """One client's connection and everything it is subscribed to."""

    def __init__(
        self, reconnect: Policy, hello: Mapping[str, Any], *, renewable: bool, in_use: Callable[[], bool] = lambda: True
    ) -> None:
        self.state = State.IDLE
        self.error: errors.DigitalSessionError | None = None
        self.tracks = Tracks()
        # False: there is no network, so an attempt that fails says nothing; a shell makes none.
        self.online = True
        self._in_use = in_use
        self._reconnect = reconnect
        self._hello = hello
        self._renewable = renewable
        self._sessions: dict[str, bool] = {}
        self._link: _Link | None = None
        self._connection_id: str | None = None
        self._lost_at: float | None = None
        self._attempts = 0
        self._step = 0
        self._refusals = 0
        self._flags: Mapping[str, bool] = {}

    # What the application wants.

    def start(self) -> list[Effect]:
        """Connect, if nothing has done so before."""
        if self.state is not State.IDLE:
            return []
        return [*self._move(START), Dial(0.0)]

    def subscribe(self, track: Track) -> tuple[int, list[Effect]]:
        """Take up a subscription: its number, by which everything about it is told."""
        local = self.tracks.add(track)
        return local, [*self.start(), *(self.tracks.ask(local) if self.state is State.CONNECTED else [])]

    def unsubscribe(self, local: int) -> list[Effect]:
        """Give a subscription up; what was delivered of it need not be answered any more."""
        if local not in self.tracks:
            return []
        last_words = self._acknowledge() if self.state is State.CONNECTED else []
        return [*last_words, *self._if_connected(self.tracks.remove(local)), Ended(local)]

    def handled(self, now: float, local: int) -> list[Effect]:
        """The handlers of the oldest envelope of this subscription have finished."""
        if local not in self.tracks:
            return []
        effects = self.tracks.handled(local, connected=self.state is State.CONNECTED)
        self._acknowledge_soon(now)
        return effects

    def beat(self, session_id: str, *, active: bool) -> list[Effect]:
        """Keep this session alive from now on; ``active``: somebody uses it."""
        self._sessions[session_id] = active
        return self.start()

    def rest(self, session_id: str) -> None:
        """Keep this session alive no longer."""
        self._sessions.pop(session_id, None)

    def renewed(self, token: str) -> list[Effect]:
        """The answer to `RenewToken`; the same token again changes nothing."""
        if self._link is None or self._link.connected_at is None or token == self._link.token:
            return []
        self._link.token = token
        return [Send({"type": "refresh", "id": "refresh", "token": token})]

    def close(self) -> list[Effect]:
        """Acknowledge what was handled, hang up, end everything."""
        return [*self._acknowledge(), *self._end(None), *self._hang_up(), *self._move(CLOSE)]

    def give_up(self, error: errors.DigitalSessionError) -> list[Effect]:
        """No connection is to be had: end everything with ``error``."""
        self.error = error
        return [*self.tracks.acknowledgements(), *self._end(error), *self._hang_up(), *self._move(GIVE_UP, error)]

    # What the socket did.

    def opened(self, now: float, token: str, wall: datetime) -> list[Effect]:
        """A socket is open; ``wall`` is the time of day, to which the server's ``expires_at`` relates."""
        self._link = _Link(token, now, wall)
        replaces = {"replaces": self._connection_id} if self._connection_id else {}
        return [Send({"type": "connect", "id": "connect", "token": token, **self._hello, **replaces})]

    def received(self, now: float, message: str | bytes) -> list[Effect]:
        """A message came; what is unknown in it is ignored."""
        if self._link is None or self._link.dropped:
            return []
        self._link.heard_at = now
        try:
            frame = msgspec.json.decode(message)
            answer = _FRAMES.get(frame["type"])
            return answer(self, frame, now) if answer else []
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RecursionError) as error:
            trouble = errors.ProtocolError("The platform sent a frame that makes no sense.", cause=error)
            return [Trouble(trouble), *self._drop()]

    def closed(self, now: float, jitter: float, loss: Loss) -> list[Effect]:
        """The socket is closed, or could not be opened. Answers the next `Dial`, unless it is all over."""
        link, self._link = self._link, None
        if self.state in _FINAL:
            return []
        self.tracks.disconnected()
        fatal, goodbye_s = (link.fatal, link.goodbye_s) if link else (None, None)
        match judge(loss, fatal, goodbye_s):
            case Never(error):
                return self.give_up(error)
            case Again() as again:
                return self._again(now, jitter, link, again)

    # Time.

    @property
    def deadline(self) -> float | None:
        """When `tick` has something to do; None: not before something else happens."""
        link = self._link
        if self.state is State.CLOSED:
            return None
        if link is None:
            slow = self._lost_at is not None and self.state is State.RECONNECTING
            return self._lost_at + SUSPENDED_AFTER_S if slow and self._lost_at is not None else None
        if link.dropped:
            return None
        if link.connected_at is None:
            return link.opened_at + CONNECT_WITHIN_S
        due = (link.heard_at + 2 * link.heartbeat_s, link.beat_at, link.renew_at, link.acknowledge_at, self.tracks.retry_at)
        return min(at for at in due if at is not None)

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return []
        if self._link is None:
            return self._move(SLOW)
        if self._link.connected_at is None or now >= self._link.heard_at + 2 * self._link.heartbeat_s:
            return self._drop()
        return [*self._beat_if_due(now), *self._renew_if_due(now), *self._acknowledge_if_due(now), *self.tracks.due(now)]

    def _beat_if_due(self, now: float) -> list[Effect]:
        link = self._link
        if link is None or now < link.beat_at:
            return []
        link.beat_at = now + link.heartbeat_s
        return [*self._beats(), Send({"type": "ping"})]

    def _renew_if_due(self, now: float) -> list[Effect]:
        link = self._link
        if link is None or link.renew_at is None or now < link.renew_at:
            return []
        link.renew_at = None
        return [RenewToken()]

    def _acknowledge_if_due(self, now: float) -> list[Effect]:
        link = self._link
        if link is None or link.acknowledge_at is None or now < link.acknowledge_at:
            return []
        link.acknowledge_at = None
        return self._acknowledge()

    # Frames.

    def _connected(self, frame: Mapping[str, Any], now: float) -> list[Effect]:
        link = self._link
        if link is None or link.connected_at is not None:
            return []
        self._connection_id = frame["connection_id"]
        link.connected_at = now
        link.heartbeat_s = max(1.0, float(frame["heartbeat_seconds"]))
        link.beat_at = now + link.heartbeat_s
        self._plan_renewal(link, now, frame["expires_at"])
        self._lost_at, self._attempts, self._refusals = None, 0, 0
        self._acknowledge_soon(now)
        return [*self._move(CONNECTED), *self._flags_now(frame["flags"]), *self.tracks.connected(), *self._beats()]

    def _plan_renewal(self, link: _Link, now: float, expires_at: str) -> None:
        if not self._renewable:
            return
        lifetime_s = (datetime.fromisoformat(expires_at) - link.opened_wall).total_seconds() - (now - link.opened_at)
        link.renew_at = now + max(lifetime_s - RENEW_BEFORE_S, lifetime_s / 2)

    def _caught_up(self, frame: Mapping[str, Any], now: float) -> list[Effect]:
        # A replay held the acknowledgements of its timeline back.
        self._acknowledge_soon(now)
        return self.tracks.caught_up(frame)

    def _refreshed(self, frame: Mapping[str, Any], now: float) -> list[Effect]:
        if self._link is not None:
            self._plan_renewal(self._link, now, frame["expires_at"])
        return []

    def _goodbye(self, frame: Mapping[str, Any], _now: float) -> list[Effect]:
        if self._link is not None:
            self._link.goodbye_s = max(0.0, frame["reconnect_after_ms"] / 1000)
        return []

    def _error(self, frame: Mapping[str, Any], now: float) -> list[Effect]:
        if frame["fatal"] and self._link is not None:
            self._link.fatal = frame
            return []
        if frame["code"] == "token_expiring" and self._renewable:
            return [RenewToken()]
        refused = self.tracks.refused(frame, now)
        return [Trouble(errors.from_frame(frame))] if refused is None else refused

    def _flags_now(self, flags: Mapping[str, bool]) -> list[Effect]:
        if flags == self._flags:
            return []
        self._flags = flags
        return [FlagsChanged(flags)]

    # Parts.

    def _again(self, now: float, jitter: float, link: _Link | None, again: Again) -> list[Effect]:
        served = link is not None and link.connected_at is not None
        self._attempts += not served and self.online
        self._refusals += again.other_token
        if link is not None and link.connected_at is not None and now >= link.connected_at + STABLE_AFTER_S:
            self._step = 0
        if self._hopeless(again):
            return self.give_up(again.error)
        if self._lost_at is None:
            self._lost_at = now
        drawn_s = (
            full_jitter(self._step, jitter, base_s=self._reconnect.base_s, cap_s=SUSPENDED_CAP_S)
            if self.state is State.SUSPENDED
            else self._reconnect.wait_s(self._step, jitter)
        )
        self._step += self.online
        delay_s = again.wait_s if again.wait_s is not None else max(again.at_least_s, drawn_s)
        refused = link.token if again.other_token and link is not None else None
        return [*self._move(LOST, again.error), Dial(delay_s, refused)]

    def _hopeless(self, again: Again) -> bool:
        if again.other_token and (not self._renewable or self._refusals >= REFUSALS_MAX):
            return True
        limit = self._reconnect.max_attempts
        return not self._reconnect.enabled or (limit is not None and self._attempts >= limit)

    def _move(self, event: str, error: errors.DigitalSessionError | None = None) -> list[Effect]:
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            return []
        self.state = following
        return [StateChanged(following, error)]

    def _end(self, error: errors.DigitalSessionError | None) -> list[Effect]:
        ended: list[Effect] = [Ended(local, error) for local in self.tracks]
        for local in self.tracks:
            self.tracks.remove(local)
        return ended

    def _hang_up(self) -> list[Effect]:
        return [] if self._link is None else [HangUp()]

    def _drop(self) -> list[Effect]:
        if self._link is not None:
            self._link.dropped = True
        return [Abort()]

    def _beats(self) -> list[Effect]:
        used = self._in_use()
        return [
            Send({"type": "heartbeat", "session_id": name, "active": active and used})
            for name, active in self._sessions.items()
        ]

    def _acknowledge_soon(self, now: float) -> None:
        if self._link is not None and self._link.acknowledge_at is None:
            self._link.acknowledge_at = now + ACKNOWLEDGE_AFTER_S

    def _acknowledge(self) -> list[Effect]:
        reached = self.tracks.acknowledgements()
        if not reached:
            return []
        return [*self._if_connected([Send({"type": "ack", "cursors": [each.cursor for each in reached]})]), *reached]

    def _if_connected(self, effects: list[Effect]) -> list[Effect]:
        return effects if self.state is State.CONNECTED else []


# A frame of any other type is ignored; "pong" only shows that somebody is there.
_FRAMES: Mapping[str, Callable[[Protocol, Mapping[str, Any], float], list[Effect]]] = {
    "connected": Protocol._connected,
    "subscribed": lambda self, frame, _: self.tracks.subscribed(frame),
    "event": lambda self, frame, _: self.tracks.event(frame),
    "caught_up": Protocol._caught_up,
    "position": lambda self, frame, _: self.tracks.position(frame),
    "reset": lambda self, frame, _: self.tracks.reset(frame),
    "unsubscribed": lambda self, frame, _: self.tracks.unsubscribed(frame),
    "refreshed": Protocol._refreshed,
    "flags": lambda self, frame, _: self._flags_now(frame["flags"]),
    "goodbye": Protocol._goodbye,
    "error": Protocol._error,
}
