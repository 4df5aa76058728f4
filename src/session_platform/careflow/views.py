"""What others may read of requests, tasks and services: the shapes of the wire contract, null without a value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from session_platform.careflow.catalogue import ExecutorKind
from session_platform.careflow.model import REQUEST_OUTCOMES, TASK_OUTCOMES, RequestState, TaskState, public_status
from session_platform.careflow.rows import RequestRow, TaskRow
from session_platform.contract import (
    AssigneeRole,
    ProcessingStage,
    ServiceDeliveryOutcome,
    ServiceError,
    ServiceRequestPriority,
    TaskOutcome,
    TaskStatus,
)


class RequestView(Struct, frozen=True, kw_only=True):
    """A service request. ``estimated_completion_seconds`` is null once it ended, ``error`` unless it FAILED, ``result_ref``
    unless it succeeded. ``payer_errors`` are a payer's own words, for who may read the result only."""

    service_request_id: str
    session_id: str | None
    member_id: str
    service: str
    subject: str | None
    reason: str | None
    priority: ServiceRequestPriority
    data: Any
    initiator_id: str
    target_role: AssigneeRole | None
    target_speciality: str | None
    current_call_id: str | None
    status: RequestState
    stage: ProcessingStage
    percent_complete: int
    estimated_completion_seconds: int | None
    tasks: tuple[TaskStatus, ...]
    outcome: ServiceDeliveryOutcome | None
    error: ServiceError | None
    payer_errors: Any
    result_ref: str | None
    submitted_at: datetime
    completed_at: datetime | None


class TaskView(Struct, frozen=True, kw_only=True):
    """A task; ``status`` is one of pending, in_progress, completed, failed, canceled. ``assigned_at`` is null while it waits
    for an earlier task of its request. In a queue, until it is claimed, only its ids, type, role, status and due date are
    shown."""

    task_id: str
    session_id: str | None
    member_id: str
    service_request_id: str | None
    task_type: str
    title: str | None
    status: str
    assignee_id: str | None
    assignee_role: AssigneeRole
    assignee_name: str | None
    form: Any
    assigned_at: datetime | None
    started_at: datetime | None
    due_at: datetime | None
    completed_at: datetime | None
    outcome: TaskOutcome | None
    task_result: Any
    attempt: int


class TaskAtWork(TaskView, frozen=True, kw_only=True):
    """What a service is told that starts a task: also whom and what the request is about, and until when the task is its own
    (``start`` again renews that)."""

    subject: str | None
    data: Any
    lease_until: datetime


class TaskStanding(NamedTuple):
    """``offered``: it waits for somebody to claim or start it. ``speciality`` in upper case. ``answers``: who made the last
    move and may repeat it, though the task is no longer theirs."""

    member_id: str
    role: AssigneeRole
    speciality: str | None
    assignee_id: str | None
    offered: bool
    answers: frozenset[str]

    @classmethod
    def of(cls, task: TaskRow, now: datetime) -> TaskStanding:
        offered = task.state is TaskState.PENDING and task.publisher is None and task.executor is not ExecutorKind.SYSTEM
        return cls(
            member_id=task.member_id,
            role=task.assignee_role,
            speciality=task.speciality,
            assignee_id=task.assignee_id,
            offered=offered and (task.run_at is None or task.run_at <= now),
            answers=frozenset(who for who in (task.completed_by, task.released_by) if who is not None),
        )


class ServiceView(Struct, frozen=True, kw_only=True):
    """A service in the catalogue; ``usual_seconds`` is how long it takes as a rule, as far as measured."""

    code: str
    title: str
    data_schema: dict[str, Any] | None
    task_types: tuple[str, ...]
    usual_seconds: int


def request_view(request: RequestRow, tasks: Sequence[TaskRow], remaining_s: int | None) -> RequestView:
    """``tasks`` in order of declaration; ``remaining_s`` None: it has ended, or nobody can tell."""
    return RequestView(
        service_request_id=request.service_request_id,
        session_id=request.session_id,
        member_id=request.member_id,
        service=request.service,
        subject=request.subject,
        reason=request.reason,
        priority=request.priority,
        data=_json(request.data),
        initiator_id=request.initiator_id,
        target_role=request.target_role,
        target_speciality=request.target_speciality,
        current_call_id=request.current_call_id,
        status=request.state,
        stage=request.stage,
        percent_complete=request.percent_complete,
        estimated_completion_seconds=remaining_s,
        tasks=statuses(tasks),
        outcome=REQUEST_OUTCOMES.get(request.state),
        error=None if request.error is None else msgspec.json.decode(request.error, type=ServiceError),
        payer_errors=_json(request.payer_errors),
        result_ref=None if request.state is not RequestState.COMPLETED else result_ref(request.service_request_id),
        submitted_at=request.submitted_at,
        completed_at=request.completed_at,
    )


class Told(Struct, frozen=True, kw_only=True):
    """What a backend said last of how far its request is."""

    estimated_completion_seconds: int | None = None
    task_statuses: tuple[TaskStatus, ...] = ()


def published_view(request: RequestRow, tasks: Sequence[TaskRow]) -> RequestView:
    """A backend's request: as far as it says. Tasks that it reported and never assigned stand behind those it did."""
    told = Told() if request.told is None else msgspec.json.decode(request.told, type=Told)
    view = request_view(request, tasks, told.estimated_completion_seconds if request.completed_at is None else None)
    assigned = {task.task_id for task in tasks}
    unassigned = tuple(each for each in told.task_statuses if each.task_id not in assigned)
    return msgspec.structs.replace(view, tasks=view.tasks + unassigned)


def statuses(tasks: Sequence[TaskRow]) -> tuple[TaskStatus, ...]:
    """Every task of a request, in order of declaration."""
    return tuple(TaskStatus(task_id=task.task_id, task_type=task.task_type, status=public_status(task.state)) for task in tasks)


def result_ref(service_request_id: str) -> str:
    """Where a request's ``result_data`` is read."""
    return f"/v1/service-requests/{service_request_id}/result"


def task_view(task: TaskRow) -> TaskView:
    """The whole task."""
    return TaskView(
        task_id=task.task_id,
        session_id=task.session_id,
        member_id=task.member_id,
        service_request_id=task.service_request_id,
        task_type=task.task_type,
        title=task.title,
        status=public_status(task.state),
        assignee_id=task.assignee_id,
        assignee_role=task.assignee_role,
        assignee_name=task.assignee_name,
        form=_json(task.form),
        assigned_at=task.assigned_at,
        started_at=task.started_at,
        due_at=task.due_at,
        completed_at=task.completed_at,
        outcome=TASK_OUTCOMES.get(task.state),
        task_result=_json(task.result),
        attempt=task.attempt,
    )


def queued(task: TaskView) -> TaskView:
    """A task as those see it who may claim it."""
    return msgspec.structs.replace(task, title=None, form=None, assigned_at=None, started_at=None)


def task_at_work(task: TaskRow, request: RequestRow) -> TaskAtWork:
    """A task that a service holds."""
    assert task.lease_until is not None
    whole = msgspec.structs.asdict(task_view(task))
    return TaskAtWork(**whole, subject=request.subject, data=_json(request.data), lease_until=task.lease_until)


def _json(text: str | bytes | None) -> Any:
    return None if text is None else msgspec.json.decode(text)
