"""A wire to the server that can be cut at any statement: before it, right behind it, or once the server has done it.

It reads just enough of PostgreSQL's protocol to know where a statement ends: at Sync, or at a simple Query. What begins a
connection is not counted.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

QUERY: Final = b"Q"
SYNC: Final = b"S"
READY: Final = b"Z"
# Behind these the server answers, or ends; anything else waits with its statement.
_FORWARDED: Final = frozenset({QUERY, SYNC, b"p", b"X", b"H"})


class Cut(Enum):
    """What becomes of the statement at which the wire is cut."""

    BEFORE = "it never arrives"
    SENT = "it arrives, and nobody waits for it"
    DONE = "it is done, and its answer is lost"
    SILENT = "it is done, and nothing is ever said again"


class Proxy:
    """``url`` leads through it. `arm` it; ``seen`` counts statements since then, ``cuts`` how often it cut; ``refused`` counts
    connections, ever."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._cut: Cut | None = None
        self._at: frozenset[int] = frozenset()
        self._at_commit = False
        self._refusing = False
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.seen = 0
        self.cuts = 0
        self.refused = 0

    @property
    def url(self) -> str:
        target = self._target
        where = f"{target.username}:{target.password}@127.0.0.1:{self._port}"
        return f"postgresql://{where}{target.path}?sslmode=disable&gssencmode=disable"

    def arm(self, cut: Cut, *at: int) -> None:
        """Cut at each of these statements, counted from 1 over all connections from now on."""
        self._cut, self._at, self.seen, self.cuts = cut, frozenset(at), 0, 0

    def arm_commit(self, cut: Cut) -> None:
        """Cut at the next COMMIT, and refuse from then on. It must be one of the first of its connection: later ones go by the
        name that the server was given for them."""
        self.arm(cut)
        self._at_commit = True

    def disarm(self) -> None:
        self._at = frozenset()

    def refuse(self, refusing: bool) -> None:
        """While it refuses, a new connection ends at once."""
        self._refusing = refusing

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Proxy]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refusing:
            self.refused += 1
            to_client.close()
            return
        # Only `run` cancels, and asyncio's server takes a cancelled task for a bug.
        with suppress(OSError, asyncio.CancelledError):
            await self._carry(client, to_client)

    async def _carry(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(self._target.hostname, self._target.port)
        wire = _Wire(self, to_client, to_server)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(wire.to_the_server(client))
                pumps.create_task(wire.to_the_client(server))
        except* (OSError, asyncio.IncompleteReadError, _Gone):
            pass
        finally:
            for writer in (to_client, to_server):
                writer.close()

    def count(self, statement: bytes) -> Cut | None:
        """One more statement: how to cut it, if at all."""
        self.seen += 1
        at_commit = self._at_commit and b"COMMIT" in statement
        if self.seen not in self._at and not at_commit:
            return None
        if at_commit:
            self._at_commit, self._refusing = False, True
        self.cuts += 1
        return self._cut


class _Gone(Exception):
    """The wire is cut."""


class _Wire:
    def __init__(self, proxy: Proxy, to_client: asyncio.StreamWriter, to_server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._to_client = to_client
        self._to_server = to_server
        self._swallowing: Cut | None = None

    async def to_the_server(self, client: asyncio.StreamReader) -> None:
        startup = await client.readexactly(4)
        self._to_server.write(startup + await client.readexactly(struct.unpack("!I", startup)[0] - 4))
        statement = b""
        while True:
            kind, message = await _message(client)
            statement += message
            cut = self._proxy.count(statement) if kind in {QUERY, SYNC} else None
            if cut is Cut.BEFORE:
                raise _Gone
            if cut in {Cut.DONE, Cut.SILENT}:
                self._swallowing = cut
            if kind in _FORWARDED:
                self._to_server.write(statement)
                await self._to_server.drain()
                statement = b""
            if cut is Cut.SENT:
                raise _Gone

    async def to_the_client(self, server: asyncio.StreamReader) -> None:
        while True:
            kind, message = await _message(server)
            if self._swallowing is None:
                self._to_client.write(message)
            elif self._swallowing is Cut.DONE and kind == READY:
                raise _Gone


async def _message(stream: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await stream.readexactly(5)
    return head[:1], head + await stream.readexactly(struct.unpack("!I", head[1:])[0] - 4)


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    async with Proxy(url).run() as proxy:
        yield proxy
