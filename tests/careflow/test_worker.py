"""The worker, round by round, with a clock that stands still; the last tests let it run by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

import pytest
from structlog.testing import capture_logs

from session_platform.careflow import (
    LEASE_S,
    Careflow,
    Executor,
    Failed,
    Hand,
    NewRequest,
    Outcome,
    Succeeded,
    TaskRun,
    Worker,
    queue,
)
from session_platform.careflow.worker import RENEW_EVERY_S, ROUND_EVERY_S
from session_platform.clock import ManualClock
from session_platform.contract import CoverageUpdatedEvent, SealedEphemeral
from session_platform.errors import StartError, Unavailable
from session_platform.store import Reader, Store, Tx, outbox
from tests.careflow.made_up import MEMBER, NOTHING_ELSE_WAITS, RESULT, SESSION, Clinic, told

R = TypeVar("R")
SECRET = "Ada Lovelace"


class Payer:
    """An executor that answers when the test says so."""

    def __init__(self) -> None:
        self.runs: list[TaskRun] = []
        self.stopped: list[TaskRun] = []
        self._answers: dict[tuple[str, int], asyncio.Future[Outcome]] = {}

    async def __call__(self, run: TaskRun) -> Outcome:
        self.runs.append(run)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._answers[run.task_id, run.attempt] = answer
        try:
            return await answer
        except asyncio.CancelledError:
            self.stopped.append(run)
            raise

    async def answer(self, outcome: Outcome | BaseException, run: TaskRun | None = None) -> None:
        """Answer this run, the newest by default, and let the executor return."""
        run = run or self.runs[-1]
        answer = self._answers[run.task_id, run.attempt]
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
        await settle()


class Moody:
    """A store that is away when the test says so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.away = False
        self.refuse_next = 0

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        if self.away or self.refuse_next:
            self.refuse_next = max(self.refuse_next - 1, 0)
            raise Unavailable
        return await self._store.run(command, *timelines, traceparent=traceparent)

    async def read(self, query: Callable[[Reader], R], /) -> R:
        if self.away:
            raise Unavailable
        return await self._store.read(query)

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        self._store.on_commit(callback)

    def trouble(self) -> str | None:
        return None

    async def close(self) -> None:
        await self._store.close()


