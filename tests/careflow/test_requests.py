"""Requests from submission to their end, as the timeline and the reads tell it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from session_platform.careflow import Failed, Succeeded
from session_platform.clock import ManualClock
from session_platform.errors import Conflict, ForbiddenOrMissing, Invalid
from session_platform.store import Tx
from tests.careflow.made_up import MEMBER, RESULT, SESSION, Clinic

ASKED = {"type": "object", "required": ["name"], "additionalProperties": False, "properties": {"name": {"type": "string"}}}
RTE_STORY = [
    "service_request.submitted",
    "task.assigned",
    "service_request.processing",
    "task.in_progress",
    "service_request.processing",
    "task.completed",
    "service_request.processing",
    "service_request.completed",
]


def data_of(events: list[tuple[str, dict[str, Any]]], wanted: str) -> list[dict[str, Any]]:
    return [data for name, data in events if name == wanted]


async def test_a_submission_is_told_and_can_be_read_at_once(clinic: Clinic) -> None:
    view = await clinic.submit(subject="A1", reason="verify_coverage", priority="INTERACTIVE")
    assert (view.status, view.stage, view.percent_complete, view.estimated_completion_seconds) == ("SUBMITTED", "QUEUED", 0, 4)
    assert (view.session_id, view.member_id, view.initiator_id, view.subject) == (SESSION, MEMBER, MEMBER, "A1")
    assert [task.status for task in view.tasks] == ["pending"]
    assert (view.outcome, view.error, view.payer_errors, view.result_ref, view.completed_at) == (None, None, None, None, None)
    assert await clinic.view(view.service_request_id) == view
    assert clinic.opened == [SESSION]
    events = await clinic.events()
    assert [name for name, _ in events] == RTE_STORY[:3]
    submitted, assigned, processing = (data for _, data in events)
    assert submitted["healthcare_service"] == "RTE"
    assert submitted["priority"] == "INTERACTIVE"
    assert assigned["task_id"] == view.tasks[0].task_id
    assert assigned["assignee_role"] == "SYSTEM"
    assert assigned["title"]
    assert "assignee_id" not in assigned
    assert (processing["stage"], processing["percent_complete"], processing["estimated_completion_seconds"]) == ("QUEUED", 0, 4)


async def test_a_success_is_told_in_order_and_its_result_can_be_read(clinic: Clinic, clock: ManualClock) -> None:
    request = await clinic.submit(subject="A1")
    run = await clinic.claim(request.tasks[0].task_id)
    assert (run.attempt, run.try_number, run.subject, run.data) == (1, 1, "A1", None)
    clock.advance(2.5)
    await clinic.succeed(run)
    events = await clinic.events()
    assert [name for name, _ in events] == RTE_STORY
    assert [data["percent_complete"] for data in data_of(events, "service_request.processing")] == [0, 0, 100]
    assert [data["stage"] for data in data_of(events, "service_request.processing")] == ["QUEUED", "EXECUTING", "FINALIZING"]
    task_id = request.tasks[0].task_id
    completed = events[5][1]
    assert (completed["outcome"], completed["task_ref"], completed["completed_by"]) == (
        "SUCCESS",
        f"/v1/tasks/{task_id}",
        "system",
    )
    assert "task_result" not in completed
    ended = events[-1][1]
    result_ref = f"/v1/service-requests/{request.service_request_id}/result"
    assert (ended["outcome"], ended["processing_duration_ms"], ended["result_ref"]) == ("SUCCESS", 2500, result_ref)
    assert "result_data" not in ended
    assert "error" not in ended
    view = await clinic.view(request.service_request_id)
    assert (view.status, view.outcome, view.percent_complete, view.stage) == ("COMPLETED", "SUCCESS", 100, "FINALIZING")
    assert (view.estimated_completion_seconds, view.result_ref, view.completed_at) == (None, result_ref, clock.now())
    assert await clinic.store.read(lambda reader: clinic.careflow.result(reader, request.service_request_id)) == RESULT
    assert clinic.closed == [SESSION]


async def test_an_ended_session_takes_no_request_and_nothing_is_left_behind(clinic: Clinic) -> None:
    clinic.ended.add(SESSION)
    with pytest.raises(Conflict):
        await clinic.submit()
    assert await clinic.events() == []
    assert await clinic.store.read(lambda reader: clinic.careflow.recent_requests(reader, MEMBER, clinic.clock.now())) == []


async def test_a_refused_submission_leaves_nothing_behind(clinic: Clinic) -> None:
    with pytest.raises(Invalid):
        await clinic.submit("INTAKE", data={})
    assert await clinic.events() == []
    assert clinic.opened == []


async def test_a_failure_that_is_not_retryable_ends_the_request_at_once_with_our_own_words(clinic: Clinic) -> None:
    request = await clinic.submit()
    run = await clinic.claim(request.tasks[0].task_id)
    words = b'{"AAA":[{"code":"75","x":1.50}]}'
    await clinic.fail(run, "subscriber_not_found", words)
    events = await clinic.events(after=5)
    assert [name for name, _ in events] == ["task.completed", "service_request.completed"]
    assert events[0][1]["outcome"] == "FAILED"
    assert "task_ref" not in events[0][1]
    error = events[1][1]["error"]
    assert events[1][1]["outcome"] == "FAILED"
    assert (error["code"], error["retryable"]) == ("subscriber_not_found", False)
    assert "insurance company" in error["message"]
    assert "AAA" not in str(events)
    assert "result_ref" not in events[1][1]
    view = await clinic.view(request.service_request_id)
    assert (view.status, view.outcome, view.result_ref) == ("FAILED", "FAILED", None)
    assert view.error is not None
    assert view.error.code == "subscriber_not_found"
    assert view.payer_errors == {"AAA": [{"code": "75", "x": 1.5}]}
    assert view.percent_complete < 100
    assert clinic.closed == [SESSION]
    kept = await clinic.store.read(lambda reader: reader.one("SELECT payer_errors FROM service_request"))
    assert kept == (words.decode(),)


async def test_cancel_ends_the_open_tasks_first_and_may_be_repeated_by_the_same_caller(clinic: Clinic) -> None:
    request = await clinic.submit()
    await clinic.claim(request.tasks[0].task_id)
    first = await clinic.cancel(request.service_request_id)
    assert (first.status, first.outcome, [task.status for task in first.tasks]) == ("CANCELED", "CANCELED", ["canceled"])
    events = await clinic.events(after=5)
    assert [(name, data["outcome"]) for name, data in events] == [
        ("task.completed", "CANCELED"),
        ("service_request.completed", "CANCELED"),
    ]
    assert events[0][1]["completed_by"] == MEMBER
    assert await clinic.cancel(request.service_request_id) == first
    with pytest.raises(Conflict):
        await clinic.cancel(request.service_request_id, actor="C001")
    assert await clinic.events(after=7) == []
    assert clinic.closed == [SESSION]


async def test_what_ended_or_never_was_cannot_be_canceled(clinic: Clinic) -> None:
    request = await clinic.submit()
    await clinic.succeed(await clinic.claim(request.tasks[0].task_id))
    with pytest.raises(Conflict):
        await clinic.cancel(request.service_request_id)
    with pytest.raises(ForbiddenOrMissing):
        await clinic.cancel("sr_none")


async def test_the_result_of_a_canceled_request_is_refused_and_its_effect_does_not_happen(clinic: Clinic) -> None:
    request = await clinic.submit()
    run = await clinic.claim(request.tasks[0].task_id)
    await clinic.cancel(request.service_request_id)
    effects: list[str] = []
    done = Succeeded(RESULT, lambda tx: effects.append("applied"))
    with pytest.raises(Conflict):
        await clinic.run(lambda tx: clinic.careflow.succeed(tx, run, done))
    with pytest.raises(Conflict):
        await clinic.fail(run, "payer_rejected")
    assert not await clinic.run(lambda tx: clinic.careflow.renew(tx, run))
    assert effects == []
    assert (await clinic.view(request.service_request_id)).status == "CANCELED"


async def test_the_effect_of_an_outcome_is_told_before_the_end_and_only_together_with_it(clinic: Clinic) -> None:
    request = await clinic.submit()
    run = await clinic.claim(request.tasks[0].task_id)

    def broken(tx: Tx) -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        await clinic.run(lambda tx: clinic.careflow.succeed(tx, run, Succeeded(RESULT, broken)))
    with pytest.raises(RuntimeError):
        await clinic.run(lambda tx: clinic.careflow.fail(tx, run, Failed("payer_rejected", apply=broken), 0.0))
    assert len(await clinic.events()) == 5
    seen: list[int] = []
    done = Succeeded(RESULT, lambda tx: seen.append(len(tx.all("SELECT id FROM outbox"))))
    await clinic.run(lambda tx: clinic.careflow.succeed(tx, run, done))
    assert seen == [5]
    assert len(await clinic.events()) == 8


@pytest.mark.parametrize("result", [b"[1]", b"null", b"{", b""])
async def test_a_result_that_is_no_object_is_refused(clinic: Clinic, result: bytes) -> None:
    request = await clinic.submit()
    run = await clinic.claim(request.tasks[0].task_id)
    with pytest.raises(ValueError, match=r"."):
        await clinic.succeed(run, result)
    assert len(await clinic.events()) == 5


async def test_a_failure_code_that_nobody_declared_is_refused(clinic: Clinic) -> None:
    request = await clinic.submit()
    run = await clinic.claim(request.tasks[0].task_id)
    with pytest.raises(LookupError):
        await clinic.fail(run, "made_up")
    assert len(await clinic.events()) == 5


async def test_the_reads_of_a_member_and_a_session_name_what_is_theirs(clinic: Clinic, clock: ManualClock) -> None:
    def ids(session_id: str) -> Any:
        return clinic.store.read(
            lambda r: (clinic.careflow.active_work(r, session_id), clinic.careflow.ended_work(r, session_id))
        )

    done = await clinic.submit()
    await clinic.succeed(await clinic.claim(done.tasks[0].task_id))
    clock.advance(1)
    given_up = await clinic.submit("INTAKE", data={"first_name": "Ada", "born": "1985-04-12"})
    await clinic.cancel(given_up.service_request_id)
    running = await clinic.submit()
    await clinic.submit(session_id="sess_2")
    active, ended = await ids(SESSION)
    assert active == ((running.service_request_id,), (running.tasks[0].task_id,))
    assert ended == (
        (done.service_request_id, given_up.service_request_id),
        (done.tasks[0].task_id, given_up.tasks[0].task_id),
    )
    assert await ids("sess_none") == (((), ()), ((), ()))
    recent = await clinic.store.read(lambda r: clinic.careflow.recent_requests(r, MEMBER, clock.now()))
    assert [view.status for view in recent] == ["SUBMITTED", "SUBMITTED", "CANCELED", "COMPLETED"]
    owners = await clinic.store.read(
        lambda r: (
            clinic.careflow.owner(r, done.service_request_id),
            clinic.careflow.owner(r, "sr_none"),
            clinic.careflow.task_owner(r, done.tasks[0].task_id),
            clinic.careflow.task_owner(r, "task_none"),
            clinic.careflow.view(r, "sr_none", clock.now()),
            clinic.careflow.task(r, "task_none"),
            clinic.careflow.result(r, running.service_request_id),
        )
    )
    assert owners == (MEMBER, None, MEMBER, None, None, None, None)


async def test_only_the_last_twenty_ended_requests_are_recent(clinic: Clinic, clock: ManualClock) -> None:
    submitted = []
    for _ in range(22):
        request = await clinic.submit()
        clock.advance(1)
        await clinic.cancel(request.service_request_id)
        submitted.append(request.service_request_id)
    recent = await clinic.store.read(lambda r: clinic.careflow.recent_requests(r, MEMBER, clock.now()))
    assert [view.service_request_id for view in recent] == submitted[:1:-1]


async def test_tasks_are_listed_in_pages_and_by_state_and_assignee(clinic: Clinic, clock: ManualClock) -> None:
    first = await clinic.submit()
    await clinic.succeed(await clinic.claim(first.tasks[0].task_id))
    form = await clinic.submit("FORM")
    tasks = clinic.careflow.tasks_of
    everything = await clinic.store.read(lambda r: tasks(r, MEMBER, active=False))
    assert [task.task_type for task in everything] == ["RTE_CHECK", "FILL_IN", "FILE"]
    assert await clinic.store.read(lambda r: tasks(r, MEMBER, active=True)) == everything[1:]
    assert await clinic.store.read(lambda r: tasks(r, MEMBER, active=True, assignee=MEMBER)) == everything[1:2]
    assert (
        await clinic.store.read(lambda r: tasks(r, MEMBER, active=False, after=everything[0].task_id, limit=1))
        == everything[1:2]
    )
    assert await clinic.store.read(lambda r: tasks(r, "M2", active=False)) == []
    finished, fill_in, file = everything
    assert (finished.status, finished.outcome, finished.task_result, finished.attempt) == (
        "completed",
        "SUCCESS",
        {"answer": 42},
        1,
    )
    assert (fill_in.status, fill_in.assignee_id, fill_in.assignee_role) == ("pending", MEMBER, "MEMBER")
    assert (fill_in.form, fill_in.due_at) == (ASKED, clock.now() + timedelta(days=1))
    assert (file.status, file.assigned_at, file.attempt) == ("pending", None, 0)
    assert await clinic.store.read(lambda r: clinic.careflow.task(r, fill_in.task_id)) == fill_in
    assert form.estimated_completion_seconds == 3610
