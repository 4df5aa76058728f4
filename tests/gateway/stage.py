"""A gateway on a real store and a real socket, in the test's own process: members, their sessions and requests, and tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from session_platform.access import (
    AdminIdentity,
    Identity,
    MemberIdentity,
    OriginPolicy,
    Rights,
    RightsWatch,
    ServiceIdentity,
    StaffIdentity,
    StaffRole,
    TokenVerifier,
    TransportPolicy,
    rights_changed,
)
from session_platform.app.serve import http_server, listen
from session_platform.clock import ManualClock
from session_platform.contract import (
    DurableEvent,
    ServiceRequestProcessingEvent,
    SessionActiveEvent,
    SessionCreatedEvent,
    SessionState,
)
from session_platform.errors import Conflict, Unauthenticated, Unavailable
from session_platform.gateway import Desk, Gate, Hub, Limits
from session_platform.ids import IdMint
from session_platform.log.follow import Follower
from session_platform.store import Reader, Store, Tx
from session_platform.timeline import Acknowledgements, CursorCodec, Entry, History, Router, Start, Windows
from tests.contract.published import conforms

R = TypeVar("R")

MEMBER = "M1"
OTHER = "M2"
WITHOUT_ACCOUNT = "M3"
SESSION = "sess_1"
FOREIGN_SESSION = "sess_2"
ENDED_SESSION = "sess_3"
STAFF = "C1"
MEMBER_SCOPE = {"type": "member", "member_id": MEMBER}
REQUEST = "sr_1"
SECOND_REQUEST = "sr_2"
FOREIGN_REQUEST = "sr_9"
SESSIONS = {SESSION: MEMBER, ENDED_SESSION: MEMBER, FOREIGN_SESSION: OTHER}
REQUESTS = {REQUEST: MEMBER, SECOND_REQUEST: MEMBER, FOREIGN_REQUEST: OTHER}
CODEC = CursorCodec({1: b"a key for cursors"})


class Tokens(TokenVerifier):
    """Tokens are JSON here: ``{"sub", "member" or "staff" and "roles", "for_s"}``, perhaps ``jti``; anything else is no token.
    What was revoked is the real thing."""

    def __init__(self, watch: RightsWatch) -> None:
        super().__init__(watch=watch)
        self.checked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def _authenticated(self, token: str, now: Any) -> Identity:
        self.checked += 1
        await self.gate.wait()
        try:
            claims = json.loads(token)
            common: dict[str, Any] = {
                "subject": claims["sub"],
                "issued_at": now,
                "expires_at": now + timedelta(seconds=claims["for_s"]),
                "token_id": claims.get("jti"),
            }
            if "kind" in claims:
                return (ServiceIdentity if claims["kind"] == "service" else AdminIdentity)(**common)
            if "staff" in claims:
                roles = frozenset(StaffRole(role) for role in claims["roles"])
                return StaffIdentity(**common, staff_id=claims["staff"], name="Dana", roles=roles)
            return MemberIdentity(**common, member_id=claims["member"], account_ids=("A1",))
        except (ValueError, KeyError, TypeError):
            raise Unauthenticated from None


def token(member: str = MEMBER, *, sub: str | None = None, for_s: float = 3600, jti: str | None = None) -> str:
    return json.dumps({"sub": sub or f"user-{member}", "member": member, "for_s": for_s, "jti": jti})


def staff_token(*roles: str, staff: str = STAFF, jti: str | None = None) -> str:
    return json.dumps({"sub": f"user-{staff}", "staff": staff, "roles": roles or ["care_team"], "for_s": 3600, "jti": jti})


class Turnstile(asyncio.Event):
    """``waiting``: how many have come to it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.set()

    async def pass_through(self) -> None:
        self.waiting += 1
        await self.wait()


class SlowHistory(History):
    """A history that answers when the test lets it."""

    def __init__(self, store: Store, windows: Windows, codec: CursorCodec) -> None:
        super().__init__(store, windows, codec)
        self.pages = Turnstile()
        self.starts = Turnstile()

    async def start(self, timeline: str, *, cursor: str | None, since_beginning: bool) -> Start:
        await self.starts.pass_through()
        return await super().start(timeline, cursor=cursor, since_beginning=since_beginning)

    async def page(self, timeline: str, after: int, limit: int) -> list[Entry]:
        await self.pages.pass_through()
        return await super().page(timeline, after, limit)


