"""What others may read of requests, tasks and services: the shapes of the wire contract, null without a value."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from session_platform.careflow import progress, rows
from session_platform.careflow.catalogue import Catalogue, ExecutorKind, Order, ServiceDefinition, TaskDefinition
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
from session_platform.store.port import Reader, Row

RECENT_MAX: Final = 20
"""How many ended requests `Reads.recent_requests` names."""

_REQUEST_OWNER: Final = "SELECT member_id FROM service_request WHERE service_request_id = :service_request_id"
_RESULT: Final = "SELECT result FROM service_request WHERE service_request_id = :service_request_id"
_TASK_OWNER: Final = "SELECT member_id FROM task WHERE task_id = :task_id"
_TASKS_OF_MEMBER: Final = """
SELECT task_id FROM task
WHERE member_id = :member_id AND task_id > :after
  AND (:any_assignee = 1 OR assignee_id = :assignee) AND (:active = 0 OR completed_at IS NULL)
ORDER BY task_id LIMIT :limit
"""
_OPEN_REQUESTS: Final = """
SELECT service_request_id FROM service_request
WHERE member_id = :member_id AND completed_at IS NULL ORDER BY submitted_at, service_request_id
"""
_ENDED_REQUESTS: Final = """
SELECT service_request_id FROM service_request
WHERE member_id = :member_id AND completed_at IS NOT NULL ORDER BY completed_at DESC, service_request_id DESC LIMIT :limit
"""
_OPEN_REQUESTS_OF_SESSION: Final = """
SELECT service_request_id FROM service_request
WHERE session_id = :session_id AND completed_at IS NULL ORDER BY service_request_id
"""
_OPEN_TASKS_OF_SESSION: Final = (
    "SELECT task_id FROM task WHERE session_id = :session_id AND completed_at IS NULL ORDER BY task_id"
)
_ENDED_REQUESTS_OF_SESSION: Final = """
SELECT service_request_id FROM service_request
WHERE session_id = :session_id AND completed_at IS NOT NULL ORDER BY service_request_id
"""
_ENDED_TASKS_OF_SESSION: Final = """
SELECT task.task_id FROM service_request JOIN task ON task.service_request_id = service_request.service_request_id
WHERE service_request.session_id = :session_id AND task.completed_at IS NOT NULL AND task.assigned_at IS NOT NULL
ORDER BY task.task_id
"""


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
    for an earlier task of its request."""

    task_id: str
    session_id: str | None
    member_id: str
    service_request_id: str
    task_type: str
    title: str
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


class ServiceView(Struct, frozen=True, kw_only=True):
    """A service in the catalogue; ``usual_seconds`` is how long it takes as a rule, as far as measured."""

    code: str
    title: str
    data_schema: dict[str, Any] | None
    task_types: tuple[str, ...]
    usual_seconds: int


class Outlook(NamedTuple):
    """An honest guess: see `progress`."""

    stage: ProcessingStage
    percent: int
    remaining_s: int


