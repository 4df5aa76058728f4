"""The simulators' HTTP server, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from session_platform.simulators.http import BODY_MAX_BYTES, HEAD_MAX_BYTES, Connection, Handler, Request, Response

GET = b"GET /a?b=c HTTP/1.1\r\nhost: x\r\n\r\n"


async def echo(request: Request) -> Response:
    return Response(200, b"%s %s %d" % (request.method.encode(), request.path.encode(), len(request.body)))


@asynccontextmanager
async def client(handler: Handler = echo) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(handler), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
    return int(head.split(" ")[1]), await reader.readexactly(length)


async def test_requests_of_one_connection_are_answered_in_turn_however_they_arrive() -> None:
    async with client() as (reader, writer):
        sent = GET + b"POST /d HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc" + GET
        for place in range(len(sent)):
            writer.write(sent[place : place + 1])
        assert [await response(reader) for _ in range(3)] == [(200, b"GET /a 0"), (200, b"POST /d 3"), (200, b"GET /a 0")]


async def test_who_asks_for_the_end_gets_it_after_the_answer() -> None:
    async with client() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
        assert (await response(reader))[0] == 200
        assert await reader.read() == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01 hello", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: 999999\r\n\r\n" + b"x" * (BODY_MAX_BYTES + 1), 413),
        (b"GET / HTTP/1.1\r\nx: " + b"y" * (HEAD_MAX_BYTES + 1) + b"\r\n\r\n", 413),
    ],
)
async def test_what_is_no_request_or_too_large_is_refused_and_the_connection_closed(sent: bytes, status: int) -> None:
    async with client() as (reader, writer):
        writer.write(sent)
        assert (await response(reader))[0] == status


async def test_a_client_that_goes_away_takes_its_request_along() -> None:
    asked, gone = asyncio.Event(), asyncio.Event()

    async def never(_request: Request) -> Response:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    async with client(never) as (_reader, writer):
        writer.write(GET)
        await asked.wait()
        writer.close()
        await gone.wait()
