"""Tasks that backends introduce, of their requests or of none: created and moved by their events, by the table below.

Emitted like the events of requests (`published`), and with the request that was left out, by which subscriptions know a task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET
from msgspec.structs import replace as changed

from session_platform.careflow import rows
from session_platform.careflow.catalogue import ExecutorKind
from session_platform.careflow.flow import Neighbours
from session_platform.careflow.model import STAFF_ROLES, URGENCY, TaskState
from session_platform.careflow.published import FORBIDDEN, NOT_YOURS, Emit, field_of, past, refused, value_of
from session_platform.careflow.rows import RequestRow, TaskRow
from session_platform.contract import (
    AssigneeRole,
    ServiceRequestPriority,
    TaskAssignedEvent,
    TaskCompletedEvent,
    TaskInProgressEvent,
    TaskOutcome,
)
from session_platform.errors import FieldProblem, Invalid
from session_platform.store.port import Reader, Tx

TaskEvent = TaskAssignedEvent | TaskInProgressEvent | TaskCompletedEvent
E = TypeVar("E", TaskAssignedEvent, TaskInProgressEvent, TaskCompletedEvent)

TASK_MOVES: Final[frozenset[tuple[TaskState, type[TaskEvent]]]] = frozenset(
    {
        (TaskState.PENDING, TaskAssignedEvent),
        (TaskState.IN_PROGRESS, TaskAssignedEvent),
        (TaskState.PENDING, TaskInProgressEvent),
        (TaskState.IN_PROGRESS, TaskInProgressEvent),
        (TaskState.PENDING, TaskCompletedEvent),
        (TaskState.IN_PROGRESS, TaskCompletedEvent),
    }
)
"""Which event may come in which state, once the first ``assigned`` has introduced the task; what is not there is a forbidden
transition. A task may change hands, begin again, and end without anybody having told that it began."""

TASK_ENDS: Final[Mapping[TaskOutcome, TaskState]] = MappingProxyType(
    {
        TaskOutcome.SUCCESS: TaskState.COMPLETED,
        TaskOutcome.FAILED: TaskState.FAILED,
        TaskOutcome.CANCELED: TaskState.CANCELED,
    }
)
# What `rows.update_task` leaves alone: only a backend's task changes these.
_REDEFINE: Final = "UPDATE task SET assignee_role = :assignee_role, title = :title WHERE task_id = :task_id"


class PublishedTasks:
    """``neighbours`` are told as `Careflow` tells them; ``staff_exists`` is the directory's."""

    def __init__(self, neighbours: Neighbours, staff_exists: Callable[[Reader, str], bool]) -> None:
        self._neighbours = neighbours
        self._staff_exists = staff_exists

    def assigned(self, tx: Tx, event: TaskAssignedEvent, publisher: str, emit: Emit) -> None:
        """Introduce a task, or give it to somebody else. Raises `Invalid`."""
        before = rows.find_task(tx, event.task_id)
        if before is None:
            task = _new_task(tx, event, publisher)
            rows.insert_task(tx, task)
        else:
            task = _redefined(_movable(before, event, publisher), event)
        mine = event.assignee_id is UNSET and task.assignee_role is AssigneeRole.MEMBER
        task = replace(
            task,
            assignee_id=event.member_id if mine else value_of(event.assignee_id),
            assignee_name=value_of(event.assignee_name),
            assigned_at=past(tx, event.assigned_at),
            due_at=value_of(event.due_at),
        )
        self._write(tx, before, task, lambda: emit(_whole(event, task)))

    def in_progress(self, tx: Tx, event: TaskInProgressEvent, publisher: str, emit: Emit) -> None:
        """Begin work on a task, again after a failed attempt. Whoever the event names has it from now on. Raises `Invalid`."""
        before = _movable(rows.find_task(tx, event.task_id), event, publisher)
        same = event.assignee_id in {UNSET, before.assignee_id}
        task = replace(
            before,
            state=TaskState.IN_PROGRESS,
            assignee_role=value_of(event.assignee_role) or before.assignee_role,
            assignee_id=before.assignee_id if same else value_of(event.assignee_id),
            assignee_name=before.assignee_name if same else None,
            attempt=before.attempt + 1,
            started_at=past(tx, event.started_at),
        )
        self._write(tx, before, task, lambda: emit(_whole(event, task)))

    def completed(self, tx: Tx, event: TaskCompletedEvent, publisher: str, emit: Emit) -> None:
        """End a task: without an outcome it succeeded. Raises `Invalid`."""
        before = _movable(rows.find_task(tx, event.task_id), event, publisher)
        task = replace(
            before,
            state=TASK_ENDS[value_of(event.outcome) or TaskOutcome.SUCCESS],
            completed_at=past(tx, event.completed_at),
            completed_by=value_of(event.completed_by),
            result=None if event.task_result is UNSET else msgspec.json.encode(event.task_result),
        )
        rows.update_task(tx, task)
        emit(changed(_whole(event, task), task_ref=UNSET if task.result is None else f"/v1/tasks/{task.task_id}"))
        if (staff_id := _staff_of(before)) is not None:
            self._neighbours.rights_changed(tx, task.member_id, staff_id)

    def _write(self, tx: Tx, before: TaskRow | None, task: TaskRow, tell: Callable[[], None]) -> None:
        """Write the task down and tell it; behind the event, whose rights went with it."""
        self._require_hands(tx, task)
        rows.update_task(tx, task)
        tx.execute(_REDEFINE, task_id=task.task_id, assignee_role=task.assignee_role.value, title=task.title)
        tell()
        old, new = None if before is None else _staff_of(before), _staff_of(task)
        if old != new:
            for staff_id in sorted(each for each in (old, new) if each is not None):
                self._neighbours.rights_changed(tx, task.member_id, staff_id)

    def _require_hands(self, tx: Tx, task: TaskRow) -> None:
        """Whose the task is: the member's own, or a staff member's whom the directory knows (it gives them rights)."""
        if task.assignee_role is AssigneeRole.MEMBER and task.assignee_id not in {None, task.member_id}:
            raise refused("/assignee_id", "must be the member's own id")
        staff_id = _staff_of(task)
        if staff_id is not None and not self._staff_exists(tx, staff_id):
            raise refused("/assignee_id", "is no staff member")


