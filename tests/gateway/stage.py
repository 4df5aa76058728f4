"""A gateway on a real store and a real socket, in the test's own process: members, their sessions and requests, and tokens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from session_platform.access import Identity, MemberIdentity, OriginPolicy, Rights, TokenVerifier, TransportPolicy
from session_platform.app.serve import http_server, listen
from session_platform.clock import ManualClock
from session_platform.contract import (
    DurableEvent,
    ServiceRequestProcessingEvent,
    SessionActiveEvent,
    SessionCreatedEvent,
    SessionState,
)
from session_platform.errors import Conflict, Unauthenticated
from session_platform.gateway import Desk, Gate, Hub, Limits
from session_platform.ids import IdMint
from session_platform.log.follow import Follower
from session_platform.store import Reader, Store
from session_platform.timeline import Acknowledgements, CursorCodec, History, Router, Windows

MEMBER = "M1"
OTHER = "M2"
SESSION = "sess_1"
FOREIGN_SESSION = "sess_2"
ENDED_SESSION = "sess_3"
MEMBER_SCOPE = {"type": "member", "member_id": MEMBER}
REQUEST = "sr_1"
SECOND_REQUEST = "sr_2"
FOREIGN_REQUEST = "sr_9"
SESSIONS = {SESSION: MEMBER, ENDED_SESSION: MEMBER, FOREIGN_SESSION: OTHER}
REQUESTS = {REQUEST: MEMBER, SECOND_REQUEST: MEMBER, FOREIGN_REQUEST: OTHER}
CODEC = CursorCodec({1: b"a key for cursors"})


class Tokens(TokenVerifier):
    """Tokens are JSON here: ``{"sub", "member", "for_s"}``; anything else is no token."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.checked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def authenticate(self, token: str, now: Any) -> Identity:
        self.checked += 1
        await self.gate.wait()
        try:
            claims = json.loads(token)
            expires_at = now + timedelta(seconds=claims["for_s"])
            return MemberIdentity(
                subject=claims["sub"], issued_at=now, expires_at=expires_at, member_id=claims["member"], account_ids=("A1",)
            )
        except (ValueError, KeyError, TypeError):
            raise Unauthenticated from None


def token(member: str = MEMBER, *, sub: str | None = None, for_s: float = 3600) -> str:
    return json.dumps({"sub": sub or f"user-{member}", "member": member, "for_s": for_s})


class Stage:
    """Everything behind the gateway, and the gateway."""

    def __init__(self, store: Store, clock: ManualClock, limits: Limits | None = None, *, events_in_window: int = 256) -> None:
        self.store = store
        self.clock = clock
        self.windows = Windows(CODEC, per_timeline_events=events_in_window)
        self.router = Router(self.windows)
        self.acknowledgements = Acknowledgements(store)
        self.tokens = Tokens(clock)
        self.touched: list[tuple[str, bool]] = []
        self.flags: dict[str, bool] = {"enable-digital-sessions": True}
        self.follower = Follower(store, self.router.publish, self.router.ephemeral)
        self.desk = Desk(
            store=store,
            history=History(store, self.windows, CODEC),
            router=self.router,
            windows=self.windows,
            codec=CODEC,
            verifier=self.tokens,
            rights=Rights((), lambda _, __: ("A1",)),
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

    async def _touch(self, identity: Identity, session_id: str, active: bool) -> None:
        if session_id == ENDED_SESSION:
            raise Conflict
        self.touched.append((session_id, active))

    def _flags(self, identity: Identity) -> Mapping[str, bool]:
        return self.flags

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Stage]:
        """On a free loopback port, behind uvicorn as in production, with the follower running."""
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

    async def pass_by(self, session_id: str = SESSION, member: str = MEMBER) -> None:
        """Commit an unnumbered event."""
        await self.store.run(lambda tx: tx.emit_ephemeral(active(session_id, member)), member)

    async def audit(self) -> list[tuple[str, str, str | None, str | None, str, str | None]]:
        """(actor, action, member, session, outcome, reason), oldest first."""
        sql = "SELECT actor, action, member_id, session_id, outcome, reason FROM audit ORDER BY id"
        rows = await self.store.read(lambda reader: reader.all(sql))
        return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


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
    """The next frame."""
    async with asyncio.timeout(10):
        frame: dict[str, Any] = json.loads(await socket.recv())
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
