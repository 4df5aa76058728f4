"""The rows of running and ended checks: who asks for an account at a payer now, and what was answered.

At most one check of an account and payer runs (a partial unique index says so). One that nobody works on any more must not
block the others, so a running row is taken over by a later attempt of its own task, and by anybody once it is older than an
attempt can be. Taking over ends the old row: if its asker lives after all, it finds the row ended and changes nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from session_platform.clock import to_micros
from session_platform.store.port import Reader, Tx

RUNNING: Final = """
SELECT check_id, task_id, started_at FROM eligibility_check
 WHERE account_id = :account_id AND payer_id = :payer_id AND ended_at IS NULL"""
START: Final = """
INSERT INTO eligibility_check (check_id, account_id, payer_id, task_id, started_at)
VALUES (:check_id, :account_id, :payer_id, :task_id, :now)
ON CONFLICT (account_id, payer_id) WHERE ended_at IS NULL DO NOTHING"""
END: Final = """
UPDATE eligibility_check SET ended_at = :now, failure = :failure, answer = :answer
 WHERE check_id = :check_id AND ended_at IS NULL"""
END_ALL: Final = "UPDATE eligibility_check SET ended_at = :now, failure = :failure WHERE ended_at IS NULL"
LOOK: Final = "SELECT started_at, ended_at, answer FROM eligibility_check WHERE check_id = :check_id"
FORGET: Final = """
DELETE FROM eligibility_check WHERE check_id IN (
    SELECT check_id FROM eligibility_check WHERE ended_at < :before ORDER BY ended_at LIMIT :limit
)"""
COVERAGE: Final = "SELECT coverage_id FROM eligibility_check WHERE check_id = :check_id"
SET_COVERAGE: Final = "UPDATE eligibility_check SET coverage_id = :coverage_id WHERE check_id = :check_id"

ABANDONED: Final = "abandoned"
"""The row's ``failure`` when its asker went away."""


class Question(NamedTuple):
    """Which task asks about which account at which payer."""

    task_id: str
    account_id: str
    payer_id: str


class Place(NamedTuple):
    """``mine``: ask under this check; else it is another's, to be waited for."""

    check_id: str
    mine: bool


class Row(NamedTuple):
    """Times are microseconds; ``ended_at`` None: it runs. ``answer`` is the payer's, byte for byte; None: there was none."""

    started_at: int
    ended_at: int | None
    answer: bytes | None


def begin(tx: Tx, question: Question, abandoned_after_us: int) -> Place | None:
    """A check of one's own, or the one to join. None: another started and ended it in this moment; begin again."""
    where = {"account_id": question.account_id, "payer_id": question.payer_id}
    now = to_micros(tx.now)
    running = tx.one(RUNNING, **where)
    if running is not None:
        check_id, task_id, started_at = running
        if task_id != question.task_id and now - started_at <= abandoned_after_us:
            return Place(check_id, mine=False)
        tx.execute(END, check_id=check_id, now=now, failure=ABANDONED, answer=None)
    check_id = tx.mint("chk")
    if tx.execute(START, check_id=check_id, task_id=question.task_id, now=now, **where):
        return Place(check_id, mine=True)
    running = tx.one(RUNNING, **where)
    return Place(running[0], mine=False) if running else None


def end(tx: Tx, check_id: str, *, answer: bytes | None = None, failure: str | None = None) -> int:
    """End a check with the payer's answer or without one; when it was, in microseconds. One that has ended stays as it is."""
    now = to_micros(tx.now)
    tx.execute(END, check_id=check_id, now=now, failure=failure, answer=answer)
    return now


def free_checks(tx: Tx) -> int:
    """End every running check, when nobody can be working on one: how many there were."""
    return tx.execute(END_ALL, now=to_micros(tx.now), failure=ABANDONED)


def look(reader: Reader, check_id: str) -> Row:
    """How a check stands."""
    row = reader.one(LOOK, check_id=check_id)
    assert row is not None, "a check is kept for days after its end"
    return Row(*row)


def forget(tx: Tx, before: datetime, limit: int) -> int:
    """Delete at most ``limit`` checks that ended before that time, the oldest first: how many."""
    return tx.execute(FORGET, before=to_micros(before), limit=limit)


def coverage_id_of(reader: Reader, check_id: str) -> str | None:
    """The coverage that was stored from this check's answer."""
    row = reader.one(COVERAGE, check_id=check_id)
    return None if row is None else row[0]


def set_coverage_id(tx: Tx, check_id: str, coverage_id: str) -> None:
    tx.execute(SET_COVERAGE, check_id=check_id, coverage_id=coverage_id)