def _staff_of(task: TaskRow) -> str | None:
    """The staff member who has the task."""
    return task.assignee_id if task.assignee_role in STAFF_ROLES else None


def _movable(task: TaskRow | None, event: TaskEvent, publisher: str) -> TaskRow:
    """The task, if ``event`` may move it."""
    if task is None or (task.member_id, task.publisher) != (event.member_id, publisher):
        raise refused("/task_id", NOT_YOURS)
    if (task.state, type(event)) not in TASK_MOVES:
        raise refused("/task_id", FORBIDDEN)
    own = {"session_id": task.session_id, "service_request_id": task.service_request_id, "task_type": task.task_type}
    for name, value in own.items():
        if getattr(event, name) not in {UNSET, value}:
            raise refused(f"/{name}", "must be the task's own")
    return task


def _redefined(task: TaskRow, event: TaskAssignedEvent) -> TaskRow:
    """A task that is offered anew."""
    return replace(
        task,
        state=TaskState.PENDING,
        assignee_role=value_of(event.assignee_role) or task.assignee_role,
        title=value_of(event.title) or task.title,
    )


def _new_task(tx: Tx, event: TaskAssignedEvent, publisher: str) -> TaskRow:
    """The task as its first assignment makes it."""
    missing = [name for name in ("task_type", "assignee_role") if getattr(event, name) is UNSET]
    if missing:
        raise Invalid(*(FieldProblem(f"/{name}", "is required for a new task") for name in missing))
    assert event.task_type is not UNSET
    assert event.assignee_role is not UNSET
    request = None if event.service_request_id is UNSET else _request_of(tx, event, event.service_request_id, publisher)
    return TaskRow(
        task_id=event.task_id,
        service_request_id=value_of(event.service_request_id),
        session_id=value_of(event.session_id) if request is None else request.session_id,
        member_id=event.member_id,
        task_type=event.task_type,
        title=value_of(event.title) or event.task_type,
        place=0 if request is None else len(rows.tasks_of_request(tx, request.service_request_id)),
        urgency=URGENCY[ServiceRequestPriority.STANDARD if request is None else request.priority],
        executor=ExecutorKind.HUMAN,
        state=TaskState.PENDING,
        assignee_id=None,
        assignee_role=event.assignee_role,
        speciality=None,
        form=None,
        publisher=publisher,
    )


def _request_of(tx: Tx, event: TaskAssignedEvent, service_request_id: str, publisher: str) -> RequestRow:
    request = rows.find_request(tx, service_request_id)
    if request is None or (request.member_id, request.publisher) != (event.member_id, publisher):
        raise refused("/service_request_id", NOT_YOURS)
    if request.completed_at is not None:
        raise refused("/service_request_id", "has ended")
    if event.session_id not in {UNSET, request.session_id}:
        raise refused("/session_id", "must be the session of the request")
    return request


def _whole(event: E, task: TaskRow) -> E:
    """With the request and session of the task."""
    return changed(event, session_id=field_of(task.session_id), service_request_id=field_of(task.service_request_id))
