"""One thread's connection: opened when it is needed, dropped when it is of no use, and the transactions that run on it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import psycopg

from session_platform.store.port import Row, Value
from session_platform.store.postgres.address import Address, Connection, be_durable, why_not_connected
from session_platform.store.postgres.failures import Fault, fault_of

_BEGIN: Final = "BEGIN"
_BEGIN_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_COMMIT: Final = "COMMIT"
_ROLLBACK: Final = "ROLLBACK"
# The transaction gets its id behind the locks, never before: ids then rise along each timeline, as the log's order needs.
_LOCK: Final = """
    WITH held AS MATERIALIZED (SELECT COUNT(pg_advisory_xact_lock(key)) AS locks FROM unnest(%s::bigint[]) AS key)
    SELECT pg_current_xact_id()::text FROM held
"""

Cursor = psycopg.Cursor[Row]


class Link:
    """Owned by one thread; another may call `interrupt` and look at ``waiting_since``: the monotonic second since which the
    server owes an answer, None while it owes none."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Connection | None = None
        self._cursor: Cursor | None = None
        self.waiting_since: float | None = None

    @property
    def pid(self) -> int:
        """Which process of the server stands behind it; 0 for none."""
        return 0 if self._connection is None else self._connection.info.backend_pid

    # ------------------------------------------------------------------------------------------------------------ transactions

    def begin(self, keys: Sequence[int]) -> int:
        """Begin a transaction that holds the locks with these ``keys``, taken in their order: its id. Raises `Away` and
        `psycopg.Error`."""
        cursor = self._open()
        assert self._connection is not None
        with self._waiting(), self._connection.pipeline():
            cursor.execute(_BEGIN)
            cursor.execute(_LOCK, (list(keys),))
        row: Any = cursor.fetchone()
        return int(row[0])

    def begin_snapshot(self) -> None:
        """Raises `Away` and `psycopg.Error`."""
        self.execute(_BEGIN_SNAPSHOT)

    def commit(self) -> None:
        """Raises `psycopg.Error`: then nobody knows what became of the transaction."""
        self.execute(_COMMIT)
        if self._open().statusmessage != _COMMIT:
            raise psycopg.errors.InFailedSqlTransaction("COMMIT rolled back")

    def roll_back(self) -> None:
        """Leave the transaction, if there still is one."""
        if self._cursor is not None:
            try:
                self.execute(_ROLLBACK)
            except psycopg.Error:
                self.drop()

    # -------------------------------------------------------------------------------------------------------------- statements

    def execute(self, query: str, params: Mapping[str, Value] | None = None, /) -> None:
        """Raises `Away` and `psycopg.Error`."""
        cursor = self._open()
        with self._waiting():
            cursor.execute(query, params)

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return self._open().rowcount

    def fetchone(self) -> Row | None:
        return self._open().fetchone()

    def fetchall(self) -> list[Row]:
        return self._open().fetchall()

    # ----------------------------------------------------------------------------------------------------------- the connection

    def drop_if_lost(self, error: BaseException) -> None:
        """Behind an error: nothing goes on on a connection that is of no use."""
        if fault_of(error) is Fault.LOST or (self._connection is not None and self._connection.closed):
            self.drop()

    def drop(self) -> None:
        """Close it; the next use opens a new one."""
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
        self._connection = self._cursor = None

    def interrupt(self) -> None:
        """Let whatever waits for the server fail: it has not answered for too long."""
        connection = self._connection
        with contextlib.suppress(OSError, psycopg.Error):
            if connection is not None:
                with socket.socket(fileno=os.dup(connection.fileno())) as wire:
                    wire.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waiting_since = time.monotonic()
        try:
            yield
        finally:
            self.waiting_since = None

    def _open(self) -> Cursor:
        if self._cursor is None:
            try:
                self._connection = self._address.connect()
            except psycopg.Error as error:
                raise why_not_connected(error) from None
            with self._waiting():
                be_durable(self._connection)
            self._cursor = self._connection.cursor(binary=True)
        return self._cursor
