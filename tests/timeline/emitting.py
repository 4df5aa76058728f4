"""Real events of the contract for a real store, one of each kind that the model tests use."""

from __future__ import annotations

from msgspec import UNSET

from session_platform.contract import (
    CoverageUpdatedEvent,
    DurableEvent,
    RTECompletedEvent,
    ServiceRequestProcessingEvent,
    SessionEndedEvent,
    TaskAssignedEvent,
    TaskCompletedEvent,
)
from session_platform.store import Store
from tests.timeline.events import TIMELINE

Kind = tuple[str, str | None, str | None]
KINDS: tuple[Kind, ...] = (
    ("service_request.processing", "sess_1", "sr_1"),
    ("task.assigned", "sess_1", "sr_1"),
    ("service_request.processing", "sess_2", "sr_2"),
    ("rte.completed", "sess_1", "sr_2"),
    ("task.completed", "sess_2", None),
    ("service_request.processing", "sess_1", "sr_1"),
    ("coverage.updated", None, None),
    ("session.ended", "sess_2", None),
)


def event(kind: Kind, timeline: str = TIMELINE) -> DurableEvent:
    """An event of this kind."""
    name, session, request = kind
    session_id, service_request_id = session or UNSET, request or UNSET
    match name:
        case "service_request.processing":
            assert request is not None
            return ServiceRequestProcessingEvent(
                service_request_id=request, session_id=session_id, member_id=timeline, percent_complete=0
            )
        case "task.assigned":
            return TaskAssignedEvent(
                task_id="task_1", session_id=session_id, service_request_id=service_request_id, member_id=timeline
            )
        case "task.completed":
            return TaskCompletedEvent(
                task_id="task_1", session_id=session_id, service_request_id=service_request_id, member_id=timeline
            )
        case "rte.completed":
            return RTECompletedEvent(session_id=session_id, service_request_id=service_request_id, member_id=timeline)
        case "coverage.updated":
            return CoverageUpdatedEvent(session_id=session_id, member_id=timeline, account_id="A789012")
        case _:
            assert session is not None
            return SessionEndedEvent(session_id=session, member_id=timeline)


async def emit(store: Store, *kinds: Kind, timeline: str = TIMELINE) -> None:
    """Commit events of these kinds in one transaction."""
    await store.run(lambda tx: [tx.emit(event(kind, timeline)) for kind in kinds], timeline)
