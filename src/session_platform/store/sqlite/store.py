"""`SqliteStore`: the port on SQLite, from asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any, Final

from session_platform.clock import Clock
from session_platform.contract import DEFAULT_PUBLIC_CODES
from session_platform.ids import IdMint
from session_platform.store.awaited import AwaitedStore
from session_platform.store.delivery import Delivery
from session_platform.store.emission import Stamp
from session_platform.store.port import Reader, Tx
from session_platform.store.sqlite.batch import Job
from session_platform.store.sqlite.database import DATABASE_FILE, connect, prepare, start_errors
from session_platform.store.sqlite.directory_lock import DirectoryLock
from session_platform.store.sqlite.readers import Query, Readers
from session_platform.store.sqlite.writer import Writer

READERS: Final = 3


class SqliteStore(AwaitedStore):
    """A `Store` in one directory, for the event loop that opened it."""

    def __init__(self, lock: DirectoryLock, writer: Writer, readers: Readers, delivery: Delivery) -> None:
        """Use `open`."""
        super().__init__(delivery)
        self._lock = lock
        self._writer = writer
        self._readers = readers

    @classmethod
    async def open(
        cls,
        directory: Path,
        clock: Clock,
        ids: IdMint,
        *,
        public_codes: Set[str] = DEFAULT_PUBLIC_CODES,
        vfs: str | None = None,
    ) -> SqliteStore:
        """The store in ``directory``, which is created when missing and held until `close` or the end of the process.

        ``public_codes`` are the intents and reasons that may ride a timeline; ``vfs`` names the SQLite file system to use.
        Raises `StartError` in one sentence: directory in use, disk full, database damaged, of another program or newer.
        """
        delivery = Delivery(asyncio.get_running_loop())
        stamp = Stamp(clock, ids, public_codes)
        lock, writer, readers = await asyncio.to_thread(_start, directory, delivery, stamp, vfs)
        return cls(lock, writer, readers, delivery)

    def _submit_command(
        self, command: Callable[[Tx], Any], timelines: tuple[str, ...], traceparent: str | None, future: asyncio.Future[Any]
    ) -> None:
        self._writer.submit(Job(command, timelines, traceparent, future))

    def _submit_query(self, query: Callable[[Reader], Any], future: asyncio.Future[Any]) -> None:
        self._readers.submit(Query(query, future))

    def trouble(self) -> str | None:
        return self._writer.trouble or self._readers.trouble

    def _stop(self) -> None:
        self._readers.stop()
        self._writer.stop()
        self._lock.release()


def _start(directory: Path, delivery: Delivery, stamp: Stamp, vfs: str | None) -> tuple[DirectoryLock, Writer, Readers]:
    lock = DirectoryLock(directory)
    try:
        prepare(directory, vfs)
        with start_errors(directory / DATABASE_FILE):
            writer = Writer(connect(directory, vfs), delivery, stamp)
            readers = Readers([connect(directory, vfs, read_only=True) for _ in range(READERS)], delivery)
    except BaseException:
        lock.release()
        raise
    writer.start()
    readers.start()
    return lock, writer, readers
