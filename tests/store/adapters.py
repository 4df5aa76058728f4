"""The databases that the room's suite runs on. Each gives a test an empty home, on which a store is opened again and again."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Protocol, TypeVar

from session_platform.clock import Clock, SystemClock
from session_platform.ids import IdMint
from session_platform.store import Reader, Store
from session_platform.store.postgres import PostgresStore
from session_platform.store.sqlite import SqliteStore
from tests.servers import Postgres

Reopen = Callable[[], Awaitable[Store]]
"""Opens the test's store; after it was closed, opens it again with all that is in it."""
TEMPLATE: Final = "store"
R = TypeVar("R")


class Adapter(Protocol):
    """``name`` is the folder of the adapter."""

    @property
    def name(self) -> str: ...

    def home(self, clock: Clock) -> AbstractAsyncContextManager[Reopen]:
        """What was opened on it is closed, and the data gone, at its end."""
        ...


class Sqlite:
    name = "sqlite"

    @asynccontextmanager
    async def home(self, clock: Clock) -> AsyncIterator[Reopen]:
        with tempfile.TemporaryDirectory() as directory:
            async with _closing(lambda: SqliteStore.open(Path(directory) / "data", clock, IdMint())) as reopen:
                yield reopen


class Unhurried(PostgresStore):
    """Reads once the log shows what was committed. It may hide the newest for a moment while other tests' transactions run on
    the same server, which is right for who follows the log, and not what these tests are about."""

    LOOKS_MAX: Final = 200
    HIDES: Final = "SELECT 1 FROM outbox WHERE id >= log_edge() LIMIT 1"

    async def read(self, query: Callable[[Reader], R], /) -> R:
        for _ in range(self.LOOKS_MAX):
            found = await super().read(lambda reader: [query(reader)] if reader.one(self.HIDES) is None else [])
            if found:
                return found[0]
            if self._closing is not None:
                break
        return await super().read(query)


class OnPostgres:
    name = "postgres"

    def __init__(self, server: Postgres) -> None:
        self._server = server

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The URL of a database with our schema and nothing in it."""
        async with self._server.database(await self._server.template(TEMPLATE, _migrated)) as url:
            yield url

    @asynccontextmanager
    async def home(self, clock: Clock) -> AsyncIterator[Reopen]:
        async with self.database() as url, _closing(lambda: Unhurried.open(url, clock, IdMint())) as reopen:
            yield reopen


async def _migrated(url: str) -> None:
    await (await PostgresStore.open(url, SystemClock(), IdMint())).close()


@asynccontextmanager
async def _closing(open_again: Reopen) -> AsyncIterator[Reopen]:
    opened: list[Store] = []

    async def reopen() -> Store:
        opened.append(await open_again())
        return opened[-1]

    try:
        yield reopen
    finally:
        for store in opened:
            await store.close()
