"""A clearinghouse of the test's own: it does with each connection what the test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from session_platform.clock import ManualClock
from session_platform.eligibility import Answered, Clearinghouse, Unanswered
from tests.eligibility.insured import Person

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Received:
    """What came in: the heads and bodies of the requests."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []


@asynccontextmanager
async def serving(behaviour: Behaviour, received: Received | None = None) -> AsyncIterator[str]:
    """The base URL of a server that reads one request a connection and then follows ``behaviour``."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
            if received is not None:
                received.heads.append(head)
                received.bodies.append(body)
            await behaviour(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


def saying(status: int, body: bytes, *headers: str) -> Behaviour:
    """Answer every request so."""

    async def behaviour(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = "".join(
            f"{line}\r\n" for line in (f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close", *headers)
        )
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()

    return behaviour


async def ask(base_url: str, timeout_s: float = 20.0, key: str = "task_1-1") -> Answered | Unanswered:
    """One check against ``base_url``."""
    client = Clearinghouse(base_url, "secret-key", ManualClock(), timeout_s)
    try:
        return await client.check(Person(), key)
    finally:
        await client.aclose()
