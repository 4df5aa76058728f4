"""Cuts the writer off at its n-th statement, as a disk does: before it runs, and maybe with the transaction rolled back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

import apsw

WRITER = "store-writer"


class Cut(Enum):
    """What the failing disk does to the transaction, and whether it works again right afterwards."""

    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    STAYS_BROKEN = "stays broken"
    ROLLED_BACK_AND_STAYS_BROKEN = "rolled back and stays broken"

    @property
    def rolls_back(self) -> bool:
        return self in {Cut.ROLLED_BACK, Cut.ROLLED_BACK_AND_STAYS_BROKEN}

    @property
    def stays(self) -> bool:
        return self in {Cut.STAYS_BROKEN, Cut.ROLLED_BACK_AND_STAYS_BROKEN}


class Scissors:
    """``at`` is the statement to cut, counted from the first BEGIN after `arm`; ``statement`` the SQL that was cut."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._at = 0
        self._seen = 0
        self._armed = False
        self.statement: str | None = None

    def arm(self, at: int) -> None:
        self._at, self._seen, self.statement, self._armed = at, 0, None, True

    def disarm(self) -> None:
        self._armed = False

    def follow(self, connection: apsw.Connection) -> None:
        """Called with every new connection."""
        connection.set_exec_trace(self._before_statement)

    def _before_statement(self, cursor: apsw.Cursor, sql: str, _bindings: Any) -> bool:
        if not self._armed or threading.current_thread().name != WRITER:
            return True
        if self._seen == 0 and sql != "BEGIN IMMEDIATE":
            return True
        self._seen += 1
        if self._seen < self._at:
            return True
        if self.statement is None:
            self.statement = sql
        elif not self._cut.stays:
            return True
        if self._cut.rolls_back and cursor.connection.in_transaction:
            self._armed = False
            cursor.connection.execute("ROLLBACK")
            self._armed = True
        raise apsw.FullError("the disk is full")


@contextmanager
def scissors(cut: Cut) -> Iterator[Scissors]:
    """For the stores that are opened inside."""
    cutting = Scissors(cut)
    apsw.connection_hooks.append(cutting.follow)
    try:
        yield cutting
    finally:
        apsw.connection_hooks.remove(cutting.follow)
