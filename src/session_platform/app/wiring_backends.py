"""Who applies what backends publish: each room its own events, introduced to each other here."""

from __future__ import annotations

from session_platform import directory, eligibility
from session_platform.app.wiring_careflow import neighbours
from session_platform.careflow import (
    Careflow,
    Catalogue,
    PublishedRequests,
    PublishedTasks,
    open_request_owner,
    session_of_request,
)
from session_platform.contract import (
    AssigneeRole,
    CarePlanUpdatedEvent,
    CoverageUpdatedEvent,
    RTECompletedEvent,
    ServiceRequestCompletedEvent,
    ServiceRequestProcessingEvent,
    ServiceRequestSubmittedEvent,
    SessionActiveEvent,
    SessionCreatedEvent,
    SessionEndedEvent,
    TaskAssignedEvent,
    TaskCompletedEvent,
    TaskInProgressEvent,
)
from session_platform.ingest import REMEMBERED_FOR, Emit, Ingest, Known, forget
from session_platform.sessions import PublishedSessions, Sessions
from session_platform.store import Reader, Store, Tx


def backends(store: Store, sessions: Sessions, careflow: Careflow) -> Ingest:
    """What takes the events of backends."""
    life = PublishedSessions(_own_account, _staff_role)
    told = neighbours(sessions)
    requests = PublishedRequests(told, lambda code: _text(careflow.catalogue, code))
    tasks = PublishedTasks(told, _staff_exists)
    coverage = eligibility.PublishedCoverage(directory.holders, session_of_request)
    known = Known(
        accounts_of=_accounts_of,
        holders=directory.holders,
        session_owner=sessions.owner,
        request_owner=careflow.owner,
        open_request_owner=open_request_owner,
        task_owner=careflow.task_owner,
    )
    return Ingest(
        store,
        known,
        {
            SessionCreatedEvent: life.created,
            SessionActiveEvent: life.active,
            SessionEndedEvent: life.ended,
            ServiceRequestSubmittedEvent: requests.submitted,
            ServiceRequestProcessingEvent: requests.processing,
            ServiceRequestCompletedEvent: requests.completed,
            TaskAssignedEvent: tasks.assigned,
            TaskInProgressEvent: tasks.in_progress,
            TaskCompletedEvent: tasks.completed,
            RTECompletedEvent: coverage.checked,
            CoverageUpdatedEvent: coverage.updated,
            CarePlanUpdatedEvent: _as_it_is,
        },
    )


def forget_published(tx: Tx) -> int:
    """Some of the events that were taken so long ago that nobody sends them again: how many."""
    return forget(tx, tx.now - REMEMBERED_FOR)


def _as_it_is(_: Tx, event: CarePlanUpdatedEvent, __: str, emit: Emit) -> None:
    """Care plans are their backend's: the platform keeps none, and the twin reads the timeline."""
    emit(event)


def _accounts_of(reader: Reader, member_id: str) -> tuple[str, ...] | None:
    member = directory.member(reader, member_id)
    return None if member is None else member.account_ids


def _own_account(reader: Reader, member_id: str) -> str | None:
    return next(iter(_accounts_of(reader, member_id) or ()), None)


def _staff_exists(reader: Reader, staff_id: str) -> bool:
    return directory.staff(reader, staff_id) is not None


def _staff_role(reader: Reader, staff_id: str) -> AssigneeRole | None:
    staff = directory.staff(reader, staff_id)
    return None if staff is None else AssigneeRole(staff.role.upper())


def _text(catalogue: Catalogue, code: str) -> str | None:
    failure = catalogue.failures.get(code)
    return None if failure is None else failure.message