class Moody:
    """A store that can be away for its readers."""

    def __init__(self, store: Store) -> None:
        self.away = False
        self.run = store.run
        self.on_commit = store.on_commit
        self.trouble = store.trouble
        self.close = store.close
        self._store = store

    async def read(self, query: Callable[[Reader], R], /) -> R:
        if self.away:
            raise Unavailable
        return await self._store.read(query)


class Stage:
    """Everything behind the gateway, and the gateway."""

    def __init__(self, store: Store, clock: ManualClock, limits: Limits | None = None, *, events_in_window: int = 256) -> None:
        self.store = store
        self.clock = clock
        self.windows = Windows(CODEC, per_timeline_events=events_in_window)
        self.router = Router(self.windows)
        self.acknowledgements = Acknowledgements(store)
        self.relations_fail = False
        self.moody = Moody(store)
        self.watch = RightsWatch(self.moody, clock)
        self.tokens = Tokens(self.watch)
        self.touched: list[tuple[str, bool]] = []
        self.flags: dict[str, bool] = {"enable-digital-sessions": True}
        self.follower = Follower(self.moody, self.router.publish, self.router.ephemeral, ahead=self.watch)
        self.history = SlowHistory(store, self.windows, CODEC)
        self.desk = Desk(
            store=self.moody,
            history=self.history,
            router=self.router,
            windows=self.windows,
            codec=CODEC,
            verifier=self.tokens,
            rights=Rights((self._on_panel,), _accounts_of),
            watch=self.watch,
            acknowledgements=self.acknowledgements,
            session_owner=_session_owner,
            request_owner=_request_owner,
            touch=self._touch,
            flags=self._flags,
            clock=clock,
            ids=IdMint(),
        )
        self.gate = Gate(
            OriginPolicy(("https://app.example.org",), insecure=True), TransportPolicy(insecure=True).plaintext_refused
        )
        self.hub = Hub(self.desk, self.gate, limits)
        self.port = 0

    def _on_panel(self, reader: Reader, staff_id: str, member_id: str) -> bool:
        if self.relations_fail:
            raise LookupError
        return reader.one(_ON_PANEL, staff_id=staff_id, member_id=member_id) is not None

    async def _touch(self, identity: Identity, session_id: str, active: bool) -> None:
        if session_id == ENDED_SESSION:
            raise Conflict
        self.touched.append((session_id, active))

    def _flags(self, identity: Identity) -> Mapping[str, bool]:
        return self.flags

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Stage]:
        """On a free loopback port, behind uvicorn as in production, with the follower running."""
        await self.watch.look()
        await self.follower.start()
        listener = listen("127.0.0.1", 0)
        self.port = listener.getsockname()[1]
        server = http_server(_no_http, self.hub.protocol_class())
        following = asyncio.create_task(self.follower.run())
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await until(lambda: server.started)
            yield self
        finally:
            await self.hub.drain(0)
            server.should_exit = True
            await serving
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    @asynccontextmanager
    async def client(self, auth: str | None = None, **options: Any) -> AsyncIterator[ClientConnection]:
        """A WebSocket; with ``auth`` it is connected already."""
        options.setdefault("subprotocols", [Subprotocol("digital-session.v1")])
        async with connect(f"ws://127.0.0.1:{self.port}/v1", compression=None, ping_interval=None, **options) as socket:
            if auth is not None:
                await say(socket, type="connect", token=auth)
                assert (await hear(socket))["type"] == "connected"
            yield socket

    async def emit(self, *events: DurableEvent) -> None:
        """Commit events of one member."""

        def command(tx: Any) -> None:
            for event in events:
                tx.emit(event)

        await self.store.run(command, events[0].member_id)

    def hold_pages(self) -> Turnstile:
        """From now on pages of the history wait."""
        self.history.pages.clear()
        return self.history.pages

    def hold_starts(self) -> Turnstile:
        """From now on a subscription that was permitted waits for its start."""
        self.history.starts.clear()
        return self.history.starts

    async def care(self, member: str = MEMBER, staff: str = STAFF) -> None:
        """A care relationship begins."""
        await self._relate(_PUT, member, staff)

    async def care_ends(self, *events: DurableEvent, member: str = MEMBER, staff: str = STAFF) -> None:
        """It ends, together with the event."""
        await self._relate(_TAKE, member, staff, *events)

    async def care_is_renewed(self, member: str = MEMBER, staff: str = STAFF) -> None:
        """One care relationship ends and another begins, at the same moment: there is no time without one."""

        def command(tx: Tx) -> None:
            for sql in (_TAKE, _PUT):
                tx.execute(sql, staff_id=staff, member_id=member)
                rights_changed(tx, member, staff)

        await self.store.run(command, member)

    async def _relate(self, sql: str, member: str, staff: str, *events: DurableEvent) -> None:
        def command(tx: Tx) -> None:
            tx.execute(sql, staff_id=staff, member_id=member)
            for event in events:
                tx.emit(event)
            rights_changed(tx, member, staff)

        await self.store.run(command, member)

    async def pass_by(self, session_id: str = SESSION, member: str = MEMBER) -> None:
        """Commit an unnumbered event."""
        await self.store.run(lambda tx: tx.emit_ephemeral(active(session_id, member)), member)

    async def audit(self) -> list[tuple[str, str, str | None, str | None, str, str | None]]:
        """(actor, action, member, session, outcome, reason), oldest first."""
        sql = "SELECT actor, action, member_id, session_id, outcome, reason FROM audit ORDER BY id"
        rows = await self.store.read(lambda reader: reader.all(sql))
        return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


