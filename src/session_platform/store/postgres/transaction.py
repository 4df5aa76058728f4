"""What a query and a command see of PostgreSQL: `PostgresReader` and `PostgresTx`.

A statement that failed ends its transaction for the command: every later statement fails with the same error, and a command
that swallows it is rolled back all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from session_platform.store.emission import Emitting, Stamp
from session_platform.store.port import Row, Value
from session_platform.store.postgres.dialect import translated
from session_platform.store.postgres.failures import as_seen_by_callers


class Statements(Protocol):
    """What is used of a cursor."""

    @property
    def rowcount(self) -> int: ...

    def execute(self, query: str, params: Mapping[str, Value], /) -> Any: ...

    def fetchone(self) -> Row | None: ...

    def fetchall(self) -> list[Row]: ...


class _Ended:
    """Stands where the cursor was: raises instead of running anything."""

    rowcount = 0

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def execute(self, query: str, params: Mapping[str, Value], /) -> Any:  # noqa: ARG002 the cursor's signature
        raise self._error

    def fetchone(self) -> Row | None:
        raise self._error

    def fetchall(self) -> list[Row]:
        raise self._error


_OVER = _Ended(RuntimeError("this transaction is over: read everything before the command or query returns"))


class PostgresReader:
    """One snapshot, or the transaction of a command. ``failure`` is the first error of a statement."""

    __slots__ = ("_statements", "failure")

    def __init__(self, statements: Statements) -> None:
        self._statements = statements
        self.failure: Exception | None = None

    def one(self, sql: str, /, **params: Value) -> Row | None:
        self._run(sql, params)
        return self._statements.fetchone()

    def all(self, sql: str, /, **params: Value) -> list[Row]:
        self._run(sql, params)
        return self._statements.fetchall()

    def end(self) -> None:
        """Whoever kept this object cannot use it any more."""
        self._statements = _OVER

    def _run(self, sql: str, params: Mapping[str, Value]) -> None:
        try:
            self._statements.execute(translated(sql), params)
        except Exception as error:
            if isinstance(self._statements, _Ended):
                raise
            self.failure = error
            seen = as_seen_by_callers(error)
            self._statements = _Ended(seen)
            # Not `from error`: its text may quote the values of a row.
            raise seen from None


class PostgresTx(PostgresReader, Emitting):
    """One command's transaction."""

    def __init__(self, statements: Statements, stamp: Stamp, timelines: tuple[str, ...], traceparent: str | None) -> None:
        PostgresReader.__init__(self, statements)
        Emitting.__init__(self, stamp, timelines, traceparent)

    def execute(self, sql: str, /, **params: Value) -> int:
        self._run(sql, params)
        return max(self._statements.rowcount, 0)
