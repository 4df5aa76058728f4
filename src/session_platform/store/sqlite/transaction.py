"""What a query and a command see of SQLite: `SqliteReader` and `SqliteTx`.

A statement that failed ends its transaction for the command: every later statement fails with the same error, and a command
that swallows it is rolled back all the same. Otherwise a command could go on after SQLite has rolled everything back by itself
(it does when the disk is full), and its next statement would be a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import apsw

from session_platform.store.emission import Emitting, Stamp
from session_platform.store.port import Row, Value
from session_platform.store.sqlite.failures import as_seen_by_callers


class _Statements(Protocol):
    def execute(self, statements: str, bindings: Mapping[str, Value], /) -> Any: ...

    def changes(self) -> int: ...


class _Ended:
    """Stands where the connection was: raises instead of running anything."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def execute(self, statements: str, bindings: Mapping[str, Value], /) -> Any:  # noqa: ARG002 the connection's signature
        raise self._error

    def changes(self) -> int:
        raise self._error


_OVER = _Ended(RuntimeError("this transaction is over: read everything before the command or query returns"))


class SqliteReader:
    """One snapshot, or the transaction of a command. ``failure`` is the first error of a statement."""

    __slots__ = ("_statements", "failure")

    def __init__(self, connection: apsw.Connection) -> None:
        self._statements: _Statements = connection
        self.failure: BaseException | None = None

    def one(self, sql: str, /, **params: Value) -> Row | None:
        try:
            row: Row | None = self._statements.execute(sql, params).fetchone()
        except apsw.Error as error:
            raise self._failed(error) from error
        return row

    def all(self, sql: str, /, **params: Value) -> list[Row]:
        try:
            rows: list[Row] = self._statements.execute(sql, params).fetchall()
        except apsw.Error as error:
            raise self._failed(error) from error
        return rows

    def end(self) -> None:
        """Whoever kept this object cannot use it any more."""
        self._statements = _OVER

    def _failed(self, error: apsw.Error) -> BaseException:
        if self.failure is None:
            self.failure = error
            self._statements = _Ended(as_seen_by_callers(error))
        return as_seen_by_callers(self.failure)


class SqliteTx(SqliteReader, Emitting):
    """One command's part of a batch."""

    def __init__(self, connection: apsw.Connection, stamp: Stamp, timelines: tuple[str, ...], traceparent: str | None) -> None:
        SqliteReader.__init__(self, connection)
        Emitting.__init__(self, stamp, timelines, traceparent)

    def execute(self, sql: str, /, **params: Value) -> int:
        try:
            self._statements.execute(sql, params)
            return self._statements.changes()
        except apsw.Error as error:
            raise self._failed(error) from error