async def settle() -> None:
    """Let everything run that waits for nothing but its turn."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def payer() -> Payer:
    return Payer()


@pytest.fixture
def moody(store: Store) -> Moody:
    return Moody(store)


async def unused(run: TaskRun) -> Outcome:
    raise AssertionError(run.task_type)


def hire(clinic: Clinic, store: Store, payer: Executor, **options: Any) -> Worker:
    executors = {**dict.fromkeys(clinic.careflow.catalogue.function_names(), unused), "RTE_CHECK": payer}
    given = {"owner": "w1", "concurrency": 4, "random_share": lambda: NOTHING_ELSE_WAITS, "stop_within_s": 0.05, **options}
    return Worker(store=store, careflow=clinic.careflow, executors=executors, clock=clinic.clock, **given)


@pytest.fixture
async def worker(clinic: Clinic, moody: Moody, payer: Payer) -> AsyncIterator[Worker]:
    hired = hire(clinic, moody, payer)
    yield hired
    await hired.stop()


async def tick(worker: Worker) -> float:
    pause_s = await worker.tick()
    await settle()
    return pause_s


async def test_a_submitted_task_is_done_and_its_outcome_comes_home(clinic: Clinic, worker: Worker, payer: Payer) -> None:
    request = await clinic.submit(subject="A1")
    await tick(worker)
    assert [(run.task_id, run.subject, run.member_id) for run in payer.runs] == [(request.tasks[0].task_id, "A1", MEMBER)]
    await payer.answer(Succeeded(RESULT))
    await tick(worker)
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"
    assert await tick(worker) == ROUND_EVERY_S
    assert len(payer.runs) == 1


async def test_scarce_workers_take_the_urgent_first_and_never_more_than_they_may(
    clinic: Clinic, moody: Moody, payer: Payer
) -> None:
    by_task = {}
    for priority in ("BATCH", "STANDARD", "STANDARD", "INTERACTIVE"):
        by_task[(await clinic.submit(priority=priority)).tasks[0].task_id] = priority
        clinic.clock.advance(1)
    worker = hire(clinic, moody, payer, concurrency=2)
    await tick(worker)
    await tick(worker)
    assert [by_task[run.task_id] for run in payer.runs] == ["INTERACTIVE", "STANDARD"]
    await payer.answer(Succeeded(RESULT), payer.runs[0])
    await payer.answer(Succeeded(RESULT), payer.runs[1])
    await tick(worker)
    assert [by_task[run.task_id] for run in payer.runs[2:]] == ["STANDARD", "BATCH"]
    await worker.stop()


async def test_a_long_task_keeps_its_lease(clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer) -> None:
    await clinic.submit()
    await tick(worker)
    for _ in range(8):
        clock.advance(RENEW_EVERY_S)
        await tick(worker)
        assert await clinic.claim_if_possible(payer.runs[0].task_id) is None
    await payer.answer(Succeeded(RESULT))
    await tick(worker)
    assert (await clinic.view(payer.runs[0].service_request_id)).status == "COMPLETED"
    assert len(payer.runs) == 1


async def test_a_lease_is_renewed_no_more_often_than_needed(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer
) -> None:
    await clinic.submit()
    await tick(worker)
    ends = set()
    for _ in range(48):
        clock.advance(0.25)
        await tick(worker)
        ends.add(await clinic.store.read(lambda reader: reader.one("SELECT lease_until FROM task")))
    assert len(ends) == 1 + 12 / RENEW_EVERY_S


async def test_a_worker_does_not_take_over_from_itself_when_only_its_renewal_was_refused(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, moody: Moody
) -> None:
    await clinic.submit()
    await tick(worker)
    clock.advance(LEASE_S)
    moody.refuse_next = 1
    await tick(worker)
    await tick(worker)
    assert [run.attempt for run in payer.runs] == [1]
    await payer.answer(Succeeded(RESULT))
    await tick(worker)
    assert (await clinic.view(payer.runs[0].service_request_id)).status == "COMPLETED"


async def test_who_lost_its_lease_to_another_is_stopped_and_its_answer_is_dropped(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, moody: Moody
) -> None:
    await clinic.submit()
    await tick(worker)
    clock.advance(LEASE_S)
    other = hire(clinic, moody, payer, owner="w2")
    await tick(other)
    assert [run.attempt for run in payer.runs] == [1, 2]
    await tick(worker)
    await settle()
    assert payer.stopped == payer.runs[:1]
    await payer.answer(Succeeded(RESULT))
    await tick(other)
    names = await clinic.names()
    assert names.count("task.completed") == names.count("service_request.completed") == 1
    await other.stop()


async def test_the_answer_of_an_overtaken_attempt_is_refused_even_when_it_is_the_first(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, moody: Moody
) -> None:
    await clinic.submit()
    await tick(worker)
    clock.advance(LEASE_S)
    other = hire(clinic, moody, payer, owner="w2")
    await tick(other)
    await payer.answer(Succeeded(b'{"answer":"old"}'), payer.runs[0])
    await tick(worker)
    await payer.answer(Succeeded(RESULT), payer.runs[1])
    await tick(other)
    result = await clinic.store.read(lambda r: clinic.careflow.result(r, payer.runs[0].service_request_id))
    assert result == RESULT
    assert (await clinic.names()).count("task.completed") == 1
    await other.stop()


async def test_two_workers_share_a_queue_and_no_attempt_is_made_twice(clinic: Clinic, moody: Moody, payer: Payer) -> None:
    tasks = {(await clinic.submit()).tasks[0].task_id for _ in range(6)}
    workers = [hire(clinic, moody, payer, owner=owner) for owner in ("w1", "w2")]
    await asyncio.gather(*(worker.tick() for worker in workers))
    for worker in workers:
        await tick(worker)
    assert sorted(run.task_id for run in payer.runs) == sorted(tasks)
    for worker in workers:
        await worker.stop()


async def test_the_executor_of_a_canceled_request_is_stopped(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer
) -> None:
    request = await clinic.submit()
    await tick(worker)
    await clinic.cancel(request.service_request_id)
    clock.advance(RENEW_EVERY_S)
    await tick(worker)
    await settle()
    assert payer.stopped == payer.runs
    assert (await clinic.names())[-1] == "service_request.completed"


async def test_the_answer_to_a_canceled_request_is_dropped_with_its_effect(
    clinic: Clinic, worker: Worker, payer: Payer
) -> None:
    request = await clinic.submit()
    await tick(worker)
    await clinic.cancel(request.service_request_id)
    effects: list[str] = []
    await payer.answer(Succeeded(RESULT, lambda tx: effects.append("applied")))
    await tick(worker)
    assert effects == []
    assert (await clinic.view(request.service_request_id)).status == "CANCELED"
    assert (await clinic.names()).count("service_request.completed") == 1


async def test_a_retryable_failure_comes_back_when_the_round_said(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer
) -> None:
    await clinic.submit()
    effects: list[str] = []
    for number in range(3):
        await tick(worker)
        await payer.answer(Failed("payer_unavailable", b'"busy"', lambda tx: effects.append("applied")))
        pause_s = await tick(worker)
        if number < 2:
            assert pause_s == ROUND_EVERY_S
            clock.advance(1.5 * 2**number - 0.25)
            assert await tick(worker) == 0.25
            clock.advance(0.25)
    assert [run.try_number for run in payer.runs] == [1, 2, 3]
    assert effects == ["applied"], "a failure that is retried has no effect"
    view = await clinic.view(payer.runs[0].service_request_id)
    assert view.error is not None
    assert (view.status, view.error.code, view.payer_errors) == ("FAILED", "payer_unavailable", "busy")


@pytest.mark.parametrize("error", [RuntimeError(SECRET), asyncio.CancelledError(SECRET), KeyError(SECRET)])
async def test_an_executor_that_breaks_counts_as_our_own_failure_and_its_words_are_not_logged(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, error: BaseException
) -> None:
    request = await clinic.submit()
    with capture_logs() as logs:
        for _ in range(3):
            await tick(worker)
            await payer.answer(error)
            await tick(worker)
            clock.advance(60)
    view = await clinic.view(request.service_request_id)
    assert view.error is not None
    assert (view.error.code, view.error.retryable) == ("internal_error", True)
    assert len(payer.runs) == 3
    assert type(error).__name__ in str(logs)
    assert SECRET not in str(logs)


@pytest.mark.parametrize("rubbish", [None, {"answer": 42}, b"{}", SystemExit(3)], ids=["nothing", "a dict", "bytes", "exit"])
async def test_an_executor_that_comes_to_no_outcome_counts_as_our_own_failure_at_once(
    clinic: Clinic, moody: Moody, rubbish: Any
) -> None:
    async def careless(_: TaskRun) -> Any:
        if isinstance(rubbish, SystemExit):
            raise rubbish
        return rubbish

    worker = hire(clinic, moody, careless)
    request = await clinic.submit(subject="A1")
    with capture_logs() as logs:
        await tick(worker)
        await tick(worker)
    assert [each["event"] for each in logs] == ["task.executor_broken"]
    assert (await clinic.view(request.service_request_id)).stage == "SCHEDULED", "another attempt follows"
    await worker.stop()


async def test_a_part_of_the_platform_that_was_away_is_not_the_tasks_failure(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer
) -> None:
    request = await clinic.submit()
    for _ in range(10):
        await tick(worker)
        await payer.answer(Unavailable())
        await tick(worker)
        clock.advance(1)
    await tick(worker)
    assert [(run.attempt, run.try_number) for run in payer.runs] == [(attempt, 1) for attempt in range(1, 12)]
    await payer.answer(Succeeded(RESULT))
    await tick(worker)
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"


async def test_an_executor_that_does_not_keep_its_time_out_is_stopped(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer
) -> None:
    request = await clinic.submit()
    started = clock.monotonic()
    while (await clinic.view(request.service_request_id)).status != "FAILED":
        await tick(worker)
        clock.advance(1)
        assert clock.monotonic() - started < 120
    view = await clinic.view(request.service_request_id)
    assert view.error is not None
    assert view.error.code == "timed_out"
    assert payer.stopped == payer.runs
    assert len(payer.runs) == 3


async def test_an_effect_that_raises_commits_nothing_and_is_a_counted_failure(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer
) -> None:
    def broken(tx: Tx) -> None:
        tx.execute("DELETE FROM task")
        raise RuntimeError(SECRET)

    request = await clinic.submit()
    with capture_logs() as logs:
        for outcome in (Succeeded(RESULT, broken), Succeeded(b"[]"), Failed("payer_rejected", apply=broken)):
            await tick(worker)
            await payer.answer(outcome)
            await tick(worker)
            assert (await clinic.names()).count("task.completed") == 0
            await tick(worker)
            clock.advance(60)
    view = await clinic.view(request.service_request_id)
    assert view.error is not None
    assert view.error.code == "internal_error"
    assert len(payer.runs) == 3
    assert [entry["outcome"] for entry in logs] == ["Succeeded", "Succeeded", "payer_rejected"]
    assert SECRET not in str(logs)


async def test_an_effect_may_reach_the_timelines_that_the_outcome_names(clinic: Clinic, worker: Worker, payer: Payer) -> None:
    def apply(tx: Tx) -> None:
        for member_id in ("M2", MEMBER):
            tx.emit(CoverageUpdatedEvent(member_id=member_id, account_id="A1"))

    await clinic.submit()
    await tick(worker)
    await payer.answer(Succeeded(RESULT, apply, timelines=("M2", MEMBER)))
    await tick(worker)
    assert (await clinic.names())[5:7] == ["coverage.updated", "task.completed"]
    assert [name for name, _ in await clinic.store.read(lambda r: told(r, member_id="M2"))] == ["coverage.updated"]


async def test_an_answer_waits_for_a_store_that_is_away_and_is_committed_once(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, moody: Moody
) -> None:
    request = await clinic.submit()
    await tick(worker)
    moody.away = True
    clock.advance(RENEW_EVERY_S)
    await tick(worker)
    await payer.answer(Succeeded(RESULT))
    for _ in range(30):
        assert await tick(worker) == ROUND_EVERY_S
        clock.advance(1)
    moody.away = False
    await tick(worker)
    await tick(worker)
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"
    assert (await clinic.names()).count("task.completed") == 1
    assert len(payer.runs) == 1


async def test_who_could_not_renew_for_long_goes_on_when_the_store_is_back_and_nobody_took_over(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, moody: Moody
) -> None:
    request = await clinic.submit()
    await tick(worker)
    moody.away = True
    for _ in range(12):
        clock.advance(1)
        await tick(worker)
    moody.away = False
    await tick(worker)
    assert await clinic.claim_if_possible(request.tasks[0].task_id) is None
    assert (len(payer.runs), payer.stopped) == (1, [])


async def test_an_answer_is_dropped_when_another_took_over_while_the_store_was_away(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, moody: Moody
) -> None:
    request = await clinic.submit()
    await tick(worker)
    moody.away = True
    await payer.answer(Succeeded(b'{"answer":"old"}'))
    await tick(worker)
    clock.advance(LEASE_S)
    run = await clinic.claim(request.tasks[0].task_id, "w2")
    moody.away = False
    await tick(worker)
    assert (await clinic.view(request.service_request_id)).status == "PROCESSING"
    await clinic.succeed(run)
    assert await clinic.store.read(lambda r: clinic.careflow.result(r, request.service_request_id)) == RESULT


async def test_a_task_that_cannot_be_claimed_does_not_stop_the_others(clinic: Clinic, worker: Worker, payer: Payer) -> None:
    broken = await clinic.submit()
    await clinic.run(lambda tx: tx.execute("UPDATE service_request SET data = '{'"))
    whole = await clinic.submit()
    with capture_logs() as logs:
        await tick(worker)
    assert [run.service_request_id for run in payer.runs] == [whole.service_request_id]
    assert [entry["task_id"] for entry in logs] == [broken.tasks[0].task_id]


async def test_stopping_frees_what_runs_at_once_and_counts_nothing(
    clinic: Clinic, worker: Worker, payer: Payer, moody: Moody
) -> None:
    request = await clinic.submit()
    await tick(worker)
    await worker.stop()
    assert payer.stopped == payer.runs
    other = hire(clinic, moody, payer, owner="w2")
    await tick(other)
    assert [(run.attempt, run.try_number) for run in payer.runs] == [(1, 1), (2, 1)]
    await payer.answer(Succeeded(RESULT))
    await tick(other)
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"


async def test_stopping_brings_home_the_answers_that_are_there(clinic: Clinic, worker: Worker, payer: Payer) -> None:
    request = await clinic.submit()
    await tick(worker)
    await payer.answer(Succeeded(RESULT))
    await worker.stop()
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"


async def test_stopping_does_not_wait_for_an_executor_that_will_not_stop(clinic: Clinic, moody: Moody) -> None:
    release = asyncio.Event()

    async def stubborn(run: TaskRun) -> Outcome:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return Succeeded(RESULT)

    request = await clinic.submit()
    worker = hire(clinic, moody, stubborn)
    await tick(worker)
    await worker.stop()
    assert (await clinic.claim(request.tasks[0].task_id, "w2")).attempt == 2
    release.set()
    await settle()


async def test_stopping_with_the_store_away_leaves_the_task_to_its_lease(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, moody: Moody
) -> None:
    request = await clinic.submit()
    await tick(worker)
    moody.away = True
    await worker.stop()
    moody.away = False
    assert await clinic.claim_if_possible(request.tasks[0].task_id) is None
    clock.advance(LEASE_S)
    assert (await clinic.claim(request.tasks[0].task_id)).attempt == 2


async def test_an_embedded_start_frees_what_its_dead_predecessor_held(clinic: Clinic, worker: Worker, payer: Payer) -> None:
    request = await clinic.submit()
    await clinic.claim(request.tasks[0].task_id, "dead")
    await tick(worker)
    assert payer.runs == []
    await worker.free_leases()
    await tick(worker)
    assert [(run.attempt, run.try_number) for run in payer.runs] == [(2, 1)]


def test_every_declared_system_task_needs_an_executor(clinic: Clinic, moody: Moody) -> None:
    careflow: Careflow = clinic.careflow
    with pytest.raises(StartError, match="CHECK"):
        Worker(store=moody, careflow=careflow, executors={"RTE_CHECK": unused}, clock=clinic.clock, owner="w", concurrency=1)


async def test_what_workers_commit_goes_on_in_the_trace_of_the_submission(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer, store: Store
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    new = NewRequest(session_id=SESSION, member_id=MEMBER, initiator_id=MEMBER, service="RTE")
    await store.run(lambda tx: clinic.careflow.submit(tx, new), MEMBER, traceparent=trace)
    await tick(worker)
    clock.advance(RENEW_EVERY_S)
    await tick(worker)
    await payer.answer(Failed("payer_unavailable"))
    await tick(worker)
    clock.advance(60)
    await tick(worker)
    await payer.answer(Succeeded(RESULT))
    await tick(worker)
    bodies = await store.read(lambda reader: [event.body for event in outbox.page(reader, MEMBER, 0, 100)])
    assert len(bodies) > 8
    assert {json.loads(body)["traceparent"] for body in bodies} == {trace}


async def test_what_a_service_let_go_is_put_back_by_the_next_round_however_busy_the_worker_is(
    clinic: Clinic, clock: ManualClock, worker: Worker, payer: Payer
) -> None:
    for _ in range(4):
        await clinic.submit()
    await tick(worker)
    assert len(payer.runs) == 4, "as many as it takes"
    task_id = (await clinic.submit("LETTER")).tasks[0].task_id
    await clinic.start(task_id, Hand(id="printer"))
    clock.advance(29)
    await tick(worker)
    assert (await clinic.task(task_id)).status == "in_progress"
    clock.advance(1)
    await tick(worker)
    assert (await clinic.task(task_id)).status == "pending"


async def until(store: Store, query: Callable[[Reader], bool]) -> None:
    """Wait for the commit after which ``query`` holds."""
    committed = asyncio.Event()
    store.on_commit(lambda _: committed.set())
    async with asyncio.timeout(10):
        while not await store.read(query):
            await committed.wait()
            committed.clear()


async def test_left_alone_it_works_until_cancelled_and_then_hands_back(clinic: Clinic, store: Store) -> None:
    running = asyncio.Event()

    async def first_answers_then_hangs(run: TaskRun) -> Outcome:
        if run.subject == "A1":
            return Succeeded(RESULT)
        running.set()
        await asyncio.Event().wait()
        raise AssertionError

    worker = asyncio.create_task(hire(clinic, store, first_answers_then_hangs).run())
    request = await clinic.submit(subject="A1")
    await until(store, lambda reader: clinic.careflow.result(reader, request.service_request_id) == RESULT)
    hanging = await clinic.submit(subject="A2")
    await running.wait()
    worker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await worker
    found = await clinic.store.read(lambda reader: queue.due(reader, ["RTE_CHECK"], clinic.clock.now(), 9))
    assert [each.task_id for each in found] == [hanging.tasks[0].task_id]
