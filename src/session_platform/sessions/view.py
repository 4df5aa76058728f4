"""A session as readers see it: exactly the fields of ``GET /v1/sessions/{id}``, null where there is no value."""

from __future__ import annotations

import json
from datetime import datetime

from msgspec import Struct

from session_platform.clock import from_micros
from session_platform.contract import AssigneeRole, SessionChannel, SessionEndReason, SessionOutcome, SessionType
from session_platform.sessions import record as records
from session_platform.sessions.model import SESSION_TTL, LifeState, WorkOf, state_of
from session_platform.sessions.record import SessionRecord
from session_platform.store.port import Reader


class Participant(Struct, frozen=True):
    """``id`` is a member's or staff member's."""

    id: str
    role: AssigneeRole
    joined_at: datetime


class SessionView(Struct, frozen=True, kw_only=True):
    """``expires_at`` is when it ends (ended: would have ended) without further activity."""

    session_id: str
    member_id: str
    account_id: str | None
    type: SessionType
    channel: SessionChannel
    state: LifeState
    intent: str | None
    metadata: dict[str, str] | None
    participants: tuple[Participant, ...]
    device_id: str | None
    previous_session_id: str | None
    created_at: datetime
    last_activity_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    end_reason: SessionEndReason | None
    outcome: SessionOutcome | None


def view_of(
    reader: Reader, record: SessionRecord, last_activity_at: datetime, now: datetime, active_work: WorkOf
) -> SessionView:
    """``last_activity_at`` may be newer than the record's: a touch that is not written yet."""
    open_requests = 0 if record.ended_at else len(active_work(reader, record.session_id).service_requests)
    return SessionView(
        session_id=record.session_id,
        member_id=record.member_id,
        account_id=record.account_id,
        type=SessionType(record.type),
        channel=SessionChannel(record.channel),
        state=state_of(now, last_activity_at, record.ended_at, open_requests, completing=bool(record.completing)),
        intent=record.intent,
        metadata=None if record.metadata is None else json.loads(record.metadata),
        participants=tuple(
            Participant(participant_id, AssigneeRole(role), from_micros(joined_us))
            for participant_id, role, joined_us in records.participants(reader, record.session_id)
        ),
        device_id=record.device_id,
        previous_session_id=record.previous_session_id,
        created_at=record.created_at,
        last_activity_at=last_activity_at,
        expires_at=last_activity_at + SESSION_TTL,
        ended_at=record.ended_at,
        end_reason=None if record.end_reason is None else SessionEndReason(record.end_reason),
        outcome=None if record.outcome is None else SessionOutcome(record.outcome),
    )
