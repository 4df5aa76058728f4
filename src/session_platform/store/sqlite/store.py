"""`SqliteStore`: the port on SQLite, from asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence, Set
from pathlib import Path
from typing import Final, TypeVar

from session_platform.clock import Clock
from session_platform.contract import DEFAULT_PUBLIC_CODES, SealedEphemeral
from session_platform.errors import Unavailable
from session_platform.ids import IdMint
from session_platform.store.delivery import Delivery
from session_platform.store.emission import Stamp
from session_platform.store.port import Reader, Tx
from session_platform.store.sqlite.batch import Job
from session_platform.store.sqlite.database import DATABASE_FILE, connect, prepare, start_errors
from session_platform.store.sqlite.directory_lock import DirectoryLock
from session_platform.store.sqlite.readers import Query, Readers
from session_platform.store.sqlite.writer import Writer

R = TypeVar("R")

READERS: Final = 3


class SqliteStore:
    """A `Store` in one directory, for the event loop that opened it."""

    def __init__(self, lock: DirectoryLock, writer: Writer, readers: Readers, delivery: Delivery) -> None:
        """Use `open`."""
        self._lock = lock
        self._writer = writer
        self._readers = readers
        self._delivery = delivery
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[None] | None = None

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

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        self._refuse_when_closing()
        future: asyncio.Future[R] = self._loop.create_future()
        self._writer.submit(Job(command, timelines, traceparent, future))
        return await future

    async def read(self, query: Callable[[Reader], R], /) -> R:
        self._refuse_when_closing()
        future: asyncio.Future[R] = self._loop.create_future()
        self._readers.submit(Query(query, future))
        return await future

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        self._delivery.on_commit(callback)

    def trouble(self) -> str | None:
        return self._writer.trouble or self._readers.trouble

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(asyncio.to_thread(self._stop))
        await asyncio.shield(self._closing)

    def _stop(self) -> None:
        self._readers.stop()
        self._writer.stop()
        self._lock.release()

    def _refuse_when_closing(self) -> None:
        if self._closing is not None:
            raise Unavailable


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
