"""What a query and a command see of SQLite: `SqliteReader` and `SqliteTx`.

A statement that failed ends its transaction for the command: every later statement fails with the same error, and a command
that swallows it is rolled back all the same. Otherwise a command could go on after SQLite has rolled everything back by itself
(it does when the disk is full), and its next statement would be a transaction of its own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Set
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import apsw

from session_platform.clock import Clock
from session_platform.contract import DurableEvent, EphemeralEvent, SealedEphemeral, seal, seal_ephemeral, spec_of
from session_platform.ids import IdMint
from session_platform.store import outbox
from session_platform.store.port import Row, Value
from session_platform.store.sqlite.failures import as_seen_by_callers

EVENT_ID_PREFIX = "evt"


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


class Stamp(NamedTuple):
    """Where a transaction's time and ids come from, and which intents and reasons may ride a timeline."""

    clock: Clock
    ids: IdMint
    public_codes: Set[str]


class SqliteTx(SqliteReader):
    """One command's part of a batch. ``ephemeral`` collects what goes to the listeners after the commit, ``emitted`` says
    whether there is anything new for them in the outbox."""

    __slots__ = ("_stamp", "_timelines", "_traceparent", "emitted", "ephemeral", "now")

    def __init__(self, connection: apsw.Connection, stamp: Stamp, timelines: tuple[str, ...], traceparent: str | None) -> None:
        super().__init__(connection)
        self._stamp = stamp
        self._timelines = timelines
        self._traceparent = traceparent
        self.now: datetime = stamp.clock.now()
        self.ephemeral: list[SealedEphemeral] = []
        self.emitted = False

    @property
    def traceparent(self) -> str:
        if self._traceparent is None:
            self._traceparent = _new_trace()
        return self._traceparent

    def mint(self, prefix: str) -> str:
        return self._stamp.ids.mint(prefix, self.now)

    def execute(self, sql: str, /, **params: Value) -> int:
        try:
            self._statements.execute(sql, params)
            return self._statements.changes()
        except apsw.Error as error:
            raise self._failed(error) from error

    def emit(self, event: DurableEvent, *, source: str | None = None, event_id: str | None = None) -> int:
        if event.member_id not in self._timelines:
            raise ValueError("the command emits on a timeline that it did not name")
        head = outbox.head(self, event.member_id)
        sealed = seal(
            event,
            event_id=event_id or self.mint(EVENT_ID_PREFIX),
            source=source or spec_of(type(event)).source,
            time=self.now,
            seq=head.last.seq + 1,
            epoch=head.epoch,
            traceparent=self.traceparent,
            public_codes=self._stamp.public_codes,
        )
        outbox.append(self, sealed)
        self.emitted = True
        return sealed.seq

    def emit_ephemeral(self, event: EphemeralEvent, *, source: str | None = None) -> None:
        self.ephemeral.append(
            seal_ephemeral(
                event,
                event_id=self.mint(EVENT_ID_PREFIX),
                source=source or spec_of(type(event)).source,
                time=self.now,
                traceparent=self.traceparent,
            )
        )


def _new_trace() -> str:
    """A trace that nobody recorded so far."""
    digits = secrets.token_hex(24)
    return f"00-{digits[:32]}-{digits[32:]}-00"
