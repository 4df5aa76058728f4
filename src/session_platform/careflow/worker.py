"""Who works: claims what is due, runs its executor, keeps the lease, and brings the outcome home exactly once.

The worker acts in rounds (`Worker.tick`); between rounds it waits for a commit, for an executor to finish or for a moment to
come, so that whoever calls `tick` by hand, as tests do, needs no waiting at all. An outcome stays with the worker until the
store has taken it or has refused it; the attempt number makes sure that it is never taken twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

import structlog

from session_platform.careflow import queue
from session_platform.careflow.attempts import Executor, Failed, Outcome, Succeeded, TaskRun
from session_platform.careflow.catalogue import INTERNAL_ERROR, TIMED_OUT
from session_platform.careflow.commands import Careflow
from session_platform.careflow.withdrawal import Withdrawal
from session_platform.clock import Clock
from session_platform.contract import SealedEphemeral
from session_platform.errors import Conflict, StartError, Unavailable, kind_and_place
from session_platform.store.port import Store, Tx

RENEW_EVERY_S: Final = 1.0
"""Far more often than the lease needs: each renewal may also tell how far the work is."""
ROUND_EVERY_S: Final = 1.0
"""The longest pause between two rounds: other processes' submissions wake nobody here."""
ROUND_GAP_S: Final = 0.02
"""The shortest, so that a busy store does not mean a busy queue."""
TIMEOUT_GRACE_S: Final = 5.0
"""Executors keep their time-outs themselves; this much later the worker does it for them."""
STOP_WITHIN_S: Final = 3.0
LAPSED_AT_ONCE: Final = 100
"""A round puts back no more; the next one goes on."""
AFTER_UNAVAILABLE_S: Final = 1.0
"""How long a task rests after its executor found a part of the platform away."""

_BROKEN: Final = Failed(INTERNAL_ERROR)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _HandBack:
    """Not an outcome: a part of the platform was away, which is not the task's failure."""


class _NoOutcomeError(Exception):
    """An executor came to neither of what it may come to."""


@dataclass(slots=True, eq=False)
class _Job:
    """An attempt in this worker's hands; ``outcome`` once there is one, until the store has taken it. Times are monotonic."""

    run: TaskRun
    work: asyncio.Task[Outcome]
    renew_at_s: float
    deadline_s: float
    outcome: Outcome | _HandBack | None = None


