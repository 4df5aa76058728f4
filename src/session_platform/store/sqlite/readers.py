"""A few threads that read, each on its own connection: one query, one snapshot."""

from __future__ import annotations

import queue
import threading
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from session_platform.errors import Unavailable
from session_platform.store.delivery import Answer, Delivery
from session_platform.store.port import Reader
from session_platform.store.sqlite.failures import as_seen_by_callers, sentence_for
from session_platform.store.sqlite.transaction import SqliteReader

WAITING_MAX_QUERIES: Final = 20_000
"""As for commands: only a store that stands still gets near this."""
PROBE_S: Final = 1.0

_ANYTHING: Final = "SELECT COUNT(*) FROM schema_version"


class Query(NamedTuple):
    """A query that somebody awaits."""

    query: Callable[[Reader], Any]
    future: Future[Any]


class Readers:
    """One thread a connection, fed by one queue. ``trouble`` is a sentence while they cannot read."""

    def __init__(self, connections: Sequence[apsw.Connection], delivery: Delivery) -> None:
        self._delivery = delivery
        self._queue: queue.SimpleQueue[Query | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, args=(connection,), name=f"store-reader-{number}", daemon=True)
            for number, connection in enumerate(connections, start=1)
        ]
        self.trouble: str | None = None

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, query: Query) -> None:
        """Queue a query. Raises `Unavailable` when too many wait."""
        if self._queue.qsize() >= WAITING_MAX_QUERIES:
            raise Unavailable
        self._queue.put(query)

    def stop(self) -> None:
        """Finish what was submitted, then close the connections; blocks until that is done."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, connection: apsw.Connection) -> None:
        while True:
            try:
                query = self._queue.get(timeout=PROBE_S if self.trouble else None)
            except queue.Empty:
                self._snapshot(connection, lambda reader: reader.one(_ANYTHING))
                continue
            if query is None:
                connection.close()
                return
            if not query.future.cancelled():
                result, error = self._snapshot(connection, query.query)
                self._delivery.hand_over([Answer(query.future, result, error)])

    def _snapshot(self, connection: apsw.Connection, query: Callable[[Reader], Any]) -> tuple[Any, BaseException | None]:
        reader = SqliteReader(connection)
        try:
            connection.execute("BEGIN")
            result = query(reader)
            if reader.failure is not None:
                raise reader.failure
        except BaseException as error:  # noqa: BLE001 whatever a query raises belongs to its caller, not to this thread
            self.trouble = sentence_for(reader.failure or error)
            return None, as_seen_by_callers(error)
        else:
            self.trouble = None
            return result, None
        finally:
            reader.end()
            _leave(connection)


def _leave(connection: apsw.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except apsw.Error:
        # The next BEGIN fails and comes here again.
        return
