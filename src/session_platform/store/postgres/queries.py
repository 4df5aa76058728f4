"""One query, one snapshot, on a connection of its own."""

from __future__ import annotations

import threading
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from session_platform.store.delivery import Answer
from session_platform.store.port import Reader
from session_platform.store.postgres.address import Address
from session_platform.store.postgres.commands import RUN_AGAIN_S, Done
from session_platform.store.postgres.failures import Away, Fault, as_seen_by_callers, fault_of, sentence_for
from session_platform.store.postgres.link import Link
from session_platform.store.postgres.transaction import PostgresReader

RUNS_MAX: Final = 3
_PROBE: Final = "SELECT COUNT(*) FROM schema_version"


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A query that somebody awaits."""

    query: Callable[[Reader], Any]
    future: Future[Any]
    timelines: tuple[str, ...] = ()


class Queries:
    """Runs queries in one thread."""

    def __init__(self, address: Address, closing: threading.Event) -> None:
        self.link = Link(address)
        self._closing = closing

    def perform(self, work: Query) -> Done:
        for run in range(1, RUNS_MAX + 1):
            result, cause, raised = self._snapshot(work)
            if raised is None or fault_of(cause) not in {Fault.LOST, Fault.AGAIN} or run == RUNS_MAX:
                break
            self._closing.wait(RUN_AGAIN_S * run)
        if raised is None:
            return Done(Answer(work.future, result, None))
        return Done(Answer(work.future, None, as_seen_by_callers(raised)), None, sentence_for(cause), isinstance(cause, Away))

    def probe(self) -> str | None:
        """Read the least: the sentence for `trouble` when that fails."""
        try:
            self.link.execute(_PROBE)
        except (Away, psycopg.Error) as error:
            self.link.drop()
            return sentence_for(error) or "The database server does not answer."
        return None

    def close(self) -> None:
        self.link.drop()

    def _snapshot(self, work: Query) -> tuple[Any, Any, BaseException | None]:
        """Result, what failed first, and what was raised."""
        reader: PostgresReader | None = None
        try:
            self.link.begin_snapshot()
            reader = PostgresReader(self.link)
            result = work.query(reader)
            if reader.failure is not None:
                raise reader.failure
        except BaseException as error:  # noqa: BLE001 whatever a query raises belongs to its caller, not to this thread
            cause = (reader and reader.failure) or error
            self.link.drop_if_lost(cause)
            return None, cause, error
        else:
            return result, None, None
        finally:
            if reader is not None:
                reader.end()
            self.link.roll_back()
