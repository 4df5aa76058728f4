"""A member's life as events: any of them, in an order that the contract allows, and what it adds up to by counting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from msgspec import UNSET

from session_platform.contract import (
    AssigneeRole,
    CarePlanStatus,
    CarePlanUpdatedEvent,
    CoverageUpdatedEvent,
    DurableEvent,
    ServiceRequestCompletedEvent,
    ServiceRequestProcessingEvent,
    ServiceRequestSubmittedEvent,
    SessionChannel,
    SessionCreatedEvent,
    SessionEndedEvent,
    SessionEndReason,
    SessionType,
    TaskAssignedEvent,
    TaskCompletedEvent,
    TaskInProgressEvent,
    seal,
)
from session_platform.store import StoredEvent

MEMBER = "M123456"
START = datetime(2026, 1, 15, 10, tzinfo=UTC)
ACTS = ("created", "ended", "submitted", "processing", "completed", "assigned", "begun", "done", "care_plan", "coverage")
acts = st.tuples(st.sampled_from(ACTS), st.integers(0, 5), st.integers(0, 4000))
"""What happens, about which session, request or task of a few, and how many minutes after what happened before."""
lives = st.lists(acts, max_size=40)


def told(life: Sequence[tuple[str, int, int]], member_id: str = MEMBER) -> list[tuple[DurableEvent, datetime]]:
    """The events of a life, each with its time."""
    at = START
    events: list[tuple[DurableEvent, datetime]] = []
    for act, which, minutes in life:
        at += timedelta(minutes=minutes)
        events.append((event(act, which, at, member_id), at))
    return events


def event(act: str, which: int, at: datetime, member_id: str = MEMBER) -> DurableEvent:
    """One event; whether who acts is the member, and whether anything optional is said, depends on ``which``."""
    session, request, task = f"sess_{which}", f"sr_{which}", f"task_{which}"
    actor = member_id if which % 2 else "system"
    events: dict[str, DurableEvent] = {
        "created": SessionCreatedEvent(
            session_id=session,
            member_id=member_id,
            session_type=SessionType.APP if which else UNSET,
            channel=list(SessionChannel)[which] if which else UNSET,
            created_at=at if which else UNSET,
        ),
        "ended": SessionEndedEvent(
            session_id=session,
            member_id=member_id,
            ended_at=at,
            reason=SessionEndReason.USER_CLOSED if which % 2 else SessionEndReason.TIMEOUT,
        ),
        "submitted": ServiceRequestSubmittedEvent(
            service_request_id=request, session_id=session, member_id=member_id, initiator_id=actor, submitted_at=at
        ),
        "processing": ServiceRequestProcessingEvent(service_request_id=request, member_id=member_id, percent_complete=5),
        "completed": ServiceRequestCompletedEvent(service_request_id=request, member_id=member_id),
        "assigned": TaskAssignedEvent(
            task_id=task,
            session_id=session,
            member_id=member_id,
            assignee_role=AssigneeRole.MEMBER,
            due_at=at + timedelta(hours=which) if which else UNSET,
        ),
        "begun": TaskInProgressEvent(task_id=task, session_id=session, member_id=member_id, started_by=actor, started_at=at),
        "done": TaskCompletedEvent(task_id=task, session_id=session, member_id=member_id, completed_by=actor, completed_at=at),
        "care_plan": CarePlanUpdatedEvent(
            member_id=member_id,
            care_plan_id=f"cp_{which}",
            status=list(CarePlanStatus)[which % 5] if which else UNSET,
            updated_goals=(f"goal_{which}",),
            new_tasks=(task,),
        ),
        "coverage": CoverageUpdatedEvent(member_id=member_id, account_id="A789012"),
    }
    return events[act]


def stored(events: Sequence[tuple[DurableEvent, datetime]], after: int = 0) -> list[StoredEvent]:
    """As the outbox has them, from the number behind ``after``."""
    return [_stored(each, seq, at) for seq, (each, at) in enumerate(events, start=after + 1)]


def _stored(told: DurableEvent, seq: int, at: datetime) -> StoredEvent:
    sealed = seal(told, event_id=f"evt_{seq}", source="/tests", time=at, seq=seq, epoch=1, traceparent="00-1-1-00")
    return StoredEvent(
        seq, sealed.timeline, 1, seq, sealed.tag, sealed.name, sealed.session_id, sealed.service_request_id, sealed.redacted
    )
