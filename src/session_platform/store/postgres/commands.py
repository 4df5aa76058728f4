"""One command, one transaction, and the truth about it, whatever becomes of the connection.

The law of this module: a command is answered with its result only when its COMMIT is known to have happened, with an error or
run once more only when its transaction is known to be gone. Until COMMIT was sent, a lost connection takes the transaction with
it. From then on only the server knows, and is asked (`doubt`). A blind second run would double what the first one did.
"""

from __future__ import annotations

import threading
from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from random import SystemRandom
from typing import Any, Final, NamedTuple

import psycopg

from session_platform.contract import SealedEphemeral
from session_platform.errors import Unavailable
from session_platform.store.delivery import Answer
from session_platform.store.emission import Stamp
from session_platform.store.port import Tx
from session_platform.store.postgres.address import Address
from session_platform.store.postgres.doubt import Transaction, took_effect
from session_platform.store.postgres.failures import Away, Fault, as_seen_by_callers, fault_of, sentence_for
from session_platform.store.postgres.link import Link
from session_platform.store.postgres.transaction import PostgresTx

RUNS_MAX: Final = 8
RUN_AGAIN_S: Final = 0.005
RUN_AGAIN_MAX_S: Final = 0.25
UNIQUE_VIOLATION: Final = "23505"

_dice: Final = SystemRandom()
_PROBE: Final = "UPDATE schema_version SET probes = probes + 1 WHERE version = 1"


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A command that somebody awaits."""

    command: Callable[[Tx], Any]
    timelines: tuple[str, ...]
    traceparent: str | None
    future: Future[Any]


class Done(NamedTuple):
    """``answer`` may leave. ``news`` are the ephemeral events for the listeners (None: there is nothing for them, in the outbox
    neither). ``trouble``, for the operator: something that has to be mended was in the way; ``away``: no server was there."""

    answer: Answer
    news: list[SealedEphemeral] | None = None
    trouble: str | None = None
    away: bool = False


class _Gone(Exception):
    """This run left nothing behind; ``error`` is why."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


class Commands:
    """Runs jobs on a connection of its own, in one thread. ``closing`` is set when the store closes."""

    def __init__(self, address: Address, stamp: Stamp, closing: threading.Event) -> None:
        self.link = Link(address)
        self._stamp = stamp
        self._closing = closing

    def perform(self, job: Job) -> Done:
        """Run it until its end is known: answered with its result, its own error, or `Unavailable`."""
        run = 1
        while True:
            try:
                return self._run(job)
            except _Gone as gone:
                if run >= RUNS_MAX or not _worth_another(gone.error, run):
                    return _refused(job, gone.error)
            self._closing.wait(_dice.uniform(0.5, 1.0) * min(RUN_AGAIN_S * 2**run, RUN_AGAIN_MAX_S))
            run += 1

    def probe(self) -> str | None:
        """Commit the smallest change: the sentence for `trouble` when that fails."""
        try:
            self.link.execute(_PROBE)
        except (Away, psycopg.Error) as error:
            self.link.drop()
            return sentence_for(error) or "The database server does not answer."
        return None

    def close(self) -> None:
        self.link.drop()

    def _run(self, job: Job) -> Done:
        try:
            transaction = self._begin(job)
            if job.future.cancelled():
                self.link.roll_back()
                return Done(Answer(job.future, None, None))
            tx = PostgresTx(self.link, self._stamp, job.timelines, job.traceparent)
        except (Away, psycopg.Error) as error:
            self.link.roll_back()
            raise _Gone(error) from None
        try:
            result = job.command(tx)
            if tx.failure is not None:
                raise tx.failure
        except BaseException as error:  # noqa: BLE001 whatever a command raises belongs to its caller, not to this thread
            return self._undo(job, tx.failure or error, error)
        finally:
            tx.end()
        self._commit(transaction)
        return Done(Answer(job.future, result, None), tx.ephemeral if tx.emitted or tx.ephemeral else None)

    def _begin(self, job: Job) -> Transaction:
        """Where it is the connection that fails, it may have been dead for long: a new one is tried at once."""
        keys = sorted({key_of(timeline) for timeline in job.timelines})
        try:
            return Transaction(self.link.begin(keys), self.link.pid)
        except psycopg.Error as error:
            self.link.drop_if_lost(error)
            raise

    def _undo(self, job: Job, cause: BaseException, raised: BaseException) -> Done:
        self.link.drop_if_lost(cause)
        self.link.roll_back()
        if fault_of(cause) in {Fault.LOST, Fault.AGAIN}:
            raise _Gone(cause)
        return _refused(job, cause if isinstance(raised, psycopg.Error) else raised, cause)

    def _commit(self, transaction: Transaction) -> None:
        """Return when it is durable. Raises `_Gone`."""
        try:
            self.link.commit()
        except psycopg.Error as error:
            self.link.drop_if_lost(error)
            committed = took_effect(transaction, self.link, self._closing)
            if not committed:
                raise _Gone(Unavailable() if committed is None else error) from None


def key_of(timeline: str) -> int:
    """The number of a timeline's lock. Two timelines with one number only wait for each other more than they need to."""
    return int.from_bytes(blake2b(timeline.encode(), digest_size=8).digest(), "big", signed=True)


def _worth_another(error: BaseException, run: int) -> bool:
    """A row that was there before is looked for once more; whoever then still meets it is at fault."""
    if isinstance(error, psycopg.Error) and error.sqlstate == UNIQUE_VIOLATION:
        return run == 1
    return fault_of(error) in {Fault.LOST, Fault.AGAIN}


def _refused(job: Job, error: BaseException, cause: BaseException | None = None) -> Done:
    away = isinstance(error, Away)
    return Done(Answer(job.future, None, as_seen_by_callers(error)), None, sentence_for(cause or error), away)
