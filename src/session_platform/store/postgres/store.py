"""`PostgresStore`: the port on PostgreSQL, from asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence, Set
from typing import Final, TypeVar

from session_platform.clock import Clock
from session_platform.contract import DEFAULT_PUBLIC_CODES, SealedEphemeral
from session_platform.errors import Unavailable
from session_platform.ids import IdMint
from session_platform.store.delivery import Delivery
from session_platform.store.emission import Stamp
from session_platform.store.port import Reader, Tx
from session_platform.store.postgres.address import Address
from session_platform.store.postgres.commands import Commands, Job
from session_platform.store.postgres.crew import Crew
from session_platform.store.postgres.database import prepare
from session_platform.store.postgres.queries import Queries, Query
from session_platform.store.postgres.watch import ANSWER_MAX_S, Watch

R = TypeVar("R")

WRITERS: Final = 8
"""More threads only wait: for the interpreter, for the disk and for each other."""
READERS: Final = 3


class PostgresStore:
    """A `Store` in one database, beside any number of others, for the event loop that opened it."""

    def __init__(self, address: Address, stamp: Stamp, *, answer_max_s: float = ANSWER_MAX_S) -> None:
        """Use `open`."""
        self._loop = asyncio.get_running_loop()
        self._delivery = Delivery(self._loop)
        self._closed = threading.Event()
        writers = [Commands(address, stamp, self._closed) for _ in range(WRITERS)]
        readers = [Queries(address, self._closed) for _ in range(READERS)]
        self._watch = Watch([*(each.link for each in writers), *(each.link for each in readers)], answer_max_s)
        self._writers: Crew[Job] = Crew("store-writer", writers, self._delivery)
        self._readers: Crew[Query] = Crew("store-reader", readers, self._delivery)
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls,
        url: str,
        clock: Clock,
        ids: IdMint,
        *,
        public_codes: Set[str] = DEFAULT_PUBLIC_CODES,
        migrate: bool = True,
        answer_max_s: float = ANSWER_MAX_S,
    ) -> PostgresStore:
        """The store in the database at ``url``, which is migrated first unless ``migrate`` is off.

        ``public_codes`` are the intents and reasons that may ride a timeline; ``answer_max_s``: a server that is silent for
        longer is given up. Raises `StartError` in one sentence that names the setting: no server, no entry, no database, a
        database of another program or of another version.
        """
        address = Address(url)
        await asyncio.to_thread(prepare, address, migrate=migrate)
        store = cls(address, Stamp(clock, ids, public_codes), answer_max_s=answer_max_s)
        store.start()
        return store

    def start(self) -> None:
        """Let the threads begin; `open` does."""
        for each in (self._writers, self._readers, self._watch):
            each.start()

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        self._refuse_when_closing()
        future: asyncio.Future[R] = self._loop.create_future()
        self._writers.submit(Job(command, timelines, traceparent, future))
        return await future

    async def read(self, query: Callable[[Reader], R], /) -> R:
        self._refuse_when_closing()
        future: asyncio.Future[R] = self._loop.create_future()
        self._readers.submit(Query(query, future))
        return await future

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        self._delivery.on_commit(callback)

    def trouble(self) -> str | None:
        return self._writers.trouble or self._readers.trouble

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(asyncio.to_thread(self._stop))
        await asyncio.shield(self._closing)

    def _stop(self) -> None:
        self._closed.set()
        self._readers.stop()
        self._writers.stop()
        self._watch.stop()

    def _refuse_when_closing(self) -> None:
        if self._closing is not None:
            raise Unavailable
