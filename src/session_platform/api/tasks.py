"""Tasks as their member sees them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Query
from starlette.responses import Response

from session_platform.api.call import MEMBER, STAFF, Call, answer, by
from session_platform.api.describe import described, of, page_of
from session_platform.api.paging import LIMIT_DEFAULT, Limit, PageToken, after, page
from session_platform.careflow import TaskView
from session_platform.store import Reader

LISTED: Final = "tasks"
router = APIRouter()


@router.get("/v1/members/{member_id}/tasks", **described("A member's tasks.", schema=page_of(TaskView), problems=(404, 422)))
async def list_members_tasks(
    member_id: str,
    call: Annotated[Call, by("task.read", MEMBER, STAFF)],
    status: Annotated[Literal["active"] | None, Query(description="Only those that have not ended.")] = None,
    assignee: Annotated[Literal["me"] | None, Query(description="Only those assigned to the caller.")] = None,
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


@router.get("/v1/tasks/{task_id}", **described("A task.", schema=of(TaskView), problems=(404,)))
async def read_task(task_id: str, call: Annotated[Call, by("task.read", MEMBER, STAFF)]) -> Response:
    def query(reader: Reader) -> TaskView:
        call.reach(reader, call.platform.careflow.task_owner(reader, task_id))
        task = call.platform.careflow.task(reader, task_id)
        assert task is not None
        return shown(reader, call, task)

    task = await call.read(query)
    if task.task_result is not None:
        await call.note(task.member_id, task.session_id)
    return answer(task)


def shown(reader: Reader, call: Call, task: TaskView) -> TaskView:
    """The task as the caller may see it: its result only while the account that it is about is in the token."""
    if task.task_result is None:
        return task
    request = call.platform.careflow.view(reader, task.service_request_id, call.platform.clock.now())
    if request is None or request.subject is None or request.subject in call.accounts(reader, task.member_id):
        return task
    return msgspec.structs.replace(task, task_result=None)