class Reads:
    """Everything that can be asked; nothing here changes anything. Rights are the caller's matter."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue

    def owner(self, reader: Reader, service_request_id: str) -> str | None:
        """The member whose request this is; None when there is none."""
        member_id: str | None = _only(reader.one(_REQUEST_OWNER, service_request_id=service_request_id))
        return member_id

    def task_owner(self, reader: Reader, task_id: str) -> str | None:
        """The member whose task this is; None when there is none."""
        member_id: str | None = _only(reader.one(_TASK_OWNER, task_id=task_id))
        return member_id

    def view(self, reader: Reader, service_request_id: str, now: datetime) -> RequestView | None:
        request = rows.find_request(reader, service_request_id)
        return None if request is None else self.view_of(reader, request, now)

    def result(self, reader: Reader, service_request_id: str) -> bytes | None:
        """``result_data`` as JSON; None unless the request succeeded."""
        found: bytes | None = _only(reader.one(_RESULT, service_request_id=service_request_id))
        return found

    def task(self, reader: Reader, task_id: str) -> TaskView | None:
        task = rows.find_task(reader, task_id)
        return None if task is None else _task_view(task)

    def tasks_of(
        self, reader: Reader, member_id: str, *, active: bool, assignee: str | None = None, after: str = "", limit: int = 500
    ) -> list[TaskView]:
        """A member's tasks in order of creation, from the one behind id ``after``; ``active``: only those that did not end."""
        found = reader.all(
            _TASKS_OF_MEMBER,
            member_id=member_id,
            after=after,
            any_assignee=int(assignee is None),
            assignee=assignee or "",
            active=int(active),
            limit=limit,
        )
        return [_task_view(task) for row in found if (task := rows.find_task(reader, row[0]))]

    def recent_requests(self, reader: Reader, member_id: str, now: datetime) -> list[RequestView]:
        """A member's open requests in order of submission, then the last `RECENT_MAX` that ended, newest first."""
        found = reader.all(_OPEN_REQUESTS, member_id=member_id) + reader.all(
            _ENDED_REQUESTS, member_id=member_id, limit=RECENT_MAX
        )
        return [view for row in found if (view := self.view(reader, row[0], now))]

    @staticmethod
    def active_work(reader: Reader, session_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(ids of the session's open requests, ids of its open tasks)."""
        return (
            _ids(reader.all(_OPEN_REQUESTS_OF_SESSION, session_id=session_id)),
            _ids(reader.all(_OPEN_TASKS_OF_SESSION, session_id=session_id)),
        )

    @staticmethod
    def ended_work(reader: Reader, session_id: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(ids of the session's requests that ended, ids of its tasks that were assigned and ended), whatever their outcome."""
        return (
            _ids(reader.all(_ENDED_REQUESTS_OF_SESSION, session_id=session_id)),
            _ids(reader.all(_ENDED_TASKS_OF_SESSION, session_id=session_id)),
        )

    def services(self, reader: Reader) -> list[ServiceView]:
        """The catalogue, by code."""
        return [self._service_view(reader, service) for _, service in sorted(self.catalogue.services.items())]

    def _service_view(self, reader: Reader, service: ServiceDefinition) -> ServiceView:
        ahead = [
            progress.Work(progress.Phase.AHEAD, progress.usual_s(task.usual_s, rows.durations_s(reader, task.type)))
            for task in service.tasks
        ]
        return ServiceView(
            code=service.code,
            title=service.title,
            data_schema=service.data_schema,
            task_types=tuple(task.type for task in service.tasks),
            usual_seconds=progress.remaining_s(ahead, parallel=service.order is Order.PARALLEL),
        )

    def outlook(self, reader: Reader, request: RequestRow, tasks: Sequence[TaskRow], now: datetime) -> Outlook | None:
        """How far an open request is at ``now``, by its tasks; None when its service is no longer declared."""
        service = self.catalogue.find(request.service)
        declared = [None if service is None else service.task(task.task_type) for task in tasks]
        if service is None or None in declared:
            return None
        works = [
            _work(task, definition, rows.durations_s(reader, task.task_type), now)
            for task, definition in zip(tasks, declared, strict=True)
            if definition is not None
        ]
        return Outlook(
            stage=progress.stage(works),
            percent=progress.percent(works),
            remaining_s=progress.remaining_s(works, parallel=service.order is Order.PARALLEL),
        )

    def view_of(self, reader: Reader, request: RequestRow, now: datetime) -> RequestView:
        """A request that was just read or written."""
        tasks = rows.tasks_of_request(reader, request.service_request_id)
        outlook = None if request.completed_at is not None else self.outlook(reader, request, tasks, now)
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
            estimated_completion_seconds=None if outlook is None else outlook.remaining_s,
            tasks=statuses(tasks),
            outcome=REQUEST_OUTCOMES.get(request.state),
            error=None if request.error is None else msgspec.json.decode(request.error, type=ServiceError),
            payer_errors=_json(request.payer_errors),
            result_ref=None if request.state is not RequestState.COMPLETED else result_ref(request.service_request_id),
            submitted_at=request.submitted_at,
            completed_at=request.completed_at,
        )


def statuses(tasks: Sequence[TaskRow]) -> tuple[TaskStatus, ...]:
    """Every task of a request, in order of declaration."""
    return tuple(TaskStatus(task_id=task.task_id, task_type=task.task_type, status=public_status(task.state)) for task in tasks)


def result_ref(service_request_id: str) -> str:
    """Where a request's ``result_data`` is read."""
    return f"/v1/service-requests/{service_request_id}/result"


def _task_view(task: TaskRow) -> TaskView:
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


def _work(task: TaskRow, definition: TaskDefinition, measured_s: Sequence[float], now: datetime) -> progress.Work:
    usual_s = progress.usual_s(definition.usual_s, measured_s)
    if task.completed_at is not None:
        return progress.Work(progress.Phase.ENDED, usual_s)
    if task.state is TaskState.IN_PROGRESS:
        elapsed_s = 0.0 if task.started_at is None else (now - task.started_at).total_seconds()
        limit_s = definition.attempt_timeout_s if definition.executor is ExecutorKind.SYSTEM else None
        return progress.Work(progress.Phase.RUNNING, usual_s, elapsed_s=max(elapsed_s, 0.0), limit_s=limit_s)
    pause_s = 0.0 if task.run_at is None else (task.run_at - now).total_seconds()
    return progress.Work(progress.Phase.AHEAD, usual_s, pause_s=max(pause_s, 0.0))


def _json(text: str | bytes | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _only(row: Row | None) -> Any:
    return None if row is None else row[0]


def _ids(found: list[Row]) -> tuple[str, ...]:
    return tuple(row[0] for row in found)
