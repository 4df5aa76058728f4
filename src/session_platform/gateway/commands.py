"""What a client asks for, one command at a time: who is connected, and the command that is being worked on. Pure.

A command is answered at once, or it asks the world (`Asked`) and is answered by `resolve`. `_MOVES` is the table of what may be
asked when. What is refused raises: a `PlatformError` is told and the connection stays, a `Fatal` ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple, cast

from session_platform.access import Identity, MemberIdentity, StaffIdentity
from session_platform.access.policy import Deed, Standing, may, role_of
from session_platform.errors import (
    BadRequest,
    DisabledByFlag,
    PlatformError,
    RateLimited,
    Revoked,
    TooManySubscriptions,
    Unauthenticated,
)
from session_platform.gateway import frames
from session_platform.gateway.delivery import Delivery
from session_platform.gateway.effects import (
    Acknowledge,
    Asked,
    Authenticate,
    Enter,
    Entered,
    KeepAlive,
    Locate,
    Located,
    Outcome,
    Output,
    Permit,
    Permitted,
    Recheck,
    Welcome,
)
from session_platform.gateway.frames import answering
from session_platform.gateway.limits import Limits, Watch
from session_platform.gateway.tenure import Reason
from session_platform.timeline.cursor import CursorCodec
from session_platform.timeline.subscription import Filter
from session_platform.timeline.window import Windows

FEATURES: Final = ("ack", "position", "refresh", "replaces", "superseded")


class Phase(Enum):
    """Where a connection is in its life."""

    NEW = "waits for its connect"
    OPEN = "connected"
    CLOSED = "closed: nothing changes any more"


class Shared(NamedTuple):
    """What all connections of a process have in common."""

    limits: Limits
    windows: Windows
    codec: CursorCodec


class Fatal(Exception):
    """The connection ends with ``problem``, in answer to the frame ``frame_id``."""

    def __init__(self, problem: PlatformError, frame_id: str | None = None) -> None:
        super().__init__(problem.code)
        self.problem = problem
        self.frame_id = frame_id


class _Pending(NamedTuple):
    """The command that is being worked on: what was asked of the world for it, and what its answer needs."""

    asked: Asked
    frame_id: str | None
    frame: frames.ClientFrame | BadRequest
    welcome: Welcome | None = None
    permitted: Permitted | None = None
    wanted: Filter | None = None


class Commands:
    """The commands of one connection. Methods append what they cause to ``out`` and may raise `Fatal`."""

    __slots__ = ("_delivery", "_device_id", "_pending", "_shared", "_watch", "identity", "phase")

    def __init__(self, shared: Shared, watch: Watch, delivery: Delivery) -> None:
        self.phase = Phase.NEW
        self._shared = shared
        self._watch = watch
        self._delivery = delivery
        self.identity: Identity | None = None
        self._device_id: str | None = None
        self._pending: _Pending | None = None

    @property
    def busy(self) -> bool:
        """Whether a command waits for the world: the next one must wait for `resolve`."""
        return self._pending is not None

    def handle(self, text: str | None, out: list[Output]) -> None:
        """Take the next message of the client; None for a binary one."""
        if text is None:
            raise Fatal(BadRequest("Frames are JSON text, not binary."))
        try:
            head = frames.head_of(text)
        except frames.NotAFrame:
            raise Fatal(BadRequest("A frame is a JSON object with a type.")) from None
        move = _MOVES.get((self.phase, head.type))
        if move is None:
            raise Fatal(
                BadRequest("No frame of this type may be sent here: the first is connect, and no other is."), head.frame_id
            )
        try:
            move(self, head, text, out)
        except PlatformError as problem:
            self._refuse(problem, head.frame_id, out)

    def resolve(self, outcome: Outcome, now: float, out: list[Output]) -> None:
        """What became of the `Asked` effect put out last."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        try:
            if isinstance(outcome, Revoked) and self.phase is Phase.OPEN:
                raise Unauthenticated("The token was revoked: the old one holds.")
            if isinstance(outcome, PlatformError):
                raise outcome
            self._go_on(pending, outcome, now, out)
        except PlatformError as problem:
            if isinstance(pending.asked, Locate):
                self._delivery.not_subscribed(pending.asked.timeline, out)
            self._refuse(problem, pending.frame_id, out)

    def _refuse(self, problem: PlatformError, frame_id: str | None, out: list[Output]) -> None:
        """Tell why a command is not done; some reasons end the connection."""
        if (self.phase, problem.code) in _FATAL:
            raise Fatal(problem, frame_id) from None
        out.append(frames.error(problem, fatal=False, frame_id=frame_id))

    # ------------------------------------------------------------------------------------------------------------------- moves

    def connect(self, head: frames.Head, text: str, out: list[Output]) -> None:
        """Who is it? The other fields are judged before the token is, and told only to who has a good one."""
        token = frames.token_of(head)
        frame: frames.ClientFrame | BadRequest
        try:
            frame = frames.decode(head.type, text)
        except BadRequest as problem:
            frame = problem
        self._ask(Authenticate(token), head, frame, out)

    def subscribe(self, head: frames.Head, text: str, out: list[Output]) -> None:
        frame = cast("frames.Subscribe", frames.decode(head.type, text))
        wanted = _filter_of(frame.subscription)
        if len(self._delivery) >= self._shared.limits.subscriptions:
            raise TooManySubscriptions
        self._ask(Permit(self._who, frame.subscription, frame.cursor, frame.break_glass), head, frame, out)
        self._pending = cast("_Pending", self._pending)._replace(wanted=wanted)

    def unsubscribe(self, head: frames.Head, text: str, out: list[Output]) -> None:
        frame = cast("frames.Unsubscribe", frames.decode(head.type, text))
        self._delivery.unsubscribe(frame.subscription_id, out)
        answer = frames.Unsubscribed(id=answering(head.frame_id), subscription_id=frame.subscription_id, reason=None)
        out.append(frames.encode(answer))

    def ack(self, head: frames.Head, text: str, out: list[Output]) -> None:
        frame = cast("frames.Ack", frames.decode(head.type, text))
        own = self.identity.member_id if isinstance(self.identity, MemberIdentity) else None
        handled = [self._delivery.acknowledged(cursor, self._shared.codec, own) for cursor in frame.cursors]
        if self._device_id is not None:
            who = self._who.subject
            out.extend(Acknowledge(who, self._device_id, *each) for each in handled if each is not None)

    def heartbeat(self, head: frames.Head, text: str, out: list[Output]) -> None:
        frame = cast("frames.Heartbeat", frames.decode(head.type, text))
        self._ask(KeepAlive(self._who, frame.session_id, frame.active), head, frame, out)

    def refresh(self, head: frames.Head, text: str, out: list[Output]) -> None:
        frame = cast("frames.Refresh", frames.decode(head.type, text))
        self._ask(Authenticate(frame.token), head, frame, out)

    def ping(self, head: frames.Head, text: str, out: list[Output]) -> None:
        frames.decode(head.type, text)
        out.append(frames.encode(frames.Pong(id=answering(head.frame_id))))

    def _ask(self, asked: Asked, head: frames.Head, frame: frames.ClientFrame | BadRequest, out: list[Output]) -> None:
        self._pending = _Pending(asked, head.frame_id, frame)
        out.append(asked)

    # ----------------------------------------------------------------------------------------------------- the world's answers

    def _go_on(self, pending: _Pending, outcome: Outcome, now: float, out: list[Output]) -> None:
        match outcome:
            case Welcome() if self.phase is Phase.OPEN:
                self._refreshed(pending, outcome, now, out)
            case Welcome():
                self._authenticated(pending, outcome, out)
            case Entered(connection_id):
                self._entered(pending, connection_id, now, out)
            case Permitted():
                self._permitted(pending, outcome, out)
            case Located():
                self._located(pending, outcome, now, out)
            case _:
                pass  # done, and nothing to say

    def _authenticated(self, pending: _Pending, welcome: Welcome, out: list[Output]) -> None:
        if isinstance(pending.frame, BadRequest):
            raise pending.frame
        enter = Enter(welcome.identity, cast("frames.Connect", pending.frame).replaces)
        self._pending = pending._replace(asked=enter, welcome=welcome)
        out.append(enter)

    def _entered(self, pending: _Pending, connection_id: str, now: float, out: list[Output]) -> None:
        welcome = cast("Welcome", pending.welcome)
        self.phase = Phase.OPEN
        self.identity = welcome.identity
        self._device_id = cast("frames.Connect", pending.frame).device_id
        self._watch.opened(now)
        self._watch.token(welcome.expires_in_s, now)
        connected = frames.Connected(
            id=answering(pending.frame_id),
            connection_id=connection_id,
            subject=welcome.identity.subject,
            expires_at=welcome.expires_at,
            heartbeat_seconds=self._shared.limits.heartbeat_s,
            flags=welcome.flags,
            features=FEATURES,
        )
        out.append(frames.encode(connected))

    def _refreshed(self, pending: _Pending, welcome: Welcome, now: float, out: list[Output]) -> None:
        if _person(welcome.identity) != _person(self._who):
            raise Unauthenticated("The token is not one of this connection's subject: the old one holds.")
        self.identity = welcome.identity
        self._watch.token(welcome.expires_in_s, now)
        out.append(frames.encode(frames.Refreshed(id=answering(pending.frame_id), expires_at=welcome.expires_at)))
        if not may(role_of(welcome.identity), Standing.BREAK_GLASS, Deed.FOLLOW):
            self._delivery.end(Reason.BREAK_GLASS_ENDED, frozenset({Standing.BREAK_GLASS}), out, now)

    def _permitted(self, pending: _Pending, permitted: Permitted, out: list[Output]) -> None:
        frame = cast("frames.Subscribe", pending.frame)
        as_of = self._delivery.listen(permitted, out)
        if as_of is not None and isinstance(self.identity, StaffIdentity):
            out.append(Recheck(self.identity, permitted.timeline, as_of))
        locate = Locate(permitted.timeline, frame.cursor, frame.since is not None)
        self._pending = pending._replace(asked=locate, permitted=permitted)
        out.append(locate)

    def _located(self, pending: _Pending, start: Located, now: float, out: list[Output]) -> None:
        subscribed = frames.Subscribed(
            id=answering(pending.frame_id),
            subscription_id=start.subscription_id,
            timeline=start.label,
            cursor=start.cursor,
            recovered=start.recovered,
        )
        out.append(frames.encode(subscribed))
        self._delivery.subscribe(cast("Permitted", pending.permitted), cast("Filter", pending.wanted), start, now)

    @property
    def _who(self) -> Identity:
        """Whose connection it is; the table asks for it only when connected."""
        return cast("Identity", self.identity)


