"""Requests that backends introduce: created and moved by their events, by the table below, and by nothing else.

What a backend says is emitted as it said it, with the platform's reference to a result, with the session of the request where
it was left out, and with the platform's own words for a failure. Who introduced a request moves it; anybody may name it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace as changed

from session_platform.careflow import rows
from session_platform.careflow.flow import Neighbours
from session_platform.careflow.model import RequestState
from session_platform.careflow.rows import RequestRow
from session_platform.careflow.views import Told, result_ref
from session_platform.contract import (
    DurableEvent,
    ProcessingStage,
    ServiceDeliveryOutcome,
    ServiceError,
    ServiceRequestCompletedEvent,
    ServiceRequestPriority,
    ServiceRequestProcessingEvent,
    ServiceRequestSubmittedEvent,
)
from session_platform.errors import Conflict, FieldProblem, Invalid
from session_platform.store.port import Reader, Tx

Emit = Callable[[DurableEvent], None]
Moving = ServiceRequestProcessingEvent | ServiceRequestCompletedEvent
T = TypeVar("T")

FAILED_TEXT: Final = "The service could not do this: ask whoever provides it."
"""What a failure is called whose code nobody declares here."""
NOT_YOURS: Final = "names none that your events introduced for this member"
TAKEN: Final = "is taken: an id is given once"
FORBIDDEN: Final = "its state forbids this event"

REQUEST_MOVES: Final[frozenset[tuple[RequestState, type[Moving]]]] = frozenset(
    {
        (RequestState.SUBMITTED, ServiceRequestProcessingEvent),
        (RequestState.PROCESSING, ServiceRequestProcessingEvent),
        (RequestState.SUBMITTED, ServiceRequestCompletedEvent),
        (RequestState.PROCESSING, ServiceRequestCompletedEvent),
    }
)
"""Which event may come in which state, once ``submitted`` has introduced the request; what is not there is a forbidden
transition. Progress need not be told: what is quickly done may end from its first state."""

ENDS: Final[Mapping[ServiceDeliveryOutcome, RequestState]] = MappingProxyType(
    {
        ServiceDeliveryOutcome.SUCCESS: RequestState.COMPLETED,
        ServiceDeliveryOutcome.FAILED: RequestState.FAILED,
        ServiceDeliveryOutcome.CANCELED: RequestState.CANCELED,
    }
)

_EXISTS: Final = "SELECT 1 FROM service_request WHERE service_request_id = :service_request_id"
_TELL: Final = "UPDATE service_request SET told = :told WHERE service_request_id = :service_request_id"
_OPEN_OWNER: Final = """
SELECT member_id FROM service_request WHERE service_request_id = :service_request_id AND completed_at IS NULL
"""
_SESSION: Final = "SELECT session_id FROM service_request WHERE service_request_id = :service_request_id"
_OPEN_TASK: Final = "SELECT 1 FROM task WHERE service_request_id = :service_request_id AND completed_at IS NULL LIMIT 1"


def open_request_owner(reader: Reader, service_request_id: str) -> str | None:
    """The member whose request this is, while it is open; None when there is none."""
    row = reader.one(_OPEN_OWNER, service_request_id=service_request_id)
    return None if row is None else str(row[0])


def session_of_request(reader: Reader, service_request_id: str) -> str | None:
    """The session that a request was submitted in; None for one in no session, and when there is none."""
    row = reader.one(_SESSION, service_request_id=service_request_id)
    return None if row is None or row[0] is None else str(row[0])


class PublishedRequests:
    """``neighbours`` are told as `Careflow` tells them; ``failure_text`` gives the platform's words for a failure code, None
    for a code that it does not know."""

    def __init__(self, neighbours: Neighbours, failure_text: Callable[[str], str | None]) -> None:
        self._neighbours = neighbours
        self._failure_text = failure_text

    def submitted(self, tx: Tx, event: ServiceRequestSubmittedEvent, publisher: str, emit: Emit) -> None:
        """Introduce a request. Raises `Invalid`."""
        if tx.one(_EXISTS, service_request_id=event.service_request_id) is not None:
            raise refused("/service_request_id", TAKEN)
        session_id = value_of(event.session_id)
        rows.insert_request(tx, _new_request(tx, event, publisher))
        emit(event)
        if session_id is not None:
            try:
                self._neighbours.opened(tx, session_id)
            except Conflict:
                raise refused("/session_id", "names a session that has ended") from None

    def processing(self, tx: Tx, event: ServiceRequestProcessingEvent, publisher: str, emit: Emit) -> None:
        """Tell how far a request is. Raises `Invalid`."""
        request = _movable(tx, event, publisher)
        if event.percent_complete < request.percent_complete:
            raise refused("/percent_complete", "must not fall")
        _require_own_tasks(tx, event)
        stage = value_of(event.stage) or request.stage
        rows.update_request(
            tx, replace(request, state=RequestState.PROCESSING, stage=stage, percent_complete=event.percent_complete)
        )
        told = Told(
            estimated_completion_seconds=value_of(event.estimated_completion_seconds), task_statuses=event.task_statuses
        )
        tx.execute(_TELL, service_request_id=event.service_request_id, told=msgspec.json.encode(told).decode())
        emit(changed(event, session_id=field_of(request.session_id)))

    def completed(self, tx: Tx, event: ServiceRequestCompletedEvent, publisher: str, emit: Emit) -> None:
        """End a request. Raises `Invalid`."""
        request = _movable(tx, event, publisher)
        if tx.one(_OPEN_TASK, service_request_id=event.service_request_id) is not None:
            raise refused("/service_request_id", "has a task that has not ended: tasks end before their request")
        if event.healthcare_service not in {UNSET, request.service}:
            raise refused("/healthcare_service", "must be what was submitted")
        assert event.outcome is not UNSET
        succeeded = event.outcome is ServiceDeliveryOutcome.SUCCESS
        error = self._in_our_words(event.error)
        ended = replace(
            request,
            state=ENDS[event.outcome],
            stage=ProcessingStage.FINALIZING if succeeded else request.stage,
            percent_complete=100 if succeeded else request.percent_complete,
            error=None if error is UNSET else msgspec.json.encode(error).decode(),
            result=msgspec.json.encode(value_of(event.result_data) or {}) if succeeded else None,
            completed_at=past(tx, event.completed_at),
        )
        rows.update_request(tx, ended)
        ref = result_ref(event.service_request_id) if succeeded else UNSET
        emit(changed(event, session_id=field_of(request.session_id), error=error, result_ref=ref))
        if request.session_id is not None:
            self._neighbours.closed(tx, request.session_id)

    def _in_our_words(self, error: ServiceError | UnsetType) -> ServiceError | UnsetType:
        """Nobody else's words ride a timeline."""
        if error is UNSET:
            return UNSET
        return changed(error, message=self._failure_text(error.code) or FAILED_TEXT)


