"""A client that writes what it likes."""

from __future__ import annotations

import asyncio
import base64
import json
import socket as sockets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.gateway.stage import Stage
from tests.gateway.test_messages import TEXT, frame


class Raw:
    """A client that writes what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, stage: Stage, *, receive_buffer: int | None = None) -> Raw:
        plain = sockets.socket()
        if receive_buffer is not None:
            plain.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", stage.port))
        raw = cls(*await asyncio.open_connection(sock=plain, limit=16 * 1024))
        key = base64.b64encode(b"0123456789abcdef")
        raw.writer.write(
            b"GET /v1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + key + b"\r\nSec-WebSocket-Protocol: digital-session.v1\r\n\r\n"
        )
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        return raw

    def say(self, **fields: Any) -> None:
        self.writer.write(frame(TEXT, json.dumps(fields).encode()))

    async def read(self) -> tuple[int, bytes]:
        """The opcode and payload of the next frame."""
        async with asyncio.timeout(10):
            first, second = await self.reader.readexactly(2)
            length = second
            if second >= 126:
                length = int.from_bytes(await self.reader.readexactly(2 if second == 126 else 8))
            return first & 0x0F, await self.reader.readexactly(length)

    async def hear(self) -> dict[str, Any]:
        opcode, payload = await self.read()
        assert opcode == TEXT
        answer: dict[str, Any] = json.loads(payload)
        return answer

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b""

    def abort(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def raw_client(stage: Stage, **options: Any) -> AsyncIterator[Raw]:
    raw = await Raw.open(stage, **options)
    try:
        yield raw
    finally:
        raw.abort()