_Move = Callable[[Commands, frames.Head, str, list[Output]], None]

_MOVES: Final[Mapping[tuple[Phase, str], _Move]] = {
    (Phase.NEW, "connect"): Commands.connect,
    (Phase.OPEN, "subscribe"): Commands.subscribe,
    (Phase.OPEN, "unsubscribe"): Commands.unsubscribe,
    (Phase.OPEN, "ack"): Commands.ack,
    (Phase.OPEN, "heartbeat"): Commands.heartbeat,
    (Phase.OPEN, "refresh"): Commands.refresh,
    (Phase.OPEN, "ping"): Commands.ping,
}
"""What a client may send when. An absent key ends the connection with 4400."""

_FATAL: Final = frozenset(
    {
        (Phase.NEW, Unauthenticated.code),
        (Phase.NEW, RateLimited.code),
        (Phase.NEW, DisabledByFlag.code),
        (Phase.NEW, Revoked.code),
    }
)
"""Refusals of a command that end the connection."""


def _filter_of(scope: frames.Scope) -> Filter:
    """The filter a client asked for. Raises `BadRequest` for patterns that are none."""
    events = scope.events or ()
    match scope:
        case frames.SessionScope():
            return Filter.session(scope.session_id, events)
        case frames.MemberScope():
            return Filter.member(events)
        case frames.ServiceRequestScope():
            return Filter.service_requests(scope.service_request_ids, events)


def _person(identity: Identity) -> tuple[str, str, str]:
    """Who a token speaks for: a refreshed one must speak for the same."""
    return identity.subject, type(identity).__name__, identity.actor_id
