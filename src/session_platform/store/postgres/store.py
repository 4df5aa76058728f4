"""`PostgresStore`: the port on PostgreSQL, from asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Set
from typing import Any, Final

from session_platform.clock import Clock
from session_platform.contract import DEFAULT_PUBLIC_CODES
from session_platform.ids import IdMint
from session_platform.store.awaited import AwaitedStore
from session_platform.store.delivery import Delivery
from session_platform.store.emission import Stamp
from session_platform.store.port import Reader, Tx
from session_platform.store.postgres.address import Address
from session_platform.store.postgres.commands import Commands, Job
from session_platform.store.postgres.crew import Crew
from session_platform.store.postgres.database import prepare
from session_platform.store.postgres.queries import Queries, Query
from session_platform.store.postgres.watch import ANSWER_MAX_S, Watch

WRITERS: Final = 8
"""More threads only wait: for the interpreter, for the disk and for each other."""
READERS: Final = 3


class PostgresStore(AwaitedStore):
    """A `Store` in one database, beside any number of others, for the event loop that opened it."""

    def __init__(self, address: Address, stamp: Stamp, *, answer_max_s: float = ANSWER_MAX_S) -> None:
        """Use `open`."""
        super().__init__(Delivery(asyncio.get_running_loop()))
        self._closed = threading.Event()
        writers = [Commands(address, stamp, self._closed) for _ in range(WRITERS)]
        readers = [Queries(address, self._closed) for _ in range(READERS)]
        self._watch = Watch([*(each.link for each in writers), *(each.link for each in readers)], answer_max_s)
        self._writers: Crew[Job] = Crew("store-writer", writers, self._delivery)
        self._readers: Crew[Query] = Crew("store-reader", readers, self._delivery)

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

    def _submit_command(
        self, command: Callable[[Tx], Any], timelines: tuple[str, ...], traceparent: str | None, future: asyncio.Future[Any]
    ) -> None:
        self._writers.submit(Job(command, timelines, traceparent, future))

    def _submit_query(self, query: Callable[[Reader], Any], future: asyncio.Future[Any]) -> None:
        self._readers.submit(Query(query, future))

    def trouble(self) -> str | None:
        return self._writers.trouble or self._readers.trouble

    def _stop(self) -> None:
        self._closed.set()
        self._readers.stop()
        self._writers.stop()
        self._watch.stop()
