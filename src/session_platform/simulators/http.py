"""A small HTTP/1.1 server for simulators: one function answers every request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import httptools

BODY_MAX_BYTES: Final = 256 * 1024
HEAD_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Request:
    """Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A JSON body."""

    status: int
    body: bytes


Handler = Callable[[Request], Awaitable[Response]]
TOO_LARGE: Final = Response(413, b'{"message":"The request is too large."}')
BAD: Final = Response(400, b'{"message":"This is no HTTP/1.1."}')


@dataclass(slots=True)
class _Incoming:
    method: str = ""
    target: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    head_bytes: int = 0


class Connection(asyncio.Protocol):
    """One client. Requests are answered in turn; a client that goes away takes its unanswered request along."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._parser = httptools.HttpRequestParser(self)
        self._incoming = _Incoming()
        self._waiting: list[tuple[Request, bool]] = []
        self._answering: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(BAD)
        if self._incoming.head_bytes > HEAD_MAX_BYTES or len(self._incoming.body) > BODY_MAX_BYTES:
            self._refuse(TOO_LARGE)

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        if self._answering is not None:
            self._answering.cancel()

    # -- httptools

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()

    def on_url(self, target: bytes) -> None:
        self._incoming.target += target
        self._incoming.head_bytes += len(target)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._incoming.headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        self._incoming.head_bytes += len(name) + len(value)

    def on_body(self, body: bytes) -> None:
        self._incoming.body += body

    def on_message_complete(self) -> None:
        incoming = self._incoming
        path = incoming.target.decode("latin-1").partition("?")[0]
        request = Request(self._parser.get_method().decode("ascii"), path, incoming.headers, bytes(incoming.body))
        self._waiting.append((request, self._parser.should_keep_alive()))
        if self._answering is None:
            self._answering = asyncio.get_running_loop().create_task(self._answer())

    # -- answering

    async def _answer(self) -> None:
        while self._waiting:
            request, keep_alive = self._waiting.pop(0)
            self._write(await self._handler(request), keep_alive)
        self._answering = None

    def _refuse(self, response: Response) -> None:
        if self._answering is not None:
            self._answering.cancel()
        self._write(response, keep_alive=False)

    def _write(self, response: Response, keep_alive: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        head = (
            f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(response.body)}\r\n"
            f"connection: {'keep-alive' if keep_alive else 'close'}\r\n\r\n"
        )
        self._transport.write(head.encode("ascii") + response.body)
        if not keep_alive:
            self._transport.close()
