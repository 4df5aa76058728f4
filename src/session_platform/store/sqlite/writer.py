"""The one thread that writes: takes what waits as a batch, and hands the answers over after its commit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from typing import Final

import apsw

from session_platform.errors import Unavailable
from session_platform.store.delivery import Answer, Delivery
from session_platform.store.emission import Stamp
from session_platform.store.sqlite.batch import Batch, Done, Job
from session_platform.store.sqlite.failures import sentence_for

BATCH_MAX_JOBS: Final = 256
WAITING_MAX_JOBS: Final = 20_000
"""Callers wait for their own command, so only a store that stands still gets near this; then they are refused at once."""
CHECKPOINT_PAGES: Final = 1000
PROBE_S: Final = 1.0

# The smallest durable change there is. It must be one: SQLite writes nothing for a row that stays as it was.
_PROBE: Final = "UPDATE schema_version SET probes = probes + 1 WHERE version = 1"


class Writer:
    """Owns the writing connection. ``trouble`` is a sentence while it cannot write."""

    def __init__(self, connection: apsw.Connection, delivery: Delivery, stamp: Stamp) -> None:
        self._connection = connection
        self._delivery = delivery
        self._batch = Batch(connection, stamp)
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._left: Sequence[Job] = ()
        self._stopping = False
        self._wal_pages = 0
        self.trouble: str | None = None
        # In place of SQLite's own checkpoint inside COMMIT: ours runs after the answers have left.
        connection.set_wal_hook(self._note_wal_pages)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job. Raises `Unavailable` when too many wait."""
        if self._queue.qsize() >= WAITING_MAX_JOBS:
            raise Unavailable
        self._queue.put(job)

    def stop(self) -> None:
        """Finish what was submitted, then close the connection; blocks until that is done."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while jobs := self._next_jobs():
            self._work_off(jobs)
        self._connection.close()

    def _next_jobs(self) -> list[Job]:
        """What waits, at most a batch of it; empty at the end."""
        jobs = list(self._left)
        while not jobs and not self._stopping:
            try:
                self._take(self._queue.get(timeout=PROBE_S if self.trouble else None), jobs)
            except queue.Empty:
                # Nobody writes, but somebody may wait for us to become ready again.
                self._checkpoint_when_due()
                self.trouble = self._probe()
        while len(jobs) < BATCH_MAX_JOBS and not self._queue.empty():
            self._take(self._queue.get(), jobs)
        return jobs

    def _take(self, job: Job | None, jobs: list[Job]) -> None:
        if job is None:
            self._stopping = True
        else:
            jobs.append(job)

    def _work_off(self, jobs: Sequence[Job]) -> None:
        try:
            done = self._batch.run(jobs)
        except Exception as error:  # noqa: BLE001 a bug in here must not leave callers waiting for ever
            self._batch.roll_back()
            done = Done([Answer(job.future, None, error) for job in jobs])
        self._left = done.left
        self.trouble = done.trouble
        if done.doubtful:
            # The failed COMMIT may lie complete in the write-ahead log (only its sync failed), and a crash now would bring it
            # back although its callers are told that nothing changed. A small commit in its place overwrites it; where that
            # fails too, the doubt ends with the next commit.
            self._probe()
        self._delivery.hand_over(done.answers, done.news)
        self._checkpoint_when_due()

    def _probe(self) -> str | None:
        """Commit the smallest change: the sentence for `trouble` when that fails."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(_PROBE)
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            self._batch.roll_back()
            return sentence_for(error) or str(error)
        return None

    def _note_wal_pages(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint_when_due(self) -> None:
        """Also in any trouble: on a full disk a log that was brought over is written from its beginning again, in its own
        space."""
        if self._wal_pages < CHECKPOINT_PAGES and self.trouble is None:
            return
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # Nothing is lost: the log holds it all, and the next commit comes here again.
            return
