"""What is told of requests and tasks: one function an event, from the rows as they stand after the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from session_platform.careflow.model import REQUEST_OUTCOMES, TASK_OUTCOMES, RequestState
from session_platform.careflow.rows import RequestRow, TaskRow
from session_platform.careflow.views import result_ref, statuses
from session_platform.contract import (
    ServiceError,
    ServiceRequestCompletedEvent,
    ServiceRequestProcessingEvent,
    ServiceRequestSubmittedEvent,
    TaskAssignedEvent,
    TaskCompletedEvent,
    TaskInProgressEvent,
)
from session_platform.store.port import Tx

SYSTEM: Final = "system"
"""Who starts and completes the platform's own tasks, as events name it."""

T = TypeVar("T")


def submitted(tx: Tx, request: RequestRow) -> None:
    tx.emit(
        ServiceRequestSubmittedEvent(
            service_request_id=request.service_request_id,
            session_id=_set(request.session_id),
            member_id=request.member_id,
            healthcare_service=request.service,
            subject_account_id=_set(request.subject),
            initiator_id=request.initiator_id,
            reason=_set(request.reason),
            priority=request.priority,
            submitted_at=request.submitted_at,
            target_role=_set(request.target_role),
            target_speciality=_set(request.target_speciality),
            current_call_id=_set(request.current_call_id),
        )
    )


def processing(tx: Tx, request: RequestRow, tasks: Sequence[TaskRow], remaining_s: int) -> None:
    tx.emit(
        ServiceRequestProcessingEvent(
            service_request_id=request.service_request_id,
            session_id=_set(request.session_id),
            member_id=request.member_id,
            stage=request.stage,
            estimated_completion_seconds=remaining_s,
            task_statuses=statuses(tasks),
            percent_complete=request.percent_complete,
        )
    )


def completed(tx: Tx, request: RequestRow) -> None:
    """``request`` ended."""
    took = tx.now - request.submitted_at
    succeeded = request.state is RequestState.COMPLETED
    tx.emit(
        ServiceRequestCompletedEvent(
            service_request_id=request.service_request_id,
            session_id=_set(request.session_id),
            member_id=request.member_id,
            outcome=REQUEST_OUTCOMES[request.state],
            result_data=_object(request.result),
            processing_duration_ms=max(round(took.total_seconds() * 1000), 0),
            completed_at=tx.now,
            healthcare_service=request.service,
            error=UNSET if request.error is None else msgspec.json.decode(request.error, type=ServiceError),
            result_ref=result_ref(request.service_request_id) if succeeded else UNSET,
        )
    )


def task_assigned(tx: Tx, task: TaskRow) -> None:
    tx.emit(
        TaskAssignedEvent(
            task_id=task.task_id,
            session_id=_set(task.session_id),
            member_id=task.member_id,
            service_request_id=_set(task.service_request_id),
            task_type=task.task_type,
            assignee_id=_set(task.assignee_id),
            assignee_role=task.assignee_role,
            assignee_name=_set(task.assignee_name),
            assigned_at=tx.now,
            due_at=_set(task.due_at),
            title=task.title,
        )
    )


def task_in_progress(tx: Tx, task: TaskRow, remaining_s: int) -> None:
    """An attempt begins: by who the task is assigned to, else by the platform."""
    tx.emit(
        TaskInProgressEvent(
            task_id=task.task_id,
            session_id=_set(task.session_id),
            member_id=task.member_id,
            started_by=SYSTEM if task.assignee_id is None else task.assignee_id,
            started_at=tx.now,
            estimated_completion_seconds=remaining_s,
            task_type=task.task_type,
            service_request_id=_set(task.service_request_id),
            assignee_id=_set(task.assignee_id),
            assignee_role=task.assignee_role,
        )
    )


def task_completed(tx: Tx, task: TaskRow) -> None:
    """``task`` ended."""
    tx.emit(
        TaskCompletedEvent(
            task_id=task.task_id,
            session_id=_set(task.session_id),
            member_id=task.member_id,
            service_request_id=_set(task.service_request_id),
            completed_by=_set(task.completed_by),
            task_result=_object(task.result),
            completed_at=tx.now,
            task_type=task.task_type,
            assignee_id=_set(task.assignee_id),
            assignee_role=task.assignee_role,
            outcome=TASK_OUTCOMES[task.state],
            task_ref=UNSET if task.result is None else f"/v1/tasks/{task.task_id}",
        )
    )


def _set(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value


def _object(result: bytes | None) -> dict[str, Any] | UnsetType:
    return UNSET if result is None else msgspec.json.decode(result, type=dict[str, Any])