def _new_request(tx: Tx, event: ServiceRequestSubmittedEvent, publisher: str) -> RequestRow:
    assert event.healthcare_service is not UNSET
    return RequestRow(
        service_request_id=event.service_request_id,
        session_id=value_of(event.session_id),
        member_id=event.member_id,
        service=event.healthcare_service,
        subject=value_of(event.subject_account_id),
        reason=value_of(event.reason),
        priority=value_of(event.priority) or ServiceRequestPriority.STANDARD,
        data=None,
        initiator_id=value_of(event.initiator_id) or publisher,
        target_role=value_of(event.target_role),
        target_speciality=value_of(event.target_speciality),
        current_call_id=value_of(event.current_call_id),
        state=RequestState.SUBMITTED,
        stage=ProcessingStage.QUEUED,
        submitted_at=past(tx, event.submitted_at),
        publisher=publisher,
    )


def _movable(tx: Tx, event: Moving, publisher: str) -> RequestRow:
    """The request that ``event`` may move."""
    request = rows.find_request(tx, event.service_request_id)
    if request is None or (request.member_id, request.publisher) != (event.member_id, publisher):
        raise refused("/service_request_id", NOT_YOURS)
    if (request.state, type(event)) not in REQUEST_MOVES:
        raise refused("/service_request_id", FORBIDDEN)
    if event.session_id not in {UNSET, request.session_id}:
        raise refused("/session_id", "must be the session of the request")
    return request


def _require_own_tasks(tx: Tx, event: ServiceRequestProcessingEvent) -> None:
    """A report may name tasks that nobody was assigned yet, but none of another request."""
    for index, status in enumerate(event.task_statuses):
        task = rows.find_task(tx, status.task_id)
        if task is not None and task.service_request_id != event.service_request_id:
            raise refused(f"/task_statuses/{index}/task_id", "is no task of this request")


def past(tx: Tx, said: datetime | UnsetType) -> datetime:
    """When it happened, as the backend says; nothing happened later than now."""
    return tx.now if said is UNSET else min(said, tx.now)


def refused(pointer: str, detail: str) -> Invalid:
    """A refusal of an event, at a pointer into its data."""
    return Invalid(FieldProblem(pointer, detail))


def value_of(field: T | UnsetType) -> T | None:
    """An event's field as a row has it."""
    return None if field is UNSET else field


def field_of(value: T | None) -> T | UnsetType:
    """The inverse of `value_of`."""
    return UNSET if value is None else value
