"""Requests, tasks and durations as rows: the one place where they are read from and written to the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from session_platform.careflow.catalogue import ExecutorKind
from session_platform.careflow.model import RequestState, TaskState
from session_platform.careflow.progress import SAMPLES_MAX
from session_platform.clock import from_micros, to_micros
from session_platform.contract import AssigneeRole, ProcessingStage, ServiceRequestPriority
from session_platform.store.port import Reader, Row, Tx

_REQUEST: Final = """
SELECT service_request_id, session_id, member_id, service, subject, reason, priority, data, initiator_id, target_role,
       target_speciality, current_call_id, status, stage, percent_complete, error, payer_errors, result, canceled_by,
       submitted_at, completed_at, traceparent, publisher, told
FROM service_request WHERE service_request_id = :service_request_id
"""
_TASK: Final = """
SELECT task_id, service_request_id, session_id, member_id, task_type, title, place, urgency, executor, status, assignee_id,
       assignee_role, assignee_name, speciality, form, attempt, try, failures, run_at, lease_owner, lease_until,
       assigned_at, started_at, due_at, completed_at, completed_by, result, interruptions, released_by, completion, publisher
FROM task WHERE task_id = :task_id
"""
_TASKS_OF_REQUEST: Final = """
SELECT task_id, service_request_id, session_id, member_id, task_type, title, place, urgency, executor, status, assignee_id,
       assignee_role, assignee_name, speciality, form, attempt, try, failures, run_at, lease_owner, lease_until,
       assigned_at, started_at, due_at, completed_at, completed_by, result, interruptions, released_by, completion, publisher
FROM task WHERE service_request_id = :service_request_id ORDER BY place
"""
_INSERT_REQUEST: Final = """
INSERT INTO service_request (service_request_id, session_id, member_id, service, subject, reason, priority, data, initiator_id,
                             target_role, target_speciality, current_call_id, status, stage, submitted_at, traceparent,
                             publisher)
VALUES (:service_request_id, :session_id, :member_id, :service, :subject, :reason, :priority, :data, :initiator_id,
        :target_role, :target_speciality, :current_call_id, :status, :stage, :submitted_at, :traceparent, :publisher)
"""
_UPDATE_REQUEST: Final = """
UPDATE service_request SET status = :status, stage = :stage, percent_complete = :percent_complete, error = :error,
       payer_errors = :payer_errors, result = :result, canceled_by = :canceled_by, completed_at = :completed_at
WHERE service_request_id = :service_request_id
"""
_INSERT_TASK: Final = """
INSERT INTO task (task_id, service_request_id, session_id, member_id, task_type, title, place, urgency, executor, status,
                  assignee_id, assignee_role, speciality, form, publisher)
VALUES (:task_id, :service_request_id, :session_id, :member_id, :task_type, :title, :place, :urgency, :executor, :status,
        :assignee_id, :assignee_role, :speciality, :form, :publisher)
"""
_UPDATE_TASK: Final = """
UPDATE task SET status = :status, assignee_id = :assignee_id, assignee_name = :assignee_name, attempt = :attempt,
       try = :try_number, failures = :failures, interruptions = :interruptions, run_at = :run_at, lease_owner = :lease_owner,
       lease_until = :lease_until, assigned_at = :assigned_at, started_at = :started_at, due_at = :due_at,
       completed_at = :completed_at, completed_by = :completed_by, result = :result, released_by = :released_by,
       completion = :completion
