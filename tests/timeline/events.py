"""Stored events as the outbox hands them out, without a store."""

from __future__ import annotations

import itertools

from session_platform.contract import SealedEphemeral
from session_platform.store import StoredEvent
from session_platform.timeline import Filter

TIMELINE = "M123456"
SESSIONS = ("sess_1", "sess_2")
REQUESTS = ("sr_1", "sr_2")
_ids = itertools.count(1)

_PROCESSING = ("service_request.processing", "sess_1", "sr_1")
KINDS: tuple[tuple[str, str | None, str | None], ...] = (
    _PROCESSING,
    ("task.assigned", "sess_1", "sr_1"),
    _PROCESSING,
    ("service_request.processing", "sess_2", "sr_2"),
    _PROCESSING,
    ("rte.completed", "sess_1", "sr_2"),
    ("task.completed", "sess_2", None),
    ("service_request.processing", "sess_2", "sr_2"),
    ("coverage.updated", None, "sr_1"),
    _PROCESSING,
    ("not.yet.invented", None, None),
    ("service_request.processing", None, "sr_1"),
    ("session.ended", "sess_2", None),
)
"""What an event can be: name, session, request."""

FILTERS = (
    Filter.member(),
    Filter.member(["task.*"]),
    Filter.member(["service_request.processing"]),
    Filter.member(["session.*", "rte.completed"]),
    Filter.session("sess_1"),
    Filter.session("sess_2", ["service_request.*", "not.yet.invented", "session.*"]),
    Filter.service_requests(["sr_1"]),
    Filter.service_requests(["sr_1", "sr_2"], ["task.*", "service_request.processing"]),
)


def stored(
    seq: int,
    name: str = "task.assigned",
    session_id: str | None = "sess_1",
    service_request_id: str | None = "sr_1",
    *,
    timeline: str = TIMELINE,
    epoch: int = 1,
) -> StoredEvent:
    """An event as the outbox has it; its tag is one of its own."""
    number = next(_ids)
    body = b'{"n":%d}' % number
    return StoredEvent(number, timeline, epoch, seq, number % 2**32, name, session_id, service_request_id, body)


def ephemeral(session_id: str = "sess_1", timeline: str = TIMELINE) -> SealedEphemeral:
    return SealedEphemeral(f"evt_{next(_ids)}", "session.active", timeline, session_id, None, b"{}")
