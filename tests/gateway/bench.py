"""One connection's protocol without a socket, in a small world that the test holds in its hand."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

from session_platform.access import MemberIdentity, Standing
from session_platform.contract import SealedEphemeral
from session_platform.errors import BadCursor, ForbiddenOrMissing, PlatformError, RateLimited, Unauthenticated
from session_platform.gateway import Limits
from session_platform.gateway.commands import Shared
from session_platform.gateway.effects import (
    Acknowledge,
    Authenticate,
    Close,
    Done,
    Enter,
    Entered,
    FetchPage,
    KeepAlive,
    Listen,
    Locate,
    Located,
    Outcome,
    Permit,
    Permitted,
    SendPing,
    Unlisten,
    Welcome,
)
from session_platform.gateway.frames import MemberScope, Scope, ServiceRequestScope, SessionScope
from session_platform.gateway.protocol import Connection
from session_platform.store import GENESIS, Position, StoredEvent
from session_platform.timeline import CursorCodec, Router, Windows, entry_of

CODEC = CursorCodec({1: b"a key for cursors"})
MEMBER = "M1"
SESSION = "sess_1"
REQUEST = "sr_1"
START = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
OWNERS = {SESSION: MEMBER, "sess_2": MEMBER, "sess_9": "M2", REQUEST: MEMBER, "sr_2": MEMBER, "sr_9": "M2"}


def token(member: str = MEMBER, *, sub: str = "user", for_s: float = 3600) -> str:
    return json.dumps({"member": member, "sub": sub, "for_s": for_s})


class Bench:
    """``frames`` is what the client was sent, ``closed`` the close code; effects wait in ``asked`` and ``fetches`` until the
    test has them answered, which `tell` does by itself unless ``answering`` is off."""

    def __init__(self, limits: Limits | None = None, *, events_in_window: int = 256) -> None:
        self.limits = limits or Limits()
        self.windows = Windows(CODEC, per_timeline_events=events_in_window)
        self.router = Router(self.windows)
        self.now = 1000.0
        self.connection = Connection(Shared(self.limits, self.windows, CODEC), self.now)
        self.history: list[StoredEvent] = []
        self.frames: list[dict[str, Any]] = []
        self.closed: int | None = None
        self.pings = 0
        self.answering = True
        self.asked: deque[Authenticate | Enter | Permit | Locate | KeepAlive] = deque()
        self.fetches: list[FetchPage] = []
        self.acknowledged: list[Acknowledge] = []
        self.kept_alive: list[KeepAlive] = []
        self.refusals: list[PlatformError] = []  # the next effects are refused with these
        self.full_house = False
        self._ids = 0

    # ----------------------------------------------------------------------------------------------------------- the client

    def tell(self, **frame: Any) -> list[dict[str, Any]]:
        """Send a frame; what comes of it."""
        return self.tell_text(json.dumps(frame))

    def tell_text(self, text: str | None) -> list[dict[str, Any]]:
        before = len(self.frames)
        self.connection.receive(text, self.now)
        self.settle()
        return self.frames[before:]

    def connect(self, auth: str | None = None, **fields: Any) -> dict[str, Any]:
        """Be connected; the ``connected`` frame."""
        (connected,) = self.tell(type="connect", token=auth or token(), **fields)
        assert connected["type"] == "connected"
        return connected

    def subscribe(self, **fields: Any) -> str:
        """Subscribe to the member's timeline, unless told otherwise; the subscription's id."""
        fields.setdefault("subscription", {"type": "member", "member_id": MEMBER})
        answers = self.tell(type="subscribe", **fields)
        assert answers[0]["type"] == "subscribed", answers
        subscription_id: str = answers[0]["subscription_id"]
        return subscription_id

    # ------------------------------------------------------------------------------------------------------------ the world

    def publish(self, name: str = "task.assigned", session: str | None = SESSION, request: str | None = REQUEST) -> int:
        """Commit an event and publish it; its number."""
        event = self.commit(name, session, request)
        self.router.publish([event])
        self.settle()
        return event.seq

    def commit(self, name: str = "task.assigned", session: str | None = SESSION, request: str | None = REQUEST) -> StoredEvent:
        """Commit an event that nobody has heard of yet."""
        seq = len(self.history) + 1
        body = json.dumps({"name": name, "session_id": session, "request": request, "timelineseq": f"{seq:020}"}).encode()
        event = StoredEvent(seq, MEMBER, 1, seq, seq * 7, name, session, request, body)
        self.history.append(event)
        return event

    def pass_by(self, session: str = SESSION) -> list[dict[str, Any]]:
        before = len(self.frames)
        self.router.ephemeral([SealedEphemeral("evt", "session.active", MEMBER, session, None, b'{"name":"session.active"}')])
        self.settle()
        return self.frames[before:]

    def cursor(self, seq: int) -> str:
        return CODEC.encode(MEMBER, self.history[seq - 1].position if seq else GENESIS)

    def advance(self, seconds: float) -> list[dict[str, Any]]:
        """Let time pass; what comes of it."""
        before = len(self.frames)
        self.now += seconds
        self.connection.tick(self.now)
        self.settle()
        return self.frames[before:]

    def settle(self) -> None:
        """Do what is put out, until nothing is; answer it too if this bench answers."""
        more = True
        while more:
            more = self.connection.pull(self.now)
            outputs = self.connection.take()
            for output in outputs:
                self._do(output)
            more = more or bool(outputs)
            if self.answering:
                more = self.answer() or more

    def answer(self) -> bool:
        """Answer everything that was asked; whether there was something."""
        something = bool(self.asked or self.fetches)
        while self.asked:
            self.answer_one()
        while self.fetches:
            self.fetch_one()
        return something

    def answer_one(self) -> None:
        self.connection.resolve(self._outcome(self.asked.popleft()), self.now)

    def fetch_one(self, limit: int = 3) -> None:
        fetch = self.fetches.pop(0)
        self.connection.page(fetch, [entry_of(event, CODEC) for event in self.history[fetch.after : fetch.after + limit]])

    # `timeline.Listener`

    def wake(self, timeline: str) -> None:
        self.connection.wake(timeline)

    def passing(self, timeline: str, event: SealedEphemeral) -> None:
        self.connection.passing(timeline, event, self.now)

    def _do(self, output: object) -> None:
        assert self.closed is None, "nothing follows a close"
        match output:
            case bytes():
                self.frames.append(json.loads(output))
            case SendPing():
                self.pings += 1
            case Close(code):
                self.closed = code
            case Listen(timeline):
                self.router.listen(timeline, self)
            case Unlisten(timeline):
                self.router.unlisten(timeline, self)
            case Acknowledge():
                self.acknowledged.append(output)
            case FetchPage():
                self.fetches.append(output)
            case Authenticate() | Enter() | Permit() | Locate() | KeepAlive():
                self.asked.append(output)
            case _:
                raise AssertionError(output)

    def _outcome(self, asked: Authenticate | Enter | Permit | Locate | KeepAlive) -> Outcome:
        if self.refusals:
            return self.refusals.pop(0)
        match asked:
            case Authenticate():
                return self._welcome(asked.token)
            case Enter():
                return RateLimited() if self.full_house else Entered(self._id("conn"))
            case Permit():
                return self._permitted(asked)
            case Locate():
                return self._located(asked)
            case KeepAlive():
                self.kept_alive.append(asked)
                return Done() if OWNERS.get(asked.session_id) == _member(asked.identity) else ForbiddenOrMissing()

    def _welcome(self, text: str) -> Outcome:
        try:
            claims = json.loads(text)
            sub, member, for_s = claims["sub"], claims["member"], float(claims["for_s"])
        except (ValueError, KeyError, TypeError):
            return Unauthenticated()
        expires_at = START + timedelta(seconds=self.now - 1000 + for_s)
        identity = MemberIdentity(subject=sub, issued_at=START, expires_at=expires_at, member_id=member, account_ids=("A1",))
        return Welcome(identity, for_s, expires_at, {"enable-digital-sessions": True})

    def _permitted(self, asked: Permit) -> Outcome:
        owners = _owners(asked.scope)
        member = _member(asked.identity)
        return Permitted(member, Standing.OWN, 0) if owners == {member} else ForbiddenOrMissing()

    def _located(self, asked: Locate) -> Outcome:
        head = len(self.history)
        after, recovered = (0 if asked.since_beginning else head), None
        if asked.cursor is not None:
            try:
                after, recovered = CODEC.decode(asked.cursor, asked.timeline).seq, True
            except BadCursor as problem:
                return problem
        self.windows.prime(asked.timeline, head)
        position = self.history[after - 1].position if after else GENESIS
        cursor = CODEC.encode(asked.timeline, position)
        return Located(self._id("sub"), CODEC.label(asked.timeline), after, cursor, head, recovered)

    def _id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}_{self._ids}"


def position(seq: int) -> Position:
    return Position(1, seq, seq * 7)


def _member(identity: object) -> str:
    assert isinstance(identity, MemberIdentity)
    return identity.member_id


def _owners(scope: Scope) -> set[str | None]:
    match scope:
        case SessionScope():
            return {OWNERS.get(scope.session_id)}
        case MemberScope():
            return {scope.member_id}
        case ServiceRequestScope():
            return {OWNERS.get(each) for each in scope.service_request_ids}