WHERE task_id = :task_id
"""
_DURATIONS: Final = "SELECT took_us FROM duration WHERE task_type = :task_type ORDER BY id DESC LIMIT :samples_max"
_INSERT_DURATION: Final = "INSERT INTO duration (task_type, took_us) VALUES (:task_type, :took_us)"
_FORGET_DURATIONS: Final = """
DELETE FROM duration WHERE task_type = :task_type
   AND id <= (SELECT id FROM duration WHERE task_type = :task_type ORDER BY id DESC LIMIT 1 OFFSET :samples_max)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A service request; ``data``, ``error`` and ``payer_errors`` are JSON. ``publisher``: the backend whose events alone move
    it (None: the platform does), and ``told`` what it said last of how far it is, as JSON."""

    service_request_id: str
    session_id: str | None
    member_id: str
    service: str
    subject: str | None
    reason: str | None
    priority: ServiceRequestPriority
    data: str | None
    initiator_id: str
    target_role: AssigneeRole | None
    target_speciality: str | None
    current_call_id: str | None
    state: RequestState
    stage: ProcessingStage
    submitted_at: datetime
    percent_complete: int = 0
    error: str | None = None
    payer_errors: str | None = None
    result: bytes | None = None
    canceled_by: str | None = None
    completed_at: datetime | None = None
    traceparent: str | None = None
    publisher: str | None = None
    told: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A task; ``form`` and ``result`` are JSON. See the schema for ``attempt``, ``try_number``, ``failures`` and the like. Only
    a backend's task (``publisher``) may belong to no request."""

    task_id: str
    service_request_id: str | None
    session_id: str | None
    member_id: str
    task_type: str
    title: str
    place: int
    urgency: int
    executor: ExecutorKind
    state: TaskState
    assignee_id: str | None
    assignee_role: AssigneeRole
    assignee_name: str | None = None
    speciality: str | None
    form: str | None
    attempt: int = 0
    try_number: int = 1
    failures: int = 0
    run_at: datetime | None = None
    lease_owner: str | None = None
    lease_until: datetime | None = None
    assigned_at: datetime | None = None
    started_at: datetime | None = None
    due_at: datetime | None = None
    completed_at: datetime | None = None
    completed_by: str | None = None
    result: bytes | None = None
    interruptions: int = 0
    released_by: str | None = None
    completion: bytes | None = None
    publisher: str | None = None

    def claimable(self, now: datetime) -> bool:
        """Whether a worker or service may begin an attempt: it is due, and in nobody's hands."""
        return self.run_at is not None and self.run_at <= now and (self.lease_until is None or self.lease_until <= now)


def find_request(reader: Reader, service_request_id: str) -> RequestRow | None:
    row = reader.one(_REQUEST, service_request_id=service_request_id)
    if row is None:
        return None
    return RequestRow(
        service_request_id=row[0],
        session_id=row[1],
        member_id=row[2],
        service=row[3],
        subject=row[4],
        reason=row[5],
        priority=ServiceRequestPriority(row[6]),
        data=row[7],
        initiator_id=row[8],
        target_role=None if row[9] is None else AssigneeRole(row[9]),
        target_speciality=row[10],
        current_call_id=row[11],
        state=RequestState(row[12]),
        stage=ProcessingStage(row[13]),
        percent_complete=row[14],
        error=row[15],
        payer_errors=row[16],
        result=row[17],
        canceled_by=row[18],
        submitted_at=from_micros(row[19]),
        completed_at=_moment(row[20]),
        traceparent=row[21],
        publisher=row[22],
        told=row[23],
    )


def find_task(reader: Reader, task_id: str) -> TaskRow | None:
    row = reader.one(_TASK, task_id=task_id)
    return None if row is None else _task(row)


def tasks_of_request(reader: Reader, service_request_id: str) -> list[TaskRow]:
    """In the order of the declaration."""
    return [_task(row) for row in reader.all(_TASKS_OF_REQUEST, service_request_id=service_request_id)]


def insert_request(tx: Tx, request: RequestRow) -> None:
    tx.execute(
        _INSERT_REQUEST,
        service_request_id=request.service_request_id,
        session_id=request.session_id,
        member_id=request.member_id,
        service=request.service,
        subject=request.subject,
        reason=request.reason,
        priority=request.priority.value,
        data=request.data,
        initiator_id=request.initiator_id,
        target_role=None if request.target_role is None else request.target_role.value,
        target_speciality=request.target_speciality,
        current_call_id=request.current_call_id,
        status=request.state.value,
        stage=request.stage.value,
        submitted_at=to_micros(request.submitted_at),
        traceparent=request.traceparent,
        publisher=request.publisher,
    )