_PUT = "INSERT INTO panel (staff_id, member_id) VALUES (:staff_id, :member_id) ON CONFLICT DO NOTHING"
_TAKE = "DELETE FROM panel WHERE staff_id = :staff_id AND member_id = :member_id"
_ON_PANEL = "SELECT 1 FROM panel WHERE staff_id = :staff_id AND member_id = :member_id"


def _accounts_of(reader: Reader, member_id: str) -> tuple[str, ...] | None:
    return {MEMBER: ("A1",), OTHER: ("A1",), WITHOUT_ACCOUNT: ()}.get(member_id)


def _session_owner(reader: Reader, session_id: str) -> str | None:
    return SESSIONS.get(session_id)


def _request_owner(reader: Reader, service_request_id: str) -> str | None:
    return REQUESTS.get(service_request_id)


async def _no_http(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.002)


async def say(socket: ClientConnection, **frame: Any) -> None:
    await socket.send(json.dumps(frame))


async def hear(socket: ClientConnection) -> dict[str, Any]:
    """The next frame, which is what the published contract says."""
    async with asyncio.timeout(10):
        frame: dict[str, Any] = json.loads(await socket.recv())
    conforms(frame)
    return frame


def created(session_id: str = SESSION, member: str = MEMBER) -> DurableEvent:
    return SessionCreatedEvent(session_id=session_id, member_id=member)


def processing(percent: int, request: str = REQUEST, member: str = MEMBER) -> DurableEvent:
    return ServiceRequestProcessingEvent(
        service_request_id=request, session_id=SESSION, member_id=member, percent_complete=percent
    )


def active(session_id: str = SESSION, member: str = MEMBER) -> SessionActiveEvent:
    return SessionActiveEvent(session_id=session_id, member_id=member, state=SessionState.ACTIVE)


async def closed_with(socket: ClientConnection) -> tuple[list[dict[str, Any]], int | None]:
    """What comes until the server closes, and its close code."""
    frames: list[dict[str, Any]] = []
    try:
        while True:
            frames.append(await hear(socket))
    except ConnectionClosed:
        return frames, socket.close_code


async def pass_time(stage: Stage, clock: ManualClock, seconds: float) -> None:
    clock.advance(seconds)
    stage.hub.tick()
