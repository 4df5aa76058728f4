"""Care relationships that begin and end, as numbered rows that every gateway reads on.

A row says between whom a relationship may have changed and behind which number of the member's timeline: a gateway that looks
again then delivers up to that number and nothing above it (docs/adr/0006). Whether the right really ended is seen by looking:
another relationship may still hold. Numbers rise in the order of commits: with one writer, or because the database has it so.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from session_platform.clock import to_micros
from session_platform.store import Reader, Tx, outbox

Relation = Callable[[Reader, str, str], bool]
"""``(reader, staff_id, member_id)``: whether this kind of care relationship holds between them."""

EVERY_MEMBER: Final = "*"
KEPT_FOR: Final = timedelta(hours=1)
"""Rows older than that are of no use: a gateway that could not read them for ten seconds has closed what they concern."""

_INSERT: Final = """
INSERT INTO right_change (member_id, staff_id, seq, at) VALUES (:member_id, :staff_id, :seq, :at)
"""
_AFTER: Final = """
SELECT number, member_id, staff_id, seq FROM right_change WHERE number > :after ORDER BY number
"""
_LAST: Final = "SELECT COALESCE(MAX(number), 0) FROM right_change"
_BETWEEN: Final = """
SELECT number, member_id, staff_id, seq FROM right_change
WHERE member_id IN (:member_id, '*') AND number > :after AND (staff_id IS NULL OR staff_id = :staff_id)
ORDER BY number DESC LIMIT 1
"""
# The newest stays, so that the highest number is still known.
_FORGET: Final = """
DELETE FROM right_change WHERE at < :before AND number < (SELECT MAX(number) FROM right_change)
"""


class RightChange(NamedTuple):
    """``member_id`` `EVERY_MEMBER` means all of them; ``staff_id`` None anybody. ``seq`` is the last number of the member's
    timeline before the change; None where no number says it."""

    number: int
    member_id: str
    staff_id: str | None
    seq: int | None

    def concerns(self, staff_id: str, member_id: str) -> bool:
        """Whether it may have changed what this staff member may see of that member."""
        return self.member_id in {member_id, EVERY_MEMBER} and self.staff_id in {staff_id, None}


def rights_changed(tx: Tx, member_id: str, staff_id: str | None = None) -> None:
    """Say that a care relationship of ``member_id`` with ``staff_id`` (None: with anybody) may have begun or ended in ``tx``.

    Call it in the transaction of the change, which has named the member's timeline, and *behind* the `tx.emit` of the event
    that the change comes with: that event is still delivered to who loses the right, nothing numbered after it is. Name the
    staff member where it is known, one call each: then nobody who lost nothing is looked at. ``member_id`` '*': every member of
    a panel; no event is fenced then, a stream ends where it stands.
    """
    seq = None if member_id == EVERY_MEMBER else outbox.head(tx, member_id).last.seq
    tx.execute(_INSERT, member_id=member_id, staff_id=staff_id, seq=seq, at=to_micros(tx.now))


def changes_after(reader: Reader, number: int) -> list[RightChange]:
    """Every change numbered above ``number``, in order."""
    return [RightChange(*row) for row in reader.all(_AFTER, after=number)]


def last_change(reader: Reader) -> int:
    """The number of the newest change; 0 before the first."""
    row = reader.one(_LAST)
    return 0 if row is None else int(row[0])


def newest_change(reader: Reader, staff_id: str, member_id: str, after: int) -> RightChange | None:
    """The newest change above number ``after`` that concerns the two."""
    row = reader.one(_BETWEEN, staff_id=staff_id, member_id=member_id, after=after)
    return None if row is None else RightChange(*row)


def forget_changes(tx: Tx, before: datetime) -> int:
    """Delete changes from before ``before``: how many."""
    return tx.execute(_FORGET, before=to_micros(before))