def update_request(tx: Tx, request: RequestRow) -> None:
    """Write what may change."""
    tx.execute(
        _UPDATE_REQUEST,
        service_request_id=request.service_request_id,
        status=request.state.value,
        stage=request.stage.value,
        percent_complete=request.percent_complete,
        error=request.error,
        payer_errors=request.payer_errors,
        result=request.result,
        canceled_by=request.canceled_by,
        completed_at=_micros(request.completed_at),
    )


def insert_task(tx: Tx, task: TaskRow) -> None:
    tx.execute(
        _INSERT_TASK,
        task_id=task.task_id,
        service_request_id=task.service_request_id,
        session_id=task.session_id,
        member_id=task.member_id,
        task_type=task.task_type,
        title=task.title,
        place=task.place,
        urgency=task.urgency,
        executor=task.executor.value,
        status=task.state.value,
        assignee_id=task.assignee_id,
        assignee_role=task.assignee_role.value,
        speciality=task.speciality,
        form=task.form,
        publisher=task.publisher,
    )


def update_task(tx: Tx, task: TaskRow) -> None:
    """Write what may change."""
    tx.execute(
        _UPDATE_TASK,
        task_id=task.task_id,
        status=task.state.value,
        assignee_id=task.assignee_id,
        assignee_name=task.assignee_name,
        attempt=task.attempt,
        try_number=task.try_number,
        failures=task.failures,
        interruptions=task.interruptions,
        run_at=_micros(task.run_at),
        lease_owner=task.lease_owner,
        lease_until=_micros(task.lease_until),
        assigned_at=_micros(task.assigned_at),
        started_at=_micros(task.started_at),
        due_at=_micros(task.due_at),
        completed_at=_micros(task.completed_at),
        completed_by=task.completed_by,
        result=task.result,
        released_by=task.released_by,
        completion=task.completion,
    )


def durations_s(reader: Reader, task_type: str) -> Sequence[float]:
    """Seconds that the last finished tasks of this type took, newest first."""
    return [row[0] / 1_000_000 for row in reader.all(_DURATIONS, task_type=task_type, samples_max=SAMPLES_MAX)]


def insert_duration(tx: Tx, task_type: str, took: timedelta) -> None:
    """Remember one more, and forget those that no estimate reads any more."""
    tx.execute(_INSERT_DURATION, task_type=task_type, took_us=took // timedelta(microseconds=1))
    tx.execute(_FORGET_DURATIONS, task_type=task_type, samples_max=SAMPLES_MAX)


def _task(row: Row) -> TaskRow:
    """In the order of the columns above."""
    return TaskRow(
        task_id=row[0],
        service_request_id=row[1],
        session_id=row[2],
        member_id=row[3],
        task_type=row[4],
        title=row[5],
        place=row[6],
        urgency=row[7],
        executor=ExecutorKind(row[8]),
        state=TaskState(row[9]),
        assignee_id=row[10],
        assignee_role=AssigneeRole(row[11]),
        assignee_name=row[12],
        speciality=row[13],
        form=row[14],
        attempt=row[15],
        try_number=row[16],
        failures=row[17],
        run_at=_moment(row[18]),
        lease_owner=row[19],
        lease_until=_moment(row[20]),
        assigned_at=_moment(row[21]),
        started_at=_moment(row[22]),
        due_at=_moment(row[23]),
        completed_at=_moment(row[24]),
        completed_by=row[25],
        result=row[26],
        interruptions=row[27],
        released_by=row[28],
        completion=row[29],
        publisher=row[30],
    )


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)