class Worker:
    """Does what functions of the platform do, puts back what services let go, and withdraws what nobody declares any more.
    ``executors`` by task type, at most ``concurrency`` at the same time. ``owner`` names this worker in leases.
    ``random_share`` is random in [0, 1)."""

    def __init__(  # noqa: PLR0913 - it is wired once, by name
        self,
        *,
        store: Store,
        careflow: Careflow,
        executors: Mapping[str, Executor],
        clock: Clock,
        owner: str,
        concurrency: int,
        random_share: Callable[[], float] = random.random,
        stop_within_s: float = STOP_WITHIN_S,
    ) -> None:
        """Raises `StartError` when the function of a declared task is not there."""
        if missing := sorted(careflow.catalogue.function_names().keys() - executors.keys()):
            raise StartError(
                f"No function does the declared system task {missing[0]}: remove its `function` from the services or add it."
            )
        self._store = store
        self._careflow = careflow
        self._executors = executors
        self._clock = clock
        self._owner = owner
        self._concurrency = concurrency
        self._random_share = random_share
        self._stop_within_s = stop_within_s
        self._withdrawal = Withdrawal(store, careflow, clock)
        self._jobs: dict[str, _Job] = {}
        self._woken = asyncio.Event()
        store.on_commit(self._on_commit)

    async def free_leases(self) -> None:
        """Free every claim at once: for the start of the only worker there is, when those who held them are dead."""
        await self._store.run(queue.free_leases)

    def notes(self) -> list[str]:
        """What an operator should look at although everybody is served, in sentences."""
        return self._withdrawal.notes()

    async def run(self) -> None:
        """Work until cancelled; then hand back what is running, see `stop`."""
        try:
            while True:
                self._woken.clear()
                pause_s = await self.tick()
                await asyncio.sleep(ROUND_GAP_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._woken.wait()
        finally:
            await self.stop()

    async def tick(self) -> float:
        """One round: bring outcomes home, renew leases, stop what takes too long, end what is no longer declared, take up what
        is due. The seconds after which the next round is due unless something happens before."""
        async with asyncio.TaskGroup() as group:
            for job in list(self._jobs.values()):
                group.create_task(self._attend(job))
        with contextlib.suppress(Unavailable):
            await self._withdrawal.tick()
        return await self._take_up()

    async def stop(self) -> None:
        """Bring home the outcomes that are there, stop the other executors and free their tasks at once, uncounted. Takes at
        most ``stop_within_s``: a task that could not be freed then is free when its lease ends. Idempotent."""
        with contextlib.suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(self._stop_within_s):
                await self._let_go()
        self._jobs.clear()

    async def _let_go(self) -> None:
        jobs = list(self._jobs.values())
        for job in jobs:
            job.work.cancel()
        if jobs:
            await asyncio.wait([job.work for job in jobs], timeout=self._stop_within_s / 2)
        await asyncio.gather(*(self._attend(job) for job in jobs if job.outcome is not None or _answered(job.work)))
        await self._store.run(lambda tx: queue.free_leases(tx, self._owner))

    # ------------------------------------------------------------------------------------------------------ what is running

    async def _attend(self, job: _Job) -> None:
        now_s = self._clock.monotonic()
        if job.outcome is None and job.work.done():
            job.outcome = _outcome_of(job)
        if job.outcome is None and now_s >= job.deadline_s:
            job.work.cancel()
            job.outcome = Failed(TIMED_OUT)
        if job.outcome is not None:
            await self._bring_home(job)
        elif now_s >= job.renew_at_s:
            await self._renew(job, now_s)

    async def _renew(self, job: _Job, now_s: float) -> None:
        """Without the store the next round tries again; the attempt number guards what happens meanwhile."""
        with contextlib.suppress(Unavailable):
            if await self._store.run(
                lambda tx: self._careflow.renew(tx, job.run), job.run.member_id, traceparent=job.run.traceparent
            ):
                job.renew_at_s = now_s + RENEW_EVERY_S
            else:
                _log.info("task.lost", task_type=job.run.task_type, task_id=job.run.task_id, attempt=job.run.attempt)
                job.work.cancel()
                self._drop(job)

    async def _bring_home(self, job: _Job) -> None:
        """Commit the outcome. While the store is away it stays here and the next round tries again."""
        assert job.outcome is not None
        try:
            await self._commit(job.run, job.outcome)
        except Unavailable:
            return
        except Conflict:
            _log.info("task.outcome_refused", task_type=job.run.task_type, task_id=job.run.task_id, attempt=job.run.attempt)
        except Exception as error:  # noqa: BLE001 - whatever the executor's effect raises must not stop the others' work
            outcome = job.outcome.code if isinstance(job.outcome, Failed) else type(job.outcome).__name__
            _log.error("task.outcome_broken", task_type=job.run.task_type, outcome=outcome, error=kind_and_place(error))
            if job.outcome is not _BROKEN:
                job.outcome = _BROKEN
                self._woken.set()
                return
        self._drop(job)

    async def _commit(self, run: TaskRun, outcome: Outcome | _HandBack) -> None:
        jitter = self._random_share()
        command: Callable[[Tx], None]
        timelines: tuple[str, ...] = ()
        match outcome:
            case Succeeded():
                command, timelines = partial(self._careflow.succeed, run=run, done=outcome), outcome.timelines
            case Failed():
                command, timelines = partial(self._careflow.fail, run=run, failed=outcome, jitter=jitter), outcome.timelines
            case _HandBack():
                command = partial(self._careflow.hand_back, run=run, pause_s=AFTER_UNAVAILABLE_S)
            case _:
                assert_never(outcome)
        await self._store.run(command, *sorted({run.member_id, *timelines}), traceparent=run.traceparent)

    def _drop(self, job: _Job) -> None:
        if self._jobs.get(job.run.task_id) is job:
            del self._jobs[job.run.task_id]

    # ---------------------------------------------------------------------------------------------------------- what is due

    async def _take_up(self) -> float:
        free = max(self._concurrency - len(self._jobs), 0)
        now = self._clock.now()
        types = list(self._executors)
        try:
            found, next_at, lapsed = await self._store.read(
                lambda reader: (
                    queue.due(reader, types, now, self._concurrency),
                    queue.next_due_at(reader, types, now),
                    queue.lapsed(reader, now, LAPSED_AT_ONCE),
                )
            )
            await self._claim_all([due for due in found if due.task_id not in self._jobs][:free])
            for each in lapsed:
                await self._put_back(each)
        except Unavailable:
            return ROUND_EVERY_S
        return ROUND_EVERY_S if next_at is None or not free else min(max((next_at - now).total_seconds(), 0.0), ROUND_EVERY_S)

    async def _claim_all(self, found: Sequence[queue.Due]) -> None:
        async with asyncio.TaskGroup() as group:
            for due in found:
                group.create_task(self._claim(due))

    async def _put_back(self, lapsed: queue.Lapsed) -> None:
        """What a service held, and whose lease has ended."""
        try:
            await self._store.run(partial(self._careflow.hands.lapse, task_id=lapsed.task_id), lapsed.member_id)
        except Unavailable:
            return
        except Exception as error:  # noqa: BLE001 - one task that cannot be put back must not stop the others
            _log.error("task.stuck", task_id=lapsed.task_id, error=kind_and_place(error))

    async def _claim(self, due: queue.Due) -> None:
        try:
            run = await self._store.run(
                lambda tx: self._careflow.claim(tx, due.task_id, self._owner), due.member_id, traceparent=due.traceparent
            )
        except Unavailable:
            return
        except Exception as error:  # noqa: BLE001 - one task that cannot even be claimed must not stop the others
            _log.error("task.unclaimable", task_id=due.task_id, error=kind_and_place(error))
            return
        if run is not None:
            now_s = self._clock.monotonic()
            work = asyncio.create_task(_execute(self._executors[run.task_type], run), name=f"{run.task_type} {run.task_id}")
            work.add_done_callback(self._on_done)
            deadline_s = now_s + run.timeout_s + TIMEOUT_GRACE_S
            self._jobs[run.task_id] = _Job(run, work, renew_at_s=now_s + RENEW_EVERY_S, deadline_s=deadline_s)

    def _on_commit(self, _: Sequence[SealedEphemeral]) -> None:
        self._woken.set()

    def _on_done(self, work: asyncio.Task[Outcome]) -> None:
        """Also looks at the exception, so that asyncio does not print one (it may quote health data) that nobody waits for."""
        if not work.cancelled():
            work.exception()
        self._woken.set()


async def _execute(executor: Executor, run: TaskRun) -> Outcome:
    """A function may not end the process, and what it returns may be anything: it is an operator's."""
    try:
        outcome: object = await executor(run)
    except SystemExit:
        raise _NoOutcomeError from None
    if not isinstance(outcome, Succeeded | Failed):
        raise _NoOutcomeError
    return outcome


def _answered(work: asyncio.Task[Outcome]) -> bool:
    return work.done() and not work.cancelled() and work.exception() is None


def _outcome_of(job: _Job) -> Outcome | _HandBack:
    """What an executor that ended by itself came to."""
    error = asyncio.CancelledError() if job.work.cancelled() else job.work.exception()
    if error is None:
        return job.work.result()
    if isinstance(error, Unavailable):
        return _HandBack()
    _log.error("task.executor_broken", task_type=job.run.task_type, attempt=job.run.attempt, error=kind_and_place(error))
    return _BROKEN
