"""Tasks: a member's, the queues of staff and services, and what who has one does with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from session_platform.access import MemberIdentity, ServiceIdentity, StaffIdentity
from session_platform.api.call import MEMBER, SERVICE, STAFF, Call, Kind, answer, by
from session_platform.api.describe import Takes, described, of, page_of
from session_platform.api.paging import LIMIT_DEFAULT, Limit, PageToken, after, page
from session_platform.api.reading import Body, Nothing, Posted, posted
from session_platform.api.service_requests import about_readable_account
from session_platform.careflow import Completion, Hand, TaskAtWork, TaskStanding, TaskView, may_claim, queued
from session_platform.contract import AssigneeRole, TaskOutcome
from session_platform.errors import Forbidden, ForbiddenOrMissing
from session_platform.store import Reader, Tx

LISTED: Final = "tasks"
QUEUED: Final = "queue"
HELD: Final = "held"
NO_ASSIGNEE: Final = "Only who the task is assigned to may do this."
NOT_MEANT: Final = "The task is meant for another role or speciality."
_DOERS: Final[Mapping[AssigneeRole, Kind]] = {
    AssigneeRole.MEMBER: MEMBER,
    AssigneeRole.CARE_TEAM: STAFF,
    AssigneeRole.CLINICIAN: STAFF,
    AssigneeRole.SYSTEM: SERVICE,
}
"""Ids are of a kind: a service may be called like a staff member."""
router = APIRouter()

Status = Annotated[Literal["active"] | None, Query(description="Only those that have not ended.")]
Assignee = Annotated[Literal["me"] | None, Query(description="Only those assigned to the caller.")]
Move = Callable[[Tx, str, Hand], TaskView]


class TaskToComplete(Body):
    """``result`` is what the task's ``form`` asks for; with FAILED it may name a declared failure as ``code``. ``attempt``:
    which attempt this ends; an older one than the present is refused."""

    outcome: Literal["SUCCESS", "FAILED"]
    result: dict[str, Any] | None = None
    attempt: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None


# ----------------------------------------------------------------------------------------------------------------------- reads


@router.get("/v1/members/{member_id}/tasks", **described("A member's tasks.", schema=page_of(TaskView), problems=(404, 422)))
async def list_members_tasks(
    member_id: str,
    call: Annotated[Call, by("task.read", MEMBER, STAFF)],
    status: Status = None,
    assignee: Assignee = None,
    limit: Limit = LIMIT_DEFAULT,
    page_token: PageToken = None,
) -> Response:
    behind = after(LISTED, page_token)

    def query(reader: Reader) -> list[TaskView]:
        call.reach(reader, member_id)
        tasks = call.platform.careflow.tasks_of(
            reader,
            member_id,
            active=status == "active",
            assignee=None if assignee is None else call.identity.actor_id,
            after=behind,
            limit=limit + 1,
        )
        return [shown(reader, call, task) for task in tasks]

    tasks = await call.read(query)
    if any(task.task_result is not None for task in tasks):
        await call.note(member_id)
    return answer(page(LISTED, tasks, limit, lambda task: task.task_id))


@router.get(
    "/v1/tasks",
    **described(
        "The queue: tasks that the caller may claim (staff) or start (services), with ids, type, role and due date only. "
        "With `assignee=me` the open tasks of any member that the caller holds; a member's are always these.",
        schema=page_of(TaskView),
        problems=(422,),
    ),
)
async def list_queue(
    call: Annotated[Call, by("tasks.read", MEMBER, STAFF, SERVICE)],
    status: Status = None,  # noqa: ARG001 - every task here is active
    assignee: Assignee = None,
    limit: Limit = LIMIT_DEFAULT,
    page_token: PageToken = None,
) -> Response:
    listed = QUEUED if assignee is None and not isinstance(call.identity, MemberIdentity) else HELD
    behind = after(listed, page_token)

    def query(reader: Reader) -> list[TaskView]:
        careflow, now, actor_id = call.platform.careflow, call.platform.clock.now(), call.identity.actor_id
        match call.identity:
            case MemberIdentity():
                return careflow.tasks_of(reader, actor_id, active=True, assignee=actor_id, after=behind, limit=limit + 1)
            case StaffIdentity(roles=roles, specialities=specialities) if listed == QUEUED:
                return careflow.offered_to_staff(reader, roles, specialities, now=now, after=behind, limit=limit + 1)
            case _ if listed == QUEUED:
                return careflow.offered_to_services(reader, now=now, after=behind, limit=limit + 1)
            case _:
                by_service = isinstance(call.identity, ServiceIdentity)
                return careflow.assigned_to(reader, actor_id, by_service=by_service, after=behind, limit=limit + 1)

    return answer(page(listed, await call.read(query), limit, lambda task: task.task_id))


@router.get("/v1/tasks/{task_id}", **described("A task.", schema=of(TaskView), problems=(404,)))
async def read_task(task_id: str, call: Annotated[Call, by("task.read", MEMBER, STAFF, SERVICE)]) -> Response:
    def query(reader: Reader) -> TaskView:
        standing = _standing(reader, call, task_id)
        if isinstance(call.identity, ServiceIdentity):
            _require_system(standing)
            return msgspec.structs.replace(_task(reader, call, task_id), task_result=None)
        if call.glass is None and _in_queue(call, standing) and not _reads(reader, call, standing.member_id):
            return queued(_task(reader, call, task_id))
        call.reach(reader, standing.member_id)
        return shown(reader, call, _task(reader, call, task_id))

    task = await call.read(query)
    if task.task_result is not None:
        await call.note(task.member_id, task.session_id)
    return answer(task)


def shown(reader: Reader, call: Call, task: TaskView) -> TaskView:
    """The task as the caller may see it: its result only while the account that it is about is in the token."""
    if task.task_result is None or task.service_request_id is None:
        return task
    subject = call.platform.careflow.subject(reader, task.service_request_id)
    if about_readable_account(subject, call.accounts(reader, task.member_id)):
        return task
    return msgspec.structs.replace(task, task_result=None)


# ----------------------------------------------------------------------------------------------------------------------- moves


@router.post(
    "/v1/tasks/{task_id}/claim",
    **described("Take a task of the queue.", schema=of(TaskView), problems=(404, 409), takes=Takes(Nothing, optional=True)),
)
async def claim_task(
    task_id: str,
    call: Annotated[Call, by("task.claim", STAFF)],
    _: Annotated[Posted[Nothing], posted(Nothing, optional=True)],
) -> Response:
    return await _move(call, task_id, _permit_claim, call.platform.careflow.hands.claim)


@router.post(
    "/v1/tasks/{task_id}/release",
    **described(
        "Give a task back to the queue.", schema=of(TaskView), problems=(404, 409), takes=Takes(Nothing, optional=True)
    ),
)
async def release_task(
    task_id: str,
    call: Annotated[Call, by("task.release", MEMBER, STAFF, SERVICE)],
    _: Annotated[Posted[Nothing], posted(Nothing, optional=True)],
) -> Response:
    def release(tx: Tx, task_id: str, hand: Hand) -> TaskView:
        free = call.platform.careflow.hands.release(tx, task_id, hand)
        return free if call.platform.rights.may_act(tx, call.identity, free.member_id) else queued(free)

    return await _move(call, task_id, _permit, release)


@router.post(
    "/v1/tasks/{task_id}/start",
    **described(
        "Begin to work on a task. A service holds it for a while, until `lease_until`; to start it again renews that.",
        schema={"anyOf": [of(TaskAtWork), of(TaskView)]},
        problems=(404, 409),
        takes=Takes(Nothing, optional=True),
    ),
)
async def start_task(
    task_id: str,
    call: Annotated[Call, by("task.start", MEMBER, STAFF, SERVICE)],
    _: Annotated[Posted[Nothing], posted(Nothing, optional=True)],
) -> Response:
    return await _move(call, task_id, _permit, call.platform.careflow.hands.start)


@router.post(
    "/v1/tasks/{task_id}/complete",
    **described("End a task.", schema=of(TaskView), problems=(404, 409), takes=Takes(TaskToComplete)),
)
async def complete_task(
    task_id: str,
    call: Annotated[Call, by("task.complete", MEMBER, STAFF, SERVICE)],
    given: Annotated[Posted[TaskToComplete], posted(TaskToComplete)],
) -> Response:
    completion = Completion(
        outcome=TaskOutcome(given.body.outcome),
        result=given.body.result or {},
        attempt=given.body.attempt,
        digest=given.digest,
    )

    def complete(tx: Tx, task_id: str, hand: Hand) -> TaskView:
        return call.platform.careflow.hands.complete(tx, task_id, hand, completion)

    return await _move(call, task_id, _permit, complete)


async def _move(call: Call, task_id: str, permit: Callable[[Tx, Call, str], None], move: Move) -> Response:
    """Make the move in one transaction with the check of rights and its record."""
    hand = Hand(id=call.identity.actor_id, name=call.identity.name if isinstance(call.identity, StaffIdentity) else None)

    def command(tx: Tx) -> TaskView:
        permit(tx, call, task_id)
        task = move(tx, task_id, hand)
        call.allowed(tx, task.member_id, task.session_id)
        return task

    return answer(await call.run(command, await call.timeline_of(call.platform.careflow.task_owner, task_id)))


# ---------------------------------------------------------------------------------------------------------------------- rights


def _permit_claim(tx: Tx, call: Call, task_id: str) -> None:
    """Who has the role and the speciality may try; whether somebody was faster, the state says. Raises `Forbidden` for who may
    only see the task, `ForbiddenOrMissing`."""
    standing = _standing(tx, call, task_id)
    if _meant_for(call, standing):
        return
    call.reach(tx, standing.member_id)
    raise Forbidden(NOT_MEANT)


def _permit(tx: Tx, call: Call, task_id: str) -> None:
    """Who the task is assigned to, or who made its last move and repeats it; a service for what a system does. Raises
    `Forbidden` for who may only see the task, `ForbiddenOrMissing`."""
    standing = _standing(tx, call, task_id)
    if call.identity.actor_id in {standing.assignee_id, *standing.answers} and isinstance(call.identity, _DOERS[standing.role]):
        return
    if isinstance(call.identity, ServiceIdentity):
        _require_system(standing)
        return
    if not _in_queue(call, standing):
        call.reach(tx, standing.member_id)
    raise Forbidden(NO_ASSIGNEE)


def _require_system(standing: TaskStanding) -> None:
    """What people do is none of a service's business."""
    if standing.role is not AssigneeRole.SYSTEM:
        raise ForbiddenOrMissing


def _in_queue(call: Call, standing: TaskStanding) -> bool:
    return standing.offered and _meant_for(call, standing)


def _reads(reader: Reader, call: Call, member_id: str) -> bool:
    return call.platform.rights.may_read(reader, call.identity, member_id, call.platform.clock.now())


def _meant_for(call: Call, standing: TaskStanding) -> bool:
    who = call.identity
    return isinstance(who, StaffIdentity) and may_claim(
        standing.role, standing.speciality, roles=who.roles, specialities=who.specialities
    )


def _standing(reader: Reader, call: Call, task_id: str) -> TaskStanding:
    standing = call.platform.careflow.standing(reader, task_id, call.platform.clock.now())
    if standing is None:
        raise ForbiddenOrMissing
    return standing


def _task(reader: Reader, call: Call, task_id: str) -> TaskView:
    task = call.platform.careflow.task(reader, task_id)
    assert task is not None, "its standing was read from the same snapshot"
    return task
