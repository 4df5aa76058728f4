"""Reads: requests, tasks and services as they stand, and who may claim what."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from session_platform.careflow import progress, queue, rows
from session_platform.careflow.catalogue import Catalogue, ExecutorKind, Order, ServiceDefinition, TaskDefinition
from session_platform.careflow.model import STAFF_ROLES, TaskState, holds
from session_platform.careflow.rows import RequestRow, TaskRow
from session_platform.careflow.views import (
    RequestView,
    ServiceView,
    TaskStanding,
    TaskView,
    published_view,
    queued,
    request_view,
    task_view,
)
from session_platform.contract import ProcessingStage
from session_platform.store.port import Reader, Row

RECENT_MAX: Final = 20
"""How many ended requests `Reads.recent_requests` names."""

_REQUEST_OWNER: Final = "SELECT member_id FROM service_request WHERE service_request_id = :service_request_id"
_SUBJECT: Final = "SELECT subject FROM service_request WHERE service_request_id = :service_request_id"
_RESULT: Final = "SELECT result FROM service_request WHERE service_request_id = :service_request_id"
_TASK_OWNER: Final = "SELECT member_id FROM task WHERE task_id = :task_id"
_TASKS_OF_MEMBER: Final = """
SELECT task_id FROM task
WHERE member_id = :member_id AND task_id > :after
  AND (:any_assignee = 1 OR assignee_id = :assignee) AND (:active = 0 OR completed_at IS NULL)
ORDER BY task_id LIMIT :limit
"""
_OPEN_BY_STATE: Final = "SELECT status, COUNT(*) FROM task WHERE completed_at IS NULL GROUP BY status"
_ASSIGNED: Final = """
SELECT 1 FROM task
WHERE assignee_id = :staff_id AND member_id = :member_id AND assignee_role IN ('CARE_TEAM', 'CLINICIAN')
  AND completed_at IS NULL
LIMIT 1
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


class Outlook(NamedTuple):
    """An honest guess: see `progress`."""

    stage: ProcessingStage
    percent: int
    remaining_s: int


def open_tasks(reader: Reader) -> dict[str, float]:
    """How many tasks of all members have not ended, by state."""
    return {status: float(count) for status, count in reader.all(_OPEN_BY_STATE)}


def assigned(reader: Reader, staff_id: str, member_id: str) -> bool:
    """Whether an open task of the member is assigned to this staff member: one of the care relationships."""
    return reader.one(_ASSIGNED, staff_id=staff_id, member_id=member_id) is not None


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

    def subject(self, reader: Reader, service_request_id: str) -> str | None:
        """The account that the request is about; None when it is about none."""
        account_id: str | None = _only(reader.one(_SUBJECT, service_request_id=service_request_id))
        return account_id

    def view(self, reader: Reader, service_request_id: str, now: datetime) -> RequestView | None:
        request = rows.find_request(reader, service_request_id)
        return None if request is None else self.view_of(reader, request, now)

    def result(self, reader: Reader, service_request_id: str) -> bytes | None:
        """``result_data`` as JSON; None unless the request succeeded."""
        found: bytes | None = _only(reader.one(_RESULT, service_request_id=service_request_id))
        return found

    def task(self, reader: Reader, task_id: str) -> TaskView | None:
        task = rows.find_task(reader, task_id)
        return None if task is None else task_view(task)

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
        return [task_view(task) for row in found if (task := rows.find_task(reader, row[0]))]

    def standing(self, reader: Reader, task_id: str, now: datetime) -> TaskStanding | None:
        """Whose a task is and for whom it is meant: what decides who may see and move it."""
        task = rows.find_task(reader, task_id)
        return None if task is None else TaskStanding.of(task, now)

    @staticmethod
    def offered_to_staff(
        reader: Reader, roles: Collection[str], specialities: Collection[str], *, now: datetime, after: str, limit: int
    ) -> list[TaskView]:
        """The tasks that staff with these roles and specialities may claim, in order of creation, from behind id ``after``."""
        wanted = [role for role in sorted(STAFF_ROLES) if holds(role, roles)]
        ids = queue.offered_to_staff(reader, wanted, specialities, now=now, after=after, limit=limit)
        return [queued(task) for task in _tasks(reader, ids)]

    @staticmethod
    def offered_to_services(reader: Reader, *, now: datetime, after: str, limit: int) -> list[TaskView]:
        """The same for services."""
        return [queued(task) for task in _tasks(reader, queue.offered_to_services(reader, now=now, after=after, limit=limit))]

    @staticmethod
    def assigned_to(reader: Reader, assignee: str, *, by_service: bool, after: str, limit: int) -> list[TaskView]:
        """The open tasks of any member that this staff member, or this service, holds."""
        return _tasks(reader, queue.assigned_to(reader, assignee, by_service=by_service, after=after, limit=limit))

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
        ahead = [progress.Work(progress.Phase.AHEAD, self.usual_s(reader, task)) for task in service.tasks]
        return ServiceView(
            code=service.code,
            title=service.title,
            data_schema=service.data_schema,
            task_types=tuple(task.type for task in service.tasks),
            usual_seconds=progress.remaining_s(ahead, parallel=service.order is Order.PARALLEL),
        )

    @staticmethod
    def usual_s(reader: Reader, definition: TaskDefinition) -> float:
        """Seconds that a task of this kind usually takes."""
        return progress.usual_s(definition.usual_s, rows.durations_s(reader, definition.type))

    def outlook(self, reader: Reader, request: RequestRow, tasks: Sequence[TaskRow], now: datetime) -> Outlook | None:
        """How far an open request is at ``now``, by its tasks; None when its service is no longer declared."""
        service = self.catalogue.find(request.service)
        declared = [None if service is None else service.task(task.task_type) for task in tasks]
        if service is None or None in declared:
            return None
        works = [
            _work(task, definition, self.usual_s(reader, definition), now)
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
        if request.publisher is not None:
            return published_view(request, tasks)
        outlook = None if request.completed_at is not None else self.outlook(reader, request, tasks, now)
        return request_view(request, tasks, None if outlook is None else outlook.remaining_s)


def _work(task: TaskRow, definition: TaskDefinition, usual_s: float, now: datetime) -> progress.Work:
    if task.completed_at is not None:
        return progress.Work(progress.Phase.ENDED, usual_s)
    if task.state is TaskState.IN_PROGRESS:
        elapsed_s = 0.0 if task.started_at is None else (now - task.started_at).total_seconds()
        limit_s = definition.attempt_timeout_s if definition.done_by is ExecutorKind.SYSTEM else None
        return progress.Work(progress.Phase.RUNNING, usual_s, elapsed_s=max(elapsed_s, 0.0), limit_s=limit_s)
    pause_s = 0.0 if task.run_at is None else (task.run_at - now).total_seconds()
    return progress.Work(progress.Phase.AHEAD, usual_s, pause_s=max(pause_s, 0.0))


def _tasks(reader: Reader, ids: Sequence[str]) -> list[TaskView]:
    return [task_view(task) for task_id in ids if (task := rows.find_task(reader, task_id))]


def _only(row: Row | None) -> Any:
    return None if row is None else row[0]


def _ids(found: list[Row]) -> tuple[str, ...]:
    return tuple(row[0] for row in found)
