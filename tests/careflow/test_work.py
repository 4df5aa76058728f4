"""The queue: claims and leases, failed attempts, services of several tasks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from session_platform.careflow import LEASE_S, Failed, RequestView, TaskRun, queue, rows
from session_platform.careflow.model import INTERRUPTIONS_MAX
from session_platform.careflow.progress import SAMPLES_MAX, SAMPLES_MIN
from session_platform.clock import ManualClock
from session_platform.errors import Conflict
from tests.careflow.made_up import MEMBER, NOTHING_ELSE_WAITS, RESULT, SESSION, Clinic

PERSON = {"first_name": "Ada", "born": "1985-04-12"}


async def due(clinic: Clinic, *task_types: str, limit: int = 10) -> list[str]:
    found = await clinic.store.read(lambda reader: queue.due(reader, task_types, clinic.clock.now(), limit))
    return [each.task_id for each in found]


def reports(events: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, int, int]]:
    return [
        (data["stage"], data["percent_complete"], data["estimated_completion_seconds"])
        for name, data in events
        if name == "service_request.processing"
    ]


async def renew(clinic: Clinic, run: TaskRun) -> bool:
    held: bool = await clinic.run(lambda tx: clinic.careflow.renew(tx, run))
    return held


async def test_a_claimed_task_is_nobody_elses_until_its_lease_ends(clinic: Clinic, clock: ManualClock) -> None:
    task_id = (await clinic.submit()).tasks[0].task_id
    first = await clinic.claim(task_id)
    clock.advance(LEASE_S - 0.001)
    assert await clinic.claim_if_possible(task_id) is None
    assert await due(clinic, "RTE_CHECK") == []
    clock.advance(0.001)
    assert await due(clinic, "RTE_CHECK") == [task_id]
    second = await clinic.claim(task_id, "w2")
    assert (second.attempt, second.try_number) == (2, 1)
    assert not await renew(clinic, first)
    with pytest.raises(Conflict):
        await clinic.succeed(first)
    with pytest.raises(Conflict):
        await clinic.fail(first, "payer_rejected")
    await clinic.succeed(second)
    with pytest.raises(Conflict):
        await clinic.succeed(second)
    names = await clinic.names()
    assert names.count("task.in_progress") == 2
    assert names.count("task.completed") == names.count("service_request.completed") == 1


async def test_a_renewed_lease_holds_on(clinic: Clinic, clock: ManualClock) -> None:
    task_id = (await clinic.submit()).tasks[0].task_id
    run = await clinic.claim(task_id)
    for _ in range(5):
        clock.advance(LEASE_S - 1)
        assert await renew(clinic, run)
        assert await clinic.claim_if_possible(task_id) is None
    await clinic.succeed(run)


async def test_an_outcome_may_come_home_after_the_lease_as_long_as_nobody_took_over(clinic: Clinic, clock: ManualClock) -> None:
    run = await clinic.claim((await clinic.submit()).tasks[0].task_id)
    clock.advance(10 * LEASE_S)
    await clinic.succeed(run)
    assert (await clinic.view(run.service_request_id)).status == "COMPLETED"


async def test_lost_leases_are_not_counted_as_attempts(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit()
    task_id = request.tasks[0].task_id
    for attempt in range(1, 8):
        run = await clinic.claim(task_id)
        assert (run.attempt, run.try_number) == (attempt, 1)
        clock.advance(LEASE_S)
    for _ in range(2):
        run = await clinic.claim(task_id)
        await clinic.fail(run, "payer_unavailable")
        clock.advance(60)
    run = await clinic.claim(task_id)
    assert run.try_number == 3
    await clinic.succeed(run)
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"


async def test_freed_leases_can_be_claimed_at_once_and_the_old_attempt_is_refused(clinic: Clinic) -> None:
    mine, other = [(await clinic.submit()).tasks[0].task_id for _ in range(2)]
    old = await clinic.claim(mine, "w1")
    await clinic.claim(other, "w2")
    assert await clinic.store.run(lambda tx: queue.free_leases(tx, "w1")) == 1
    assert await due(clinic, "RTE_CHECK") == [mine]
    with pytest.raises(Conflict):
        await clinic.succeed(old)
    assert await clinic.store.run(queue.free_leases) == 1
    assert await due(clinic, "RTE_CHECK") == [mine, other]
    assert (await clinic.claim(mine)).attempt == 2


async def test_a_task_that_was_handed_back_rests_and_is_not_counted(clinic: Clinic, clock: ManualClock) -> None:
    task_id = (await clinic.submit()).tasks[0].task_id
    run = await clinic.claim(task_id)
    await clinic.run(lambda tx: clinic.careflow.hand_back(tx, run, 2.0))
    await clinic.run(lambda tx: clinic.careflow.hand_back(tx, run, 99.0))
    assert await clinic.claim_if_possible(task_id) is None
    clock.advance(2)
    again = await clinic.claim(task_id)
    assert (again.attempt, again.try_number) == (2, 1)


async def test_a_retryable_failure_is_another_attempt_after_a_pause_and_never_a_completion(
    clinic: Clinic, clock: ManualClock
) -> None:
    request = await clinic.submit()
    task_id = request.tasks[0].task_id
    run = await clinic.claim(task_id)
    clock.advance(3)
    await clinic.fail(run, "payer_unavailable", b'["busy"]', jitter=NOTHING_ELSE_WAITS)
    told = await clinic.events(after=5)
    assert [name for name, _ in told] == ["service_request.processing"]
    assert reports(told) == [("SCHEDULED", 0, 6)]
    assert told[0][1]["task_statuses"][0]["status"] == "pending"
    view = await clinic.view(request.service_request_id)
    assert (view.status, view.payer_errors) == ("PROCESSING", ["busy"])
    assert await clinic.claim_if_possible(task_id) is None
    wake = await clinic.store.read(lambda reader: queue.next_due_at(reader, ["RTE_CHECK"], clock.now()))
    assert wake == clock.now() + timedelta(seconds=1.5)
    clock.advance(1.5)
    again = await clinic.claim(task_id)
    assert (again.attempt, again.try_number) == (2, 2)
    assert await clinic.names(after=6) == ["task.in_progress", "service_request.processing"]
    await clinic.succeed(again)
    assert (await clinic.view(request.service_request_id)).payer_errors is None


async def test_after_the_last_attempt_the_failure_is_final(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit()
    pauses = []
    for _ in range(3):
        run = await clinic.claim(request.tasks[0].task_id)
        before = clock.now()
        await clinic.fail(run, "payer_timeout")
        next_at = await clinic.store.read(lambda reader: queue.next_due_at(reader, ["RTE_CHECK"], clock.now()))
        pauses.append(None if next_at is None else (next_at - before).total_seconds())
        clock.advance(60)
    assert pauses == [2.0, 4.0, None]
    assert run.try_number == 1, "nobody answered: it stays the same question"
    events = await clinic.events()
    assert [name for name, _ in events].count("task.in_progress") == 3
    assert [(name, data["outcome"]) for name, data in events[-2:]] == [
        ("task.completed", "FAILED"),
        ("service_request.completed", "FAILED"),
    ]
    view = await clinic.view(request.service_request_id)
    assert view.error is not None
    assert (view.error.code, view.error.retryable) == ("payer_timeout", True)
    assert await due(clinic, "RTE_CHECK") == []


@pytest.mark.parametrize(("code", "retryable"), [("payer_rejected", True), ("payer_unavailable", False)])
async def test_an_executor_may_know_better_whether_this_one_failure_can_be_retried(
    clinic: Clinic, clock: ManualClock, code: str, retryable: bool
) -> None:
    request = await clinic.submit()
    failed = Failed(code, retryable=retryable)
    for _ in range(3 if retryable else 1):
        assert (await clinic.view(request.service_request_id)).status != "FAILED"
        run = await clinic.claim(request.tasks[0].task_id)
        await clinic.run(partial(clinic.careflow.fail, run=run, failed=failed, jitter=0.0))
        clock.advance(60)
    view = await clinic.view(request.service_request_id)
    assert view.error is not None
    assert (view.status, view.error.code, view.error.retryable) == ("FAILED", code, retryable)


async def test_progress_rises_with_time_in_few_steps_and_stops_short_of_the_end(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit("INTAKE", data=PERSON)
    for task in request.tasks:
        run = await clinic.claim(task.task_id)
        for _ in range(40):
            clock.advance(3)
            assert await renew(clinic, run)
            view = await clinic.view(request.service_request_id)
            assert view.estimated_completion_seconds is not None
            assert view.estimated_completion_seconds >= 0
        if task.task_id != request.tasks[-1].task_id:
            await clinic.succeed(run)
    told = reports(await clinic.events())
    percents = [percent for _, percent, _ in told]
    assert percents == sorted(percents)
    assert percents[-1] in range(90, 100)
    assert len(told) <= 8 * len(request.tasks)
    assert all(remaining_s >= 0 for _, _, remaining_s in told)


async def test_a_new_attempt_does_not_take_progress_back(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit()
    run = await clinic.claim(request.tasks[0].task_id)
    clock.advance(3)
    assert await renew(clinic, run)
    await clinic.fail(run, "payer_unavailable")
    clock.advance(60)
    await clinic.claim(request.tasks[0].task_id)
    assert [percent for _, percent, _ in reports(await clinic.events())] == [0, 0, 67, 67, 67]


async def test_estimates_follow_what_was_measured_and_only_the_newest_measurements_are_kept(
    clinic: Clinic, clock: ManualClock
) -> None:
    async def once(took_s: float) -> RequestView:
        request = await clinic.submit()
        run = await clinic.claim(request.tasks[0].task_id)
        clock.advance(took_s)
        await clinic.succeed(run)
        return request

    estimates = [(await once(9.0)).estimated_completion_seconds for _ in range(SAMPLES_MIN + 1)]
    assert estimates == [4] * SAMPLES_MIN + [9]
    services = await clinic.store.read(clinic.careflow.services)
    by_code = {service.code: service for service in services}
    assert list(by_code) == sorted(by_code)
    usual_s = {code: by_code[code].usual_seconds for code in ("FORM", "INTAKE", "RTE", "SURVEY")}
    assert usual_s == {"FORM": 3610, "INTAKE": 40, "RTE": 9, "SURVEY": 30}
    assert by_code["INTAKE"].task_types == ("FIND", "CHECK", "FILE")
    assert by_code["INTAKE"].data_schema is not None
    for _ in range(SAMPLES_MAX):
        await once(20.0)
    kept = await clinic.store.read(lambda reader: reader.all("SELECT took_us FROM duration"))
    assert kept == [(20_000_000,)] * SAMPLES_MAX
    assert (await clinic.submit()).estimated_completion_seconds == 20


async def test_tasks_in_sequence_are_assigned_when_their_turn_comes_and_always_listed(clinic: Clinic) -> None:
    request = await clinic.submit("INTAKE", data=PERSON)
    types = [task.task_type for task in request.tasks]
    assert types == ["FIND", "CHECK", "FILE"]
    for place, task in enumerate(request.tasks):
        assert await due(clinic, *types) == [task.task_id]
        run = await clinic.claim(task.task_id)
        assert run.data == PERSON
        await clinic.succeed(run, b'{"place":%d}' % place)
    events = await clinic.events()
    story = ["task.in_progress", "service_request.processing", "task.completed", "task.assigned", "service_request.processing"]
    assert [name for name, _ in events][:3] == ["service_request.submitted", "task.assigned", "service_request.processing"]
    assert [name for name, _ in events][3:13] == story * 2
    statuses = [[s["status"] for s in data["task_statuses"]] for name, data in events if name == "service_request.processing"]
    assert all(len(each) == 3 for each in statuses)
    assert statuses[0] == ["pending"] * 3
    assert statuses[2] == ["completed", "pending", "pending"]
    assert [percent for _, percent, _ in reports(events)] == [0, 0, 25, 25, 75, 75, 100]
    assert [remaining_s for _, _, remaining_s in reports(events)] == [40, 40, 30, 30, 10, 10, 0]
    assert await clinic.store.read(lambda r: clinic.careflow.result(r, request.service_request_id)) == b'{"place":2}'
    assert clinic.closed == [SESSION]


async def test_a_failed_step_ends_the_later_ones_unheard(clinic: Clinic) -> None:
    request = await clinic.submit("INTAKE", data=PERSON)
    run = await clinic.claim(request.tasks[0].task_id)
    await clinic.fail(run, "refused")
    assert await clinic.names(after=5) == ["task.completed", "service_request.completed"]
    view = await clinic.view(request.service_request_id)
    assert [task.status for task in view.tasks] == ["failed", "canceled", "canceled"]


async def test_parallel_tasks_run_together_and_the_request_ends_with_the_last(clinic: Clinic) -> None:
    request = await clinic.submit("SURVEY")
    left, right = [await clinic.claim(task.task_id) for task in request.tasks]
    assert (await clinic.view(request.service_request_id)).estimated_completion_seconds == 30
    await clinic.succeed(right, b'{"side":"right"}')
    assert (await clinic.view(request.service_request_id)).percent_complete == 75
    await clinic.succeed(left, b'{"side":"left"}')
    names = await clinic.names()
    assert names[:4] == ["service_request.submitted", "task.assigned", "task.assigned", "service_request.processing"]
    assert names[-3:] == ["task.completed", "service_request.processing", "service_request.completed"]
    result = await clinic.store.read(lambda r: clinic.careflow.result(r, request.service_request_id))
    assert result == b'{"LEFT":{"side":"left"},"RIGHT":{"side":"right"}}'


async def test_one_failed_parallel_task_ends_the_others_before_the_request(clinic: Clinic) -> None:
    request = await clinic.submit("SURVEY")
    left, right = [await clinic.claim(task.task_id) for task in request.tasks]
    before = len(await clinic.events())
    await clinic.fail(left, "refused")
    assert [(name, data["outcome"]) for name, data in await clinic.events(before)] == [
        ("task.completed", "FAILED"),
        ("task.completed", "CANCELED"),
        ("service_request.completed", "FAILED"),
    ]
    with pytest.raises(Conflict):
        await clinic.succeed(right)


async def test_a_human_task_is_assigned_and_waits_for_its_person_and_cancel_ends_it(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit("FORM")
    assigned = (await clinic.events())[1][1]
    assert (assigned["assignee_role"], assigned["assignee_id"]) == ("MEMBER", MEMBER)
    assert assigned["due_at"] == (clock.now() + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    clock.advance(3600)
    assert await due(clinic, "FILL_IN", "FILE") == []
    assert await clinic.claim_if_possible(request.tasks[0].task_id) is None
    assert await clinic.claim_if_possible(request.tasks[1].task_id) is None
    await clinic.cancel(request.service_request_id)
    assert await clinic.names(after=3) == ["task.completed", "service_request.completed"]


async def test_a_request_may_say_for_whom_its_human_task_is_meant(clinic: Clinic) -> None:
    request = await clinic.submit("FORM", target_role="clinician", target_speciality="PSYCHIATRY")
    assert request.target_role == "CLINICIAN"
    found = await clinic.store.read(lambda reader: rows.find_task(reader, request.tasks[0].task_id))
    assert found is not None
    assert (found.assignee_role, found.assignee_id, found.speciality) == ("CLINICIAN", None, "PSYCHIATRY")


async def test_the_urgent_come_first_and_then_the_longest_waiting(clinic: Clinic, clock: ManualClock) -> None:
    submitted: dict[str, list[str]] = {}
    for priority in ("BATCH", "STANDARD", "INTERACTIVE", "URGENT", "STANDARD"):
        request = await clinic.submit(priority=priority)
        submitted.setdefault(priority, []).append(request.tasks[0].task_id)
        clock.advance(1)
    expected = [*submitted["INTERACTIVE"], *submitted["URGENT"], *submitted["STANDARD"], *submitted["BATCH"]]
    assert await due(clinic, "RTE_CHECK") == expected
    assert await due(clinic, "RTE_CHECK", limit=2) == expected[:2]
    survey = await clinic.submit("SURVEY", priority="URGENT")
    assert (await due(clinic, "RTE_CHECK", "LEFT", limit=3))[2] == survey.tasks[0].task_id
    assert await due(clinic, "RIGHT") == [survey.tasks[1].task_id]


async def test_the_queue_is_read_through_its_index(clinic: Clinic) -> None:
    plan = await clinic.store.read(
        lambda reader: reader.all("EXPLAIN QUERY PLAN " + queue._DUE, task_type="RTE_CHECK", now=0, limit=1)
    )
    assert "task_queue" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


async def test_a_task_whose_service_is_no_longer_declared_waits_and_can_be_read_and_canceled(clinic: Clinic) -> None:
    request = await clinic.submit()
    clinic.careflow.catalogue = replace(clinic.careflow.catalogue, services={})
    assert await clinic.claim_if_possible(request.tasks[0].task_id) is None
    view = await clinic.view(request.service_request_id)
    assert (view.status, view.estimated_completion_seconds) == ("SUBMITTED", None)
    assert (await clinic.cancel(request.service_request_id)).status == "CANCELED"


async def test_a_task_that_is_no_longer_declared_does_not_stop_the_others_and_waits_when_its_turn_comes(clinic: Clinic) -> None:
    request = await clinic.submit("INTAKE", data=PERSON)
    catalogue = clinic.careflow.catalogue
    intake = catalogue.services["INTAKE"]
    without_check = msgspec.structs.replace(intake, tasks=(intake.tasks[0], intake.tasks[2]))
    clinic.careflow.catalogue = replace(catalogue, services={"INTAKE": without_check})
    run = await clinic.claim(request.tasks[0].task_id)
    assert (await clinic.view(request.service_request_id)).status == "PROCESSING"
    await clinic.succeed(run)
    assert await clinic.claim_if_possible(request.tasks[1].task_id) is None
    clinic.careflow.catalogue = catalogue
    for task in request.tasks[1:]:
        await clinic.succeed(await clinic.claim(task.task_id))
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"


async def test_a_payers_words_are_not_lost_when_it_says_nothing_the_next_time(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit()
    await clinic.fail(await clinic.claim(request.tasks[0].task_id), "payer_unavailable", b'["busy"]')
    clock.advance(60)
    await clinic.fail(await clinic.claim(request.tasks[0].task_id), "payer_rejected")
    assert (await clinic.view(request.service_request_id)).payer_errors == ["busy"]


async def test_the_result_of_an_earlier_claim_cannot_follow_a_later_one(clinic: Clinic, clock: ManualClock) -> None:
    task_id = (await clinic.submit()).tasks[0].task_id
    runs = []
    for _ in range(3):
        runs.append(await clinic.claim(task_id))
        clock.advance(LEASE_S)
    for run in runs[:2]:
        with pytest.raises(Conflict):
            await clinic.succeed(run)
    await clinic.succeed(runs[2], RESULT)


async def test_a_failure_that_was_anothers_uses_up_no_attempt_and_asks_no_new_question(
    clinic: Clinic, clock: ManualClock
) -> None:
    request = await clinic.submit()
    joined = Failed("payer_unavailable", counted=False)
    for _ in range(5):
        run = await clinic.claim(request.tasks[0].task_id)
        assert run.try_number == 1
        await clinic.run(partial(clinic.careflow.fail, run=run, failed=joined, jitter=0.0))
        assert await clinic.claim_if_possible(run.task_id) is None, "it rests all the same"
        clock.advance(60)
    for _ in range(2):
        run = await clinic.claim(request.tasks[0].task_id)
        await clinic.fail(run, "payer_unavailable")
        clock.advance(60)
    await clinic.succeed(await clinic.claim(request.tasks[0].task_id))
    assert (await clinic.view(request.service_request_id)).status == "COMPLETED"


async def test_a_failure_that_cannot_be_retried_is_final_whoever_asked(clinic: Clinic) -> None:
    run = await clinic.claim((await clinic.submit()).tasks[0].task_id)
    joined = Failed("subscriber_not_found", counted=False)
    await clinic.run(partial(clinic.careflow.fail, run=run, failed=joined, jitter=0.0))
    assert (await clinic.view(run.service_request_id)).status == "FAILED"


async def test_a_task_that_loses_attempt_after_attempt_without_one_answer_ends(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit()
    task_id = request.tasks[0].task_id
    for number in range(INTERRUPTIONS_MAX):
        await clinic.claim(task_id)
        # Whether the lease ended or everybody is dead: nobody answered.
        if number % 2:
            await clinic.store.run(queue.free_leases)
        else:
            clock.advance(LEASE_S)
    assert await clinic.claim_if_possible(task_id) is None
    view = await clinic.view(request.service_request_id)
    assert view.error is not None
    assert (view.status, view.error.code, view.error.retryable) == ("FAILED", "internal_error", True)
    names = await clinic.names()
    assert names.count("task.in_progress") == INTERRUPTIONS_MAX
    assert names[-2:] == ["task.completed", "service_request.completed"]


@pytest.mark.parametrize("answer", ["failed", "handed back"])
async def test_one_answer_and_the_count_of_lost_attempts_begins_anew(clinic: Clinic, clock: ManualClock, answer: str) -> None:
    task_id = (await clinic.submit()).tasks[0].task_id
    for _ in range(2):
        for _ in range(INTERRUPTIONS_MAX - 1):
            await clinic.claim(task_id)
            clock.advance(LEASE_S)
        run = await clinic.claim(task_id)
        if answer == "failed":
            await clinic.fail(run, "payer_unavailable")
        else:
            await clinic.run(partial(clinic.careflow.hand_back, run=run, pause_s=0.0))
        clock.advance(60)
    await clinic.succeed(await clinic.claim(task_id))


async def test_a_worker_that_stops_in_good_order_interrupts_nothing(clinic: Clinic) -> None:
    task_id = (await clinic.submit()).tasks[0].task_id
    for _ in range(INTERRUPTIONS_MAX + 1):
        await clinic.claim(task_id, "w1")
        assert await clinic.store.run(lambda tx: queue.free_leases(tx, "w1")) == 1
    assert (await clinic.view((await clinic.claim(task_id)).service_request_id)).outcome is None


async def test_an_enrollment_finds_what_all_its_steps_found_and_each_step_knows_what_was_found_before(clinic: Clinic) -> None:
    applicant = {"first_name": "Ada", "last_name": "Lovelace", "date_of_birth": "1985-04-12"}
    request = await clinic.submit("ENROLLMENT_INSTANT_COVERAGE", data=applicant, subject="A1")
    found: dict[str, Any] = {}
    covered = {"coverage_status": "ACTIVE", "coverage": {"account_id": "A1"}}
    results: list[dict[str, Any]] = [{"stone_id": "STN-1"}, {"pdid": "PD1"}, covered]
    for task, result in zip(request.tasks, results, strict=True):
        run = await clinic.claim(task.task_id)
        assert (run.data, run.subject, run.found) == (applicant, "A1", found)
        await clinic.succeed(run, msgspec.json.encode(result))
        found[task.task_type] = result
    whole = await clinic.store.read(lambda r: clinic.careflow.result(r, request.service_request_id))
    assert whole is not None
    assert msgspec.json.decode(whole) == results[0] | results[1] | results[2]
