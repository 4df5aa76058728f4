"""A platform for the shell's tests: a real WebSocket over the fake gateway, and REST answers from a table."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import httpx2
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from digital_session import DigitalSessionClient, Reconnect
from tests.sdk.fake_gateway import Frame, Gateway, Line

Answer = httpx2.Response | Callable[[httpx2.Request], httpx2.Response]
SESSION: Frame = {"session_id": "sess_1", "member_id": "M1", "account_id": "A1", "cursor": "c1.0"}
REQUEST: Frame = {"service_request_id": "sr_1", "session_id": "sess_1", "status": "SUBMITTED", "cursor": "c1.0"}
COVERAGE: Frame = {"account_id": "A1", "coverage_status": "ACTIVE", "payer_name": "Blue Cross Blue Shield"}
RESULT: Frame = {"coverage_status": "ACTIVE", "payer_name": "Blue Cross Blue Shield", "coverage": COVERAGE}
WITHIN_S = 10


def token(**claims: Any) -> str:
    """An unsigned token: the client never verifies one."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.sig"


MEMBER_TOKEN = token(sub="M1", member_id="M1", roles=["member"], account_ids=["A1"])


def answer(status: int, body: object = None, **headers: str) -> httpx2.Response:
    return httpx2.Response(status, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def problem(status: int, code: str, detail: str = "said", **headers: str) -> httpx2.Response:
    return answer(status, {"status": status, "code": code, "title": code, "detail": detail}, **headers)


class RestTable:
    """Answers by method and path: what was queued first, then the standing one, else 404."""

    def __init__(self) -> None:
        self.standing: dict[str, Answer] = {}
        self.queued: dict[str, deque[Answer]] = defaultdict(deque)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        call = f"{request.method} {request.url.raw_path.decode()}"
        queue = self.queued[call]
        found = queue.popleft() if queue else self.standing.get(call)
        if found is None:
            return problem(404, "forbidden_or_missing")
        return (
            found(request)
            if callable(found)
            else httpx2.Response(found.status_code, headers=found.headers, content=found.content)
        )

    def asked(self, call: str) -> int:
        return sum(f"{request.method} {request.url.path}" == call for request in self.requests)


class Platform:
    """One fake platform; ``async with`` runs it on a free port."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.rest = RestTable()
        self.rest.standing |= {
            "POST /v1/sessions": answer(201, SESSION),
            "POST /v1/sessions/sess_1/service-requests": answer(202, REQUEST),
            "GET /v1/service-requests/sr_1/result": answer(200, RESULT),
            "GET /v1/coverages/cov_1": answer(200, {"coverage": COVERAGE}),
        }
        self.tokens: list[str] = []
        self.refuse: deque[tuple[int, str]] = deque()
        self.connections = 0
        self._sockets: dict[ServerConnection, Line] = {}
        self._server: Server | None = None
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Platform:
        self._server = await serve(
            self._hold, "127.0.0.1", 0, subprotocols=[Subprotocol("digital-session.v1")], compression=None
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def endpoint(self) -> str:
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()
        return f"ws://{host}:{port}/v1"

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[DigitalSessionClient]:
        """A client that waits nowhere and loses nothing."""
        given = {"token": MEMBER_TOKEN} if "get_token" not in options else {}
        settings = {"reconnect": Reconnect(jitter=lambda: 0.0), "http_transport": httpx2.MockTransport(self.rest)}
        async with DigitalSessionClient(self.endpoint, **{**given, **settings, **options}) as client:
            yield client

    async def publish(self, name: str, **data: Any) -> None:
        self.gateway.publish(name, {"member_id": "M1", **data})
        await self.flush()

    async def say(self, frame: Frame) -> None:
        """A frame to every connection."""
        for line in self._sockets.values():
            line.out.append(frame)
        await self.flush()

    async def flush(self) -> None:
        for socket, line in list(self._sockets.items()):
            await self._send(socket, line)

    async def cut(self) -> None:
        """Every connection breaks, without a word."""
        for socket in list(self._sockets):
            socket.transport.abort()
        await self.until(lambda: not self._sockets)

    async def close(self, code: int) -> None:
        """Every connection is closed with ``code``."""
        for socket in list(self._sockets):
            await socket.close(code)
        await self.until(lambda: not self._sockets)

    async def until(self, true: Callable[[], bool], within_s: float = WITHIN_S) -> None:
        """Wait until something has become true of what clients did."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(true)

    async def _hold(self, socket: ServerConnection) -> None:
        self.connections += 1
        line = self.gateway.connect()
        self._sockets[socket] = line
        try:
            async for message in socket:
                await self._take(socket, line, json.loads(message))
                await self._tell()
        except ConnectionClosed:
            pass
        finally:
            del self._sockets[socket]
            self.gateway.lines.remove(line)
            await self._tell()

    async def _take(self, socket: ServerConnection, line: Line, frame: Frame) -> None:
        if frame["type"] == "connect":
            self.tokens.append(frame["token"])
            if self.refuse:
                code, word = self.refuse.popleft()
                refusal = {"type": "error", "code": word, "message": "refused", "retryable": False, "fatal": True}
                await socket.send(json.dumps(refusal))
                await socket.close(code)
                return
        line.receive(frame)
        await self._send(socket, line)

    async def _send(self, socket: ServerConnection, line: Line) -> None:
        while line.out:
            await socket.send(json.dumps(line.out.popleft()))

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Front:
    """Both halves of a platform on one port, as a program outside this process sees it."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Front:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    @property
    def endpoint(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"ws://{host}:{port}/v1"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower():
                await self._tunnel(head, reader, writer)
            else:
                await self._answer(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = head.decode().strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int({name.lower(): value for name, value in headers.items()}.get("content-length", "0"))
        body = await reader.readexactly(length)
        found = self._platform.rest(httpx2.Request(method, f"http://test{path}", headers=headers, content=body))
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (found.status_code, len(found.content))
        )
        writer.write(found.content)
        await writer.drain()

    async def _tunnel(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = self._platform.endpoint.removeprefix("ws://").removesuffix("/v1").split(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        inner_writer.write(head)
        try:
            await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))
        finally:
            inner_writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


class Inbox:
    """A handler that keeps what it was called with."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()

    def __call__(self, value: Any) -> None:
        self.got.append(value)
        self._arrived.put_nowait(value)

    async def next(self) -> Any:
        async with asyncio.timeout(WITHIN_S):
            return await self._arrived.get()
