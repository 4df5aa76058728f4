"""Tasks that people and other backends work on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from session_platform.careflow import Hand, RequestView, queue
from session_platform.careflow.model import INTERRUPTIONS_MAX
from session_platform.clock import ManualClock
from session_platform.contract import AssigneeRole
from session_platform.errors import Conflict, ForbiddenOrMissing, Invalid
from tests.careflow.made_up import MEMBER, SESSION, Clinic

DANA = Hand(id="C001", name="Dana Reyes")
ITO = Hand(id="C002", name="Dr. Ito")
SELF = Hand(id=MEMBER)
PRINTER = Hand(id="printer")
OTHER_PRINTER = Hand(id="printer-2")
ADVISED: dict[str, Any] = {"advice": "Rest."}


async def only_task(clinic: Clinic, service: str = "ADVICE", **fields: Any) -> str:
    return (await clinic.submit(service, **fields)).tasks[0].task_id


async def request_of(clinic: Clinic, task_id: str) -> RequestView:
    service_request_id = (await clinic.task(task_id)).service_request_id
    assert service_request_id is not None
    return await clinic.view(service_request_id)


async def offered(clinic: Clinic, *specialities: str, roles: tuple[AssigneeRole, ...] = (AssigneeRole.CARE_TEAM,)) -> list[str]:
    return await clinic.store.read(
        lambda r: queue.offered_to_staff(r, roles, specialities, now=clinic.clock.now(), after="", limit=100)
    )


async def test_advice_is_claimed_started_and_completed_and_the_timeline_tells_it_in_order(
    clinic: Clinic, clock: ManualClock
) -> None:
    task_id = await only_task(clinic)
    assert await offered(clinic) == [task_id]
    clock.advance(10)
    claimed = await clinic.take(task_id, DANA)
    assert (claimed.status, claimed.assignee_id, claimed.assignee_name, claimed.attempt) == ("pending", "C001", "Dana Reyes", 1)
    assert claimed.assigned_at == clock.now()
    assert claimed.due_at == clock.now() + timedelta(seconds=3590), "due counts from when its turn came"
    assert await offered(clinic) == []
    clock.advance(10)
    started = await clinic.start(task_id, DANA)
    assert (started.status, started.started_at, started.attempt) == ("in_progress", clock.now(), 1)
    assert (await request_of(clinic, task_id)).status == "PROCESSING"
    done = await clinic.complete(task_id, DANA, attempt=1, **ADVISED)
    assert (done.status, done.outcome, done.task_result) == ("completed", "SUCCESS", ADVISED)
    view = await request_of(clinic, task_id)
    assert (view.status, view.outcome) == ("COMPLETED", "SUCCESS")
    events = (await clinic.events())[3:]
    assert [name for name, _ in events] == [
        "task.assigned",
        "task.in_progress",
        "service_request.processing",
        "task.completed",
        "service_request.processing",
        "service_request.completed",
    ]
    assigned, in_progress, _, completed, _, _ = (data for _, data in events)
    assert (assigned["assignee_id"], assigned["assignee_name"]) == ("C001", "Dana Reyes")
    assert (in_progress["started_by"], in_progress["assignee_id"]) == ("C001", "C001")
    assert (completed["completed_by"], completed["task_ref"]) == ("C001", f"/v1/tasks/{task_id}")
    assert "Rest." not in str(events)
    assert clinic.rights == ["C001", "C001"], "it became hers, and stopped being hers"
    assert clinic.active == [SESSION] * 3


async def test_what_a_request_found_is_what_the_person_wrote(clinic: Clinic) -> None:
    task_id = await only_task(clinic)
    await clinic.take(task_id, DANA)
    await clinic.start(task_id, DANA)
    await clinic.complete(task_id, DANA, **ADVISED)
    request = await request_of(clinic, task_id)
    result = await clinic.store.read(lambda r: clinic.careflow.result(r, request.service_request_id))
    assert result == b'{"advice":"Rest."}'


async def test_a_claimed_task_is_nobody_elses(clinic: Clinic) -> None:
    task_id = await only_task(clinic)
    await clinic.take(task_id, DANA)
    for move in (clinic.take, clinic.start, clinic.release):
        with pytest.raises(Conflict):
            await move(task_id, ITO)
    with pytest.raises(Conflict):
        await clinic.complete(task_id, ITO, **ADVISED)
    assert (await clinic.task(task_id)).assignee_id == "C001"


async def test_a_task_is_started_before_it_is_completed(clinic: Clinic) -> None:
    task_id = await only_task(clinic)
    with pytest.raises(Conflict):
        await clinic.start(task_id, DANA)
    await clinic.take(task_id, DANA)
    for outcome in ("SUCCESS", "FAILED"):
        with pytest.raises(Conflict):
            await clinic.complete(task_id, DANA, outcome, **(ADVISED if outcome == "SUCCESS" else {}))
    assert (await clinic.task(task_id)).status == "pending"


@pytest.mark.parametrize("begun", [False, True])
async def test_a_released_task_is_offered_again_and_its_next_attempt_is_another(clinic: Clinic, begun: bool) -> None:
    task_id = await only_task(clinic)
    await clinic.take(task_id, DANA)
    if begun:
        await clinic.start(task_id, DANA)
    before = len(await clinic.events())
    free = await clinic.release(task_id, DANA)
    assert (free.status, free.assignee_id, free.assignee_name, free.started_at) == ("pending", None, None, None)
    told = await clinic.events(before)
    assert [name for name, _ in told] == ["task.assigned", *(["service_request.processing"] if begun else [])]
    assert "assignee_id" not in told[0][1]
    assert await offered(clinic) == [task_id]
    assert clinic.rights == ["C001", "C001"]
    again = await clinic.take(task_id, ITO)
    assert (again.attempt, again.assignee_id) == (2, "C002")


async def test_who_lost_the_task_and_got_it_back_cannot_complete_the_old_attempt(clinic: Clinic) -> None:
    task_id = await only_task(clinic)
    for move in (clinic.take, clinic.start, clinic.release, clinic.take, clinic.start):
        await move(task_id, DANA)
    for stale in (0, 1, 3):
        with pytest.raises(Conflict):
            await clinic.complete(task_id, DANA, attempt=stale, **ADVISED)
    assert (await clinic.complete(task_id, DANA, attempt=2, **ADVISED)).status == "completed"


async def test_a_move_already_made_may_be_repeated_by_who_made_it_and_tells_nothing_new(clinic: Clinic) -> None:
    task_id = await only_task(clinic)

    async def twice(move: Any) -> None:
        first = await move()
        before = len(await clinic.events())
        assert await move() == first
        assert len(await clinic.events()) == before

    await twice(lambda: clinic.take(task_id, DANA))
    await twice(lambda: clinic.start(task_id, DANA))
    await twice(lambda: clinic.release(task_id, DANA))
    with pytest.raises(Conflict):
        await clinic.release(task_id, ITO)
    await clinic.take(task_id, ITO)
    with pytest.raises(Conflict):
        await clinic.release(task_id, DANA)
    await clinic.start(task_id, ITO)
    await twice(lambda: clinic.complete(task_id, ITO, attempt=2, **ADVISED))
    for other in ({"attempt": None, **ADVISED}, {"attempt": 2, "advice": "Other."}):
        with pytest.raises(Conflict):
            await clinic.complete(task_id, ITO, **other)
    with pytest.raises(Conflict):
        await clinic.complete(task_id, DANA, attempt=2, **ADVISED)
    assert (await clinic.names()).count("task.completed") == 1


@pytest.mark.parametrize(
    ("result", "pointers"),
    [({}, ["/result/advice"]), ({"advice": 1}, ["/result/advice"]), ({"advice": "x", "more": 1}, ["/result"])],
)
async def test_a_result_is_what_the_form_asks_for(clinic: Clinic, result: dict[str, Any], pointers: list[str]) -> None:
    task_id = await only_task(clinic)
    await clinic.take(task_id, DANA)
    await clinic.start(task_id, DANA)
    with pytest.raises(Invalid) as error:
        await clinic.complete(task_id, DANA, **result)
    assert [problem.pointer for problem in error.value.problems] == pointers
    assert (await clinic.task(task_id)).status == "in_progress"


@pytest.mark.parametrize(
    ("result", "code", "retryable"),
    [({}, "not_done", False), ({"why": "Out of time."}, "not_done", False), ({"code": "gone"}, "gone", True)],
)
async def test_a_person_who_fails_ends_the_request_whatever_the_failure(
    clinic: Clinic, result: dict[str, Any], code: str, retryable: bool
) -> None:
    task_id = await only_task(clinic)
    await clinic.take(task_id, DANA)
    await clinic.start(task_id, DANA)
    failed = await clinic.complete(task_id, DANA, "FAILED", **result)
    assert (failed.status, failed.outcome, failed.task_result) == ("failed", "FAILED", result or None)
    view = await request_of(clinic, task_id)
    assert view.error is not None
    assert (view.status, view.error.code, view.error.retryable) == ("FAILED", code, retryable)
    assert clinic.rights == ["C001", "C001"]


async def test_a_failure_that_nobody_declared_is_refused_at_its_pointer(clinic: Clinic) -> None:
    task_id = await only_task(clinic)
    await clinic.take(task_id, DANA)
    await clinic.start(task_id, DANA)
    for code in ("made_up", 5):
        with pytest.raises(Invalid) as error:
            await clinic.complete(task_id, DANA, "FAILED", code=code)
        assert [problem.pointer for problem in error.value.problems] == ["/result/code"]


async def test_a_members_own_task_is_theirs_at_once_and_cannot_be_released(clinic: Clinic) -> None:
    request = await clinic.submit("FORM")
    mine, later = [task.task_id for task in request.tasks]
    task = await clinic.task(mine)
    assert (task.assignee_id, task.assignee_role, task.attempt) == (MEMBER, "MEMBER", 1)
    assert (await clinic.names()).count("task.assigned") == 1
    with pytest.raises(Conflict):
        await clinic.release(mine, SELF)
    with pytest.raises(Conflict):
        await clinic.take(mine, DANA)
    await clinic.start(mine, SELF)
    await clinic.complete(mine, SELF, attempt=1, name="Ada")
    assert (await clinic.claim(later)).found == {"FILL_IN": {"name": "Ada"}}
    assert clinic.rights == [], "a member needs no relationship with herself"


async def test_a_canceled_request_takes_the_task_out_of_its_owners_hands(clinic: Clinic) -> None:
    task_id = await only_task(clinic)
    await clinic.take(task_id, DANA)
    await clinic.start(task_id, DANA)
    await clinic.cancel((await request_of(clinic, task_id)).service_request_id)
    assert clinic.rights == ["C001", "C001"]
    for move in (clinic.take, clinic.start, clinic.release):
        with pytest.raises(Conflict):
            await move(task_id, DANA)
    with pytest.raises(Conflict):
        await clinic.complete(task_id, DANA, **ADVISED)
    assert await offered(clinic) == []


async def test_there_must_be_such_a_task_and_a_system_does_its_own(clinic: Clinic) -> None:
    for move in (clinic.take, clinic.start, clinic.release):
        with pytest.raises(ForbiddenOrMissing):
            await move("task_none", DANA)
    platforms_own = await only_task(clinic, "RTE")
    for move in (clinic.take, clinic.start, clinic.release):
        with pytest.raises(Conflict):
            await move(platforms_own, PRINTER)
    run = await clinic.claim(platforms_own)
    with pytest.raises(Conflict):
        await clinic.complete(platforms_own, PRINTER)
    await clinic.succeed(run)


async def test_a_task_that_waits_for_its_turn_is_offered_to_nobody(clinic: Clinic) -> None:
    waiting = (await clinic.submit("FORM")).tasks[1].task_id
    with pytest.raises(Conflict):
        await clinic.take(waiting, DANA)
    assert await clinic.claim_if_possible(waiting) is None


@pytest.mark.parametrize(
    ("target", "role", "speciality"),
    [
        ({}, "CARE_TEAM", None),
        ({"target_role": "clinician", "target_speciality": "Psychiatry"}, "CLINICIAN", "PSYCHIATRY"),
        ({"target_role": "SYSTEM"}, "CARE_TEAM", None),
        ({"target_role": "MEMBER", "target_speciality": "Psychiatry"}, "MEMBER", None),
    ],
)
async def test_the_queue_holds_what_somebody_may_claim(
    clinic: Clinic, target: dict[str, str], role: str, speciality: str | None
) -> None:
    task_id = await only_task(clinic, **target)
    standing = await clinic.store.read(lambda r: clinic.careflow.standing(r, task_id, clinic.clock.now()))
    assert standing is not None
    assert (standing.role, standing.speciality) == (role, speciality)
    clinician = AssigneeRole.CLINICIAN
    assert await offered(clinic) == ([task_id] if role == "CARE_TEAM" else [])
    assert await offered(clinic, roles=(clinician,)) == []
    assert await offered(clinic, "cardiology", roles=(clinician,)) == []
    assert await offered(clinic, "psychiatry", roles=(clinician,)) == ([task_id] if role == "CLINICIAN" else [])


async def test_the_queue_is_read_in_pages_and_a_claim_between_them_skips_and_repeats_nothing(clinic: Clinic) -> None:
    tasks = [await only_task(clinic) for _ in range(6)]

    async def page(after: str) -> list[str]:
        return await clinic.store.read(
            lambda r: queue.offered_to_staff(
                r, [AssigneeRole.CARE_TEAM], ["A", "B"], now=clinic.clock.now(), after=after, limit=2
            )
        )

    first = await page("")
    await clinic.take(tasks[0], DANA)
    await clinic.take(tasks[3], DANA)
    second = await page(first[-1])
    third = await page(second[-1])
    assert [first, second, third] == [tasks[:2], [tasks[2], tasks[4]], [tasks[5]]]
    held = await clinic.store.read(lambda r: queue.assigned_to(r, "C001", by_service=False, after="", limit=10))
    assert held == [tasks[0], tasks[3]]


@pytest.mark.parametrize(
    "sql",
    [queue._OFFERED, queue._OFFERED_TO_SPECIALISTS, queue._ASSIGNED, queue._LAPSED],
    ids=["offered", "specialists", "assigned", "lapsed"],
)
async def test_queues_are_read_through_their_indexes(clinic: Clinic, sql: str) -> None:
    values = {
        "executor": "human", "role": "CARE_TEAM", "speciality": "X", "assignee": "C001", "by_service": 0, "after": "",
        "now": 0, "limit": 9
    }  # fmt: skip
    given: dict[str, Any] = {name: value for name, value in values.items() if f":{name}" in sql}
    plan = str(await clinic.store.read(lambda r: r.all("EXPLAIN QUERY PLAN " + sql, **given)))
    assert "USING INDEX task_" in plan or "USING COVERING INDEX task_" in plan
    assert "TEMP B-TREE" not in plan


async def test_the_queue_shows_no_title_and_no_form(clinic: Clinic) -> None:
    await only_task(clinic)
    now = clinic.clock.now()
    (task,) = await clinic.store.read(
        lambda r: clinic.careflow.offered_to_staff(r, ["care_team"], [], now=now, after="", limit=9)
    )
    assert (task.task_type, task.assignee_role, task.status) == ("ADVISE", "CARE_TEAM", "pending")
    assert (task.title, task.form, task.assigned_at) == (None, None, None)
    assert task.due_at is not None


# ---------------------------------------------------------------------------------------------------------------- services


async def test_a_service_starts_works_and_completes_a_system_task_that_no_function_does(
    clinic: Clinic, clock: ManualClock
) -> None:
    task_id = await only_task(clinic, "LETTER", data={"to": "Ada"}, subject="A1")
    open_to_services = clinic.careflow.offered_to_services
    (shown,) = await clinic.store.read(lambda r: open_to_services(r, now=clock.now(), after="", limit=9))
    assert (shown.task_id, shown.assignee_role, shown.title) == (task_id, "SYSTEM", None)
    started: Any = await clinic.start(task_id, PRINTER)
    assert (started.status, started.assignee_id, started.attempt) == ("in_progress", "printer", 1)
    assert (started.subject, started.data) == ("A1", {"to": "Ada"})
    assert started.lease_until == clock.now() + timedelta(seconds=30)
    assert await clinic.store.read(lambda r: open_to_services(r, now=clock.now(), after="", limit=9)) == []
    with pytest.raises(Conflict):
        await clinic.start(task_id, OTHER_PRINTER)
    done = await clinic.complete(task_id, PRINTER, attempt=1, pages=2)
    assert (done.status, done.task_result) == ("completed", {"pages": 2})
    assert (await request_of(clinic, task_id)).status == "COMPLETED"
    in_progress = next(data for name, data in await clinic.events() if name == "task.in_progress")
    assert in_progress["started_by"] == "printer"
    assert clinic.rights == []


async def test_to_start_once_more_renews_what_a_service_holds(clinic: Clinic, clock: ManualClock) -> None:
    task_id = await only_task(clinic, "LETTER")
    await clinic.start(task_id, PRINTER)
    for _ in range(5):
        clock.advance(29)
        assert (await clinic.start(task_id, PRINTER)).attempt == 1
        await clinic.lapse(task_id)
    assert (await clinic.task(task_id)).status == "in_progress"
    assert (await clinic.names()).count("task.in_progress") == 1


async def test_a_service_that_fell_silent_loses_the_task_to_the_queue_and_its_answer_is_refused(
    clinic: Clinic, clock: ManualClock
) -> None:
    task_id = await only_task(clinic, "LETTER")
    await clinic.start(task_id, PRINTER)
    clock.advance(30)
    assert await clinic.store.read(lambda r: queue.lapsed(r, clock.now(), 9)) == [(task_id, MEMBER)]
    before = len(await clinic.events())
    await clinic.lapse(task_id)
    await clinic.lapse(task_id)
    assert await clinic.names(before) == ["task.assigned", "service_request.processing"]
    with pytest.raises(Conflict):
        await clinic.complete(task_id, PRINTER, attempt=1)
    assert (await clinic.start(task_id, OTHER_PRINTER)).attempt == 2
    with pytest.raises(Conflict):
        await clinic.complete(task_id, PRINTER, attempt=1)
    await clinic.complete(task_id, OTHER_PRINTER, attempt=2)
    assert (await clinic.names()).count("task.completed") == 1


async def test_an_answer_may_come_late_as_long_as_nobody_took_the_task_away(clinic: Clinic, clock: ManualClock) -> None:
    task_id = await only_task(clinic, "LETTER")
    await clinic.start(task_id, PRINTER)
    clock.advance(300)
    await clinic.complete(task_id, PRINTER, attempt=1)
    assert (await request_of(clinic, task_id)).status == "COMPLETED"


async def test_a_service_may_give_a_task_back_at_once(clinic: Clinic) -> None:
    task_id = await only_task(clinic, "LETTER")
    await clinic.start(task_id, PRINTER)
    assert (await clinic.release(task_id, PRINTER)).assignee_id is None
    assert (await clinic.start(task_id, OTHER_PRINTER)).attempt == 2


async def test_a_services_failure_is_retried_as_declared_and_told_as_another_attempt(
    clinic: Clinic, clock: ManualClock
) -> None:
    task_id = await only_task(clinic, "LETTER")
    for attempt in (1, 2):
        await clinic.start(task_id, PRINTER)
        failed = await clinic.complete(task_id, PRINTER, "FAILED", attempt, code="jam")
        assert (failed.status, failed.assignee_id, failed.task_result) == ("pending", None, None)
        assert await clinic.complete(task_id, PRINTER, "FAILED", attempt, code="jam") == failed, "a repetition counts once"
        with pytest.raises(Conflict):
            await clinic.start(task_id, PRINTER)
        assert await clinic.store.read(lambda r: queue.offered_to_services(r, now=clock.now(), after="", limit=9)) == []
        clock.advance(60)
    names = await clinic.names()
    assert (names.count("task.in_progress"), names.count("task.completed")) == (2, 0)
    await clinic.start(task_id, PRINTER)
    await clinic.complete(task_id, PRINTER, "FAILED", 3, code="jam")
    view = await request_of(clinic, task_id)
    assert view.error is not None
    assert (view.status, view.error.code, view.error.retryable) == ("FAILED", "jam", True)


async def test_a_services_final_failure_ends_the_request_at_once(clinic: Clinic) -> None:
    results: list[tuple[dict[str, Any], str]] = [({"code": "no_such_address"}, "no_such_address"), ({}, "not_done")]
    for result, code in results:
        task_id = await only_task(clinic, "LETTER")
        await clinic.start(task_id, PRINTER)
        await clinic.complete(task_id, PRINTER, "FAILED", **result)
        view = await request_of(clinic, task_id)
        assert view.error is not None
        assert (view.status, view.error.code) == ("FAILED", code)


async def test_a_task_that_every_service_dies_of_ends(clinic: Clinic, clock: ManualClock) -> None:
    task_id = await only_task(clinic, "LETTER")
    for _ in range(INTERRUPTIONS_MAX):
        assert (await request_of(clinic, task_id)).outcome is None
        await clinic.start(task_id, PRINTER)
        clock.advance(30)
        await clinic.lapse(task_id)
    view = await request_of(clinic, task_id)
    assert view.error is not None
    assert (view.status, view.error.code) == ("FAILED", "internal_error")


async def test_a_backends_task_and_request_are_moved_by_its_events_only(clinic: Clinic) -> None:
    task_id = await only_task(clinic)
    request = await request_of(clinic, task_id)
    await clinic.run(lambda tx: tx.execute("UPDATE task SET publisher = 'billing'"))
    await clinic.run(lambda tx: tx.execute("UPDATE service_request SET publisher = 'billing'"))
    assert await offered(clinic) == []
    for move in (clinic.take, clinic.start, clinic.release):
        with pytest.raises(Conflict):
            await move(task_id, DANA)
    with pytest.raises(Conflict):
        await clinic.cancel(request.service_request_id)
