"""Requests and tasks that a backend introduces."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from session_platform.careflow import NewRequest
from session_platform.careflow.model import RequestState, TaskState
from session_platform.careflow.published import REQUEST_MOVES
from session_platform.careflow.published_tasks import TASK_MOVES
from session_platform.contract import (
    ServiceRequestCompletedEvent,
    ServiceRequestProcessingEvent,
    TaskAssignedEvent,
    TaskCompletedEvent,
    TaskInProgressEvent,
)
from session_platform.errors import Conflict
from session_platform.sessions import LifeState, NewSession
from session_platform.store import Tx
from tests.ingest.published import (
    DEPENDANT,
    MEMBER,
    OTHER,
    OWN,
    assigned,
    checked,
    completed,
    created,
    done,
    ended,
    in_progress,
    processing,
    submitted,
)
from tests.ingest.room import Room

STATUSES = [
    {"task_id": "t1", "task_type": "REVIEW", "status": "in_progress"},
    {"task_id": "t2", "task_type": "LETTER", "status": "pending"},
]


async def ours(room: Room) -> tuple[str, str, str]:
    """(session, request, task) that the platform runs."""
    new = NewSession(member_id=MEMBER, initiator_id=MEMBER, type="APP", channel="MX_WEB")

    def command(tx: Tx) -> tuple[str, str, str]:
        session = room.sessions.create(tx, new).session_id
        request = room.careflow.submit(
            tx, NewRequest(session_id=session, member_id=MEMBER, initiator_id=MEMBER, service="RTE", subject=OWN)
        )
        return session, request.service_request_id, request.tasks[0].task_id

    return await room.store.run(command, MEMBER)


# --------------------------------------------------------------------------------------------------------------------- requests


async def test_a_request_is_there_from_its_first_event_to_its_result(room: Room) -> None:
    await room.publish(
        created(),
        submitted(session_id="s1", subject_account_id=DEPENDANT, reason="knee", priority="URGENT", target_role="clinician"),
    )
    request = await room.request()
    assert (request.status, request.stage, request.percent_complete) == (RequestState.SUBMITTED, "QUEUED", 0)
    assert (request.service, request.session_id, request.subject) == ("SECOND_OPINION", "s1", DEPENDANT)
    assert (request.reason, request.priority, request.target_role) == ("knee", "URGENT", "CLINICIAN")
    assert request.initiator_id == "claims"
    assert (await room.session()).state is LifeState.WAITING

    await room.publish(
        processing(percent=40, stage="EXECUTING", estimated_completion_seconds=90, task_statuses=STATUSES),
        assigned("t1", service_request_id="r1"),
    )
    request = await room.request()
    assert (request.status, request.stage, request.percent_complete) == (RequestState.PROCESSING, "EXECUTING", 40)
    assert request.estimated_completion_seconds == 90
    assert [(each.task_id, each.status) for each in request.tasks] == [("t1", "pending"), ("t2", "pending")], (
        "a task's own event says more of it than a report"
    )

    await room.publish(done("t1"), completed(result_data={"opinion": "operate"}, processing_duration_ms=5))
    request = await room.request()
    assert (request.status, request.outcome, request.percent_complete) == (RequestState.COMPLETED, "SUCCESS", 100)
    assert (request.result_ref, request.estimated_completion_seconds) == ("/v1/service-requests/r1/result", None)
    assert await room.result() == {"opinion": "operate"}
    assert (await room.session()).state is LifeState.ACTIVE


async def test_health_data_rides_no_timeline_and_a_reference_stands_in_its_place(room: Room) -> None:
    await room.publish(
        submitted(reason="knee"),
        assigned(service_request_id="r1"),
        done(task_result={"finding": "torn"}),
        completed(result_data={"opinion": "operate"}),
    )
    told = [each["data"] for each in await room.events()]
    assert "reason" not in told[0]
    assert "task_result" not in told[2]
    assert told[2]["task_ref"] == "/v1/tasks/t1"
    assert "result_data" not in told[3]
    assert told[3]["result_ref"] == "/v1/service-requests/r1/result"
    full = [each["data"] for each in await room.full()]
    assert (full[0]["reason"], full[2]["task_result"]) == ("knee", {"finding": "torn"})
    assert full[3]["result_data"] == {"opinion": "operate"}


async def test_what_an_event_leaves_out_of_its_thing_is_added_so_that_subscriptions_match(room: Room) -> None:
    await room.publish(
        created(),
        submitted(session_id="s1"),
        processing(),
        assigned(service_request_id="r1"),
        in_progress(),
        done(),
        completed(),
    )
    told = [each["data"] for each in await room.events()]
    assert [each.get("session_id") for each in told] == ["s1"] * 7
    assert [each.get("service_request_id") for each in told[1:]] == ["r1"] * 6
    rows = await room.store.read(lambda reader: reader.all("SELECT session_id FROM outbox WHERE service_request_id = 'r1'"))
    assert rows == [("s1",)] * 6


async def test_success_without_a_result_has_an_empty_one(room: Room) -> None:
    await room.publish(submitted(), completed())
    assert await room.result() == {}
    assert (await room.events())[1]["data"]["result_ref"] == "/v1/service-requests/r1/result"


async def test_a_failure_is_told_in_the_platforms_words(room: Room) -> None:
    error = {"code": "payer_timeout", "message": "Mrs. Miller's payer hung up", "retryable": True}
    await room.publish(submitted("r1"), completed("r1", "FAILED", error=error))
    await room.publish(submitted("r2"), completed("r2", "FAILED", error={**error, "code": "reviewer_ill"}))
    await room.publish(submitted("r3"), completed("r3", "CANCELED"))
    views = [await room.request(each) for each in ("r1", "r2", "r3")]
    assert [each.status for each in views] == [RequestState.FAILED, RequestState.FAILED, RequestState.CANCELED]
    assert [each.result_ref for each in views] == [None, None, None]
    known, unknown = views[0].error, views[1].error
    assert known is not None
    assert unknown is not None
    assert (known.code, known.retryable) == ("payer_timeout", True)
    assert unknown.code == "reviewer_ill"
    everything = str(await room.everything())
    assert "Miller" not in everything
    assert "did not answer in time" in known.message
    assert unknown.message == "The service could not do this: ask whoever provides it."


async def test_progress_never_falls(room: Room) -> None:
    await room.publish(submitted(), processing(percent=40), processing(percent=40), processing(percent=60))
    assert await room.refused(processing(percent=59)) == {"/0/data/percent_complete"}
    assert await room.refused(processing(percent=70), processing(percent=65)) == {"/1/data/percent_complete"}
    assert (await room.request()).percent_complete == 60


async def test_a_stage_that_is_not_said_stays(room: Room) -> None:
    await room.publish(submitted(), processing(percent=1, stage="SCHEDULED"), processing(percent=2))
    assert (await room.request()).stage == "SCHEDULED"


async def test_tasks_end_before_their_request_does(room: Room) -> None:
    await room.publish(submitted(), assigned(service_request_id="r1"))
    assert await room.refused(completed()) == {"/0/data/service_request_id"}
    assert await room.publish(done(outcome="CANCELED"), completed(outcome="CANCELED")) == ["accepted", "accepted"]


async def test_a_request_in_a_session_that_ended_is_refused_and_one_that_was_open_goes_on(room: Room) -> None:
    await room.publish(created(), submitted("r1", session_id="s1"), ended())
    assert await room.refused(submitted("r2", session_id="s1")) == {"/0/data/session_id"}
    assert await room.publish(processing("r1"), completed("r1")) == ["accepted", "accepted"]
    assert (await room.events())[-1]["data"]["session_id"] == "s1"


async def test_a_request_in_a_session_of_the_platform_is_part_of_it(room: Room) -> None:
    session, _, _ = await ours(room)
    await room.publish(submitted(session_id=session))
    views = await room.store.read(lambda reader: room.careflow.active_work(reader, session))
    assert "r1" in views[0]


@pytest.mark.parametrize(
    ("events", "pointers"),
    [
        ([processing()], {"/0/data/service_request_id"}),
        ([completed()], {"/0/data/service_request_id"}),
        ([processing(), submitted()], {"/0/data/service_request_id"}),
        ([submitted(), submitted()], {"/1/data/service_request_id"}),
        ([submitted(), completed(), completed()], {"/2/data/service_request_id"}),
        ([submitted(), completed(), processing()], {"/2/data/service_request_id"}),
        ([submitted(session_id="nowhere")], {"/0/data/session_id"}),
        ([submitted(subject_account_id="A200001")], {"/0/data/subject_account_id"}),
        ([submitted(member_id="nobody")], {"/0/data/member_id"}),
        ([submitted(submitted_at="2030-01-01T00:00:00Z")], {"/0/data/submitted_at"}),
        ([submitted(), completed(healthcare_service="OTHER")], {"/1/data/healthcare_service"}),
        ([submitted(), processing(member_id=OTHER)], {"/1/data/service_request_id"}),
        ([created(), submitted(), processing(session_id="s1")], {"/2/data/session_id"}),
        ([created(), created("s2"), submitted(session_id="s1"), completed(session_id="s2")], {"/3/data/session_id"}),
        (
            [
                submitted("r1"),
                submitted("r2"),
                assigned("t1", service_request_id="r2"),
                processing("r1", task_statuses=STATUSES),
            ],
            {"/3/data/task_statuses/0/task_id"},
        ),
    ],
    ids=range(15),
)
async def test_what_the_state_of_a_request_forbids_is_refused(
    room: Room, events: list[dict[str, Any]], pointers: set[str]
) -> None:
    assert await room.refused(*events) == pointers


async def test_what_the_platform_runs_no_event_moves(room: Room) -> None:
    session, request, task = await ours(room)
    refused = await room.refused(
        processing(request),
        completed(request),
        assigned(task),
        in_progress(task),
        done(task),
        assigned("t9", service_request_id=request),
        ended(session),
        submitted(request),
    )
    assert refused == {
        *("/0/data/service_request_id", "/1/data/service_request_id", "/2/data/task_id", "/3/data/task_id"),
        *("/4/data/task_id", "/5/data/service_request_id", "/6/data/session_id", "/7/data/service_request_id"),
    }


async def test_what_another_backend_runs_looks_like_what_there_is_not(room: Room) -> None:
    await room.publish(submitted(), assigned(service_request_id="r1"))
    foreign = [
        {**each, "source": "/other"}
        for each in (
            *(processing("r1"), processing("nothing"), in_progress("t1"), in_progress("nothing")),
            *(assigned("t9", service_request_id="r1"), assigned("t9", service_request_id="nothing")),
        )
    ]
    with pytest.raises(Exception, match="not acceptable") as refusal:
        await room.publish(*foreign, by="other")
    details = [each.detail for each in refusal.value.problems]  # type: ignore[attr-defined]
    assert details[0::2] == details[1::2]


async def test_no_command_moves_what_a_backend_runs(room: Room) -> None:
    await room.publish(submitted(), assigned(service_request_id="r1", assignee_role="MEMBER"))
    with pytest.raises(Conflict):
        await room.store.run(lambda tx: room.careflow.cancel(tx, "r1", MEMBER), MEMBER)
    assert (await room.task()).assignee_id == MEMBER


# ------------------------------------------------------------------------------------------------------------------------ tasks


async def test_a_task_is_there_from_its_assignment_to_its_result(room: Room) -> None:
    due_at = room.clock.now() + timedelta(days=2)
    await room.publish(
        submitted(),
        assigned(
            service_request_id="r1", assignee_id="C001", assignee_name="Dana Reyes", title="Review", due_at=due_at.isoformat()
        ),
    )
    task = await room.task()
    assert (task.task_type, task.title, task.status) == ("REVIEW", "Review", "pending")
    assert (task.assignee_id, task.assignee_role, task.assignee_name) == ("C001", "CARE_TEAM", "Dana Reyes")
    assert (task.service_request_id, task.due_at, task.assigned_at) == ("r1", due_at, room.clock.now())
    await room.publish(in_progress(started_by="C001"))
    task = await room.task()
    assert (task.status, task.started_at, task.attempt) == ("in_progress", room.clock.now(), 1)
    await room.publish(done(task_result={"finding": "torn"}, completed_by="C001"))
    task = await room.task()
    assert (task.status, task.outcome, task.task_result) == ("completed", "SUCCESS", {"finding": "torn"})


async def test_a_task_may_belong_to_no_request(room: Room) -> None:
    await room.publish(created(), assigned(session_id="s1"), in_progress(), done(outcome="FAILED"))
    task = await room.task()
    assert (task.service_request_id, task.session_id, task.status, task.title) == (None, "s1", "failed", "REVIEW")
    assert "task_ref" not in (await room.events())[-1]["data"]


async def test_a_task_of_the_member_is_the_members(room: Room) -> None:
    await room.publish(assigned(assignee_role="MEMBER"))
    assert (await room.task()).assignee_id == MEMBER
    assert await room.refused(
        assigned("t2", assignee_role="CARE_TEAM"), assigned("t2", assignee_role="MEMBER", assignee_id="C001")
    ) == {"/1/data/assignee_id"}


async def test_staff_have_rights_while_a_task_is_theirs(room: Room) -> None:
    await room.publish(assigned(assignee_id="C001"))
    assert await room.rights() == [(MEMBER, "C001", 1)]
    await room.publish(assigned(assignee_id="C002"))
    assert (await room.rights())[1:] == [(MEMBER, "C001", 2), (MEMBER, "C002", 2)]
    await room.publish(in_progress(assignee_id="C003", assignee_role="CLINICIAN"))
    assert (await room.rights())[3:] == [(MEMBER, "C002", 3), (MEMBER, "C003", 3)]
    task = await room.task()
    assert (task.assignee_id, task.assignee_role, task.assignee_name) == ("C003", "CLINICIAN", None)
    await room.publish(in_progress(), done())
    assert (await room.rights())[5:] == [(MEMBER, "C003", 5)]
    before = await room.rights()
    await room.publish(
        assigned("t2", assignee_role="SYSTEM", assignee_id="bot"), assigned("t3", assignee_role="MEMBER"), done("t3")
    )
    assert await room.rights() == before, "nobody else gets any by a task"


async def test_a_task_that_is_offered_anew_waits_again_and_keeps_what_is_not_said(room: Room) -> None:
    await room.publish(assigned(assignee_id="C001", title="Review"), in_progress(), assigned())
    task = await room.task()
    assert (task.status, task.assignee_id, task.title) == ("pending", None, "Review")


@pytest.mark.parametrize(
    ("events", "pointers"),
    [
        ([in_progress()], {"/0/data/task_id"}),
        ([done()], {"/0/data/task_id"}),
        ([assigned(), done(), done()], {"/2/data/task_id"}),
        ([assigned(), done(), in_progress()], {"/2/data/task_id"}),
        ([assigned(), done(), assigned()], {"/2/data/task_id"}),
        ([assigned(), in_progress(member_id=OTHER)], {"/1/data/task_id"}),
        ([assigned(), in_progress(task_type="OTHER")], {"/1/data/task_type"}),
        ([submitted(), assigned(), in_progress(service_request_id="r1")], {"/2/data/service_request_id"}),
        ([created(), assigned(), in_progress(session_id="s1")], {"/2/data/session_id"}),
        ([assigned(service_request_id="nothing")], {"/0/data/service_request_id"}),
        ([submitted(), completed(), assigned(service_request_id="r1")], {"/2/data/service_request_id"}),
        ([created(), submitted(), assigned(service_request_id="r1", session_id="s1")], {"/2/data/session_id"}),
        ([assigned(assignee_id="C999")], {"/0/data/assignee_id"}),
        ([assigned(assignee_role="MEMBER"), in_progress(assignee_id="C001")], {"/1/data/assignee_id"}),
        ([assigned(assigned_at="2030-01-01T00:00:00Z")], {"/0/data/assigned_at"}),
    ],
    ids=range(15),
)
async def test_what_the_state_of_a_task_forbids_is_refused(
    room: Room, events: list[dict[str, Any]], pointers: set[str]
) -> None:
    assert await room.refused(*events) == pointers


async def test_a_new_task_says_what_it_is_and_for_whom(room: Room) -> None:
    event = assigned()
    bare = {**event, "data": {"task_id": "t1", "member_id": MEMBER}}
    assert await room.refused(bare) == {"/0/data/task_type", "/0/data/assignee_role"}
    await room.publish(event)
    assert await room.publish({**bare, "id": "again"}) == ["accepted"], "of a known task that is known"


# ------------------------------------------------------------------------------------------------------------------- the tables

SUCH: dict[Any, Callable[..., dict[str, Any]]] = {
    ServiceRequestProcessingEvent: processing,
    ServiceRequestCompletedEvent: completed,
    TaskAssignedEvent: assigned,
    TaskInProgressEvent: in_progress,
    TaskCompletedEvent: done,
}
REACHED: dict[RequestState, list[dict[str, Any]]] = {
    RequestState.SUBMITTED: [submitted()],
    RequestState.PROCESSING: [submitted(), processing()],
    RequestState.COMPLETED: [submitted(), completed()],
    RequestState.FAILED: [submitted(), completed(outcome="FAILED")],
    RequestState.CANCELED: [submitted(), completed(outcome="CANCELED")],
}
TASK_REACHED: dict[TaskState, list[dict[str, Any]]] = {
    TaskState.PENDING: [assigned()],
    TaskState.IN_PROGRESS: [assigned(), in_progress()],
    TaskState.COMPLETED: [assigned(), done()],
    TaskState.FAILED: [assigned(), done(outcome="FAILED")],
    TaskState.CANCELED: [assigned(), done(outcome="CANCELED")],
}


@pytest.mark.parametrize(
    ("state", "kind"),
    list(product(REACHED, (ServiceRequestProcessingEvent, ServiceRequestCompletedEvent))),
    ids=lambda each: str(getattr(each, "__name__", each)),
)
async def test_every_event_in_every_state_of_a_request_is_decided_by_the_table(
    room: Room, state: RequestState, kind: type[Any]
) -> None:
    await room.publish(*REACHED[state])
    assert (await room.request()).status is state
    event = SUCH[kind](percent=50) if kind is ServiceRequestProcessingEvent else SUCH[kind]()
    if (state, kind) in REQUEST_MOVES:
        assert await room.publish(event) == ["accepted"]
    else:
        assert await room.refused(event) == {"/0/data/service_request_id"}


@pytest.mark.parametrize(
    ("state", "kind"),
    list(product(TASK_REACHED, (TaskAssignedEvent, TaskInProgressEvent, TaskCompletedEvent))),
    ids=lambda each: str(getattr(each, "__name__", each)),
)
async def test_every_event_in_every_state_of_a_task_is_decided_by_the_table(
    room: Room, state: TaskState, kind: type[Any]
) -> None:
    await room.publish(*TASK_REACHED[state])
    if (state, kind) in TASK_MOVES:
        assert await room.publish(SUCH[kind]()) == ["accepted"]
    else:
        assert await room.refused(SUCH[kind]()) == {"/0/data/task_id"}


async def test_a_check_for_a_request_comes_before_its_end(room: Room) -> None:
    _, request, _ = await ours(room)
    await room.publish(submitted("r1"), submitted("r2", OTHER), checked(service_request_id="r1"))
    assert await room.publish(checked(service_request_id=request)) == ["accepted"], "naming is not moving"
    await room.publish(completed("r1"))
    refused = await room.refused(*(checked(service_request_id=each) for each in ("r1", "r2", "r9")))
    assert refused == {f"/{place}/data/service_request_id" for place in range(3)}


async def test_a_check_for_a_request_is_in_the_session_of_that_request(room: Room) -> None:
    """Whoever follows the session hears what the request came to."""
    await room.publish(created("s1"), created("s2"), submitted("r1", session_id="s1"), submitted("r2"))
    assert await room.refused(
        checked(service_request_id="r1", session_id="s2"), checked(service_request_id="r2", session_id="s2")
    ) == {"/0/data/session_id", "/1/data/session_id"}
    checks = checked(service_request_id="r1"), checked(service_request_id="r1", session_id="s1"), checked(session_id="s2")
    assert await room.publish(*checks) == ["accepted"] * 3
    assert [each["data"]["session_id"] for each in (await room.events())[-3:]] == ["s1", "s1", "s2"]
