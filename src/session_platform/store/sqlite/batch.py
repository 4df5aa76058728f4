"""Many commands in one transaction: each in a savepoint, one COMMIT, and the truth about each of them.

The law of this module: a command is answered only after a COMMIT that followed its last run, or with an error when its effect
is certainly gone. SQLite may roll the whole transaction back by itself at any error (it does when the disk is full); ``ROLLBACK
TO`` then fails, and the next SAVEPOINT would open, and its RELEASE commit, a transaction of its own. So after every error, and
after every command, we look whether our transaction is still open. Where it is lost, only the command that lost it is answered;
the others, also those that refused (they may have read what is gone now), run again from the beginning.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import apsw

from session_platform.contract import SealedEphemeral
from session_platform.store.delivery import Answer
from session_platform.store.emission import Stamp
from session_platform.store.port import Tx
from session_platform.store.sqlite.failures import as_seen_by_callers, sentence_for
from session_platform.store.sqlite.transaction import SqliteTx

BATCH_MAX_S: Final = 0.010
"""After this long a batch commits what it has: the first of a hundred slow commands does not wait for the last."""


class Job(NamedTuple):
    """A command that somebody awaits."""

    command: Callable[[Tx], Any]
    timelines: tuple[str, ...]
    traceparent: str | None
    future: Future[Any]


class Done(NamedTuple):
    """``answers`` may leave; ``left`` has not begun.

    ``news`` are the ephemeral events for the listeners (None: there is nothing for them, in the outbox neither). ``doubtful``:
    a COMMIT failed, and its effects may still come back after a crash. ``trouble``, for the operator: a disk or a lock was in
    the way of at least one command.
    """

    answers: list[Answer]
    news: list[SealedEphemeral] | None = None
    left: Sequence[Job] = ()
    doubtful: bool = False
    trouble: str | None = None


class _Lost(Exception):
    """The transaction did not survive a command's error: nothing of it is in the database."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class _Attempt:
    """What has come of one transaction so far."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.ephemeral: list[SealedEphemeral] = []
        self.emitted = False
        self.trouble: str | None = None

    @property
    def news(self) -> list[SealedEphemeral] | None:
        return self.ephemeral if self.emitted or self.ephemeral else None


class Batch:
    """Runs jobs on a connection that nobody else uses."""

    def __init__(self, connection: apsw.Connection, stamp: Stamp) -> None:
        self._connection = connection
        self._stamp = stamp

    def run(self, jobs: Sequence[Job]) -> Done:
        """Answer a first part of ``jobs`` (all, unless they take long)."""
        waiting = list(jobs)
        lost: list[Answer] = []
        trouble: str | None = None
        while waiting:
            attempt = _Attempt()
            try:
                self._begin()
            except apsw.Error as error:
                return self._refuse_all(waiting, lost, error, doubtful=False)
            try:
                self._run_commands(waiting, attempt)
            except _Lost as loss:
                self.roll_back()
                lost.append(_refusal(waiting.pop(len(attempt.answers)), loss.error))
                trouble = sentence_for(loss.error) or trouble
                continue
            try:
                self._connection.execute("COMMIT")
            except apsw.Error as error:
                return self._refuse_all(waiting, lost, error, doubtful=True)
            left = waiting[len(attempt.answers) :]
            return Done(lost + attempt.answers, attempt.news, left, trouble=attempt.trouble or trouble)
        return Done(lost, trouble=trouble)

    def roll_back(self) -> None:
        """Leave the transaction, if there still is one. If even that fails, the next `_begin` tries again."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error:
            return

    def _begin(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._connection.execute("BEGIN IMMEDIATE")

    def _refuse_all(self, jobs: Sequence[Job], lost: list[Answer], error: apsw.Error, *, doubtful: bool) -> Done:
        self.roll_back()
        refused = [_refusal(job, error) for job in jobs]
        return Done(lost + refused, doubtful=doubtful, trouble=sentence_for(error) or str(error))

    def _run_commands(self, jobs: Sequence[Job], attempt: _Attempt) -> None:
        monotonic = self._stamp.clock.monotonic
        until_s = monotonic() + BATCH_MAX_S
        for job in jobs:
            attempt.answers.append(self._run_command(job, attempt))
            if monotonic() > until_s:
                return

    def _run_command(self, job: Job, attempt: _Attempt) -> Answer:
        if job.future.cancelled():
            return Answer(job.future, None, None)
        tx = SqliteTx(self._connection, self._stamp, job.timelines, job.traceparent)
        try:
            self._connection.execute("SAVEPOINT command")
            result = job.command(tx)
            if tx.failure is not None:
                raise tx.failure
            self._connection.execute("RELEASE command")
        except BaseException as error:  # noqa: BLE001 whatever a command raises belongs to its caller, not to this thread
            self._undo_command(tx.failure or error)
            attempt.trouble = sentence_for(tx.failure or error) or attempt.trouble
            return _refusal(job, error)
        finally:
            tx.end()
        if not self._connection.in_transaction:
            raise _Lost(RuntimeError("the command ended the store's transaction"))
        attempt.ephemeral.extend(tx.ephemeral)
        attempt.emitted |= tx.emitted
        return Answer(job.future, result, None)

    def _undo_command(self, error: BaseException) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO command")
                self._connection.execute("RELEASE command")
        except apsw.Error:
            raise _Lost(error) from error
        if not self._connection.in_transaction:
            raise _Lost(error) from error


def _refusal(job: Job, error: BaseException) -> Answer:
    return Answer(job.future, None, as_seen_by_callers(error))
