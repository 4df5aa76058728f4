"""Sessions that backends introduce: opened, kept alive and ended by their events, by the table below.

Heartbeats, joining and submitting work on such a session as on any other; only its end is its backend's. Silent, it expires
like any other: who sees a member by taking part in a session must not do so for ever because a backend died.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from msgspec import UNSET, UnsetType

from session_platform.access import rights_changed
from session_platform.clock import to_micros
from session_platform.contract import (
    AssigneeRole,
    DurableEvent,
    EphemeralEvent,
    SessionActiveEvent,
    SessionCreatedEvent,
    SessionEndedEvent,
    SessionEndReason,
    SessionState,
)
from session_platform.errors import FieldProblem, Invalid
from session_platform.sessions import record as records
from session_platform.sessions.model import NewSession, validate
from session_platform.sessions.record import SessionRecord
from session_platform.store.port import Reader, Tx

Emit = Callable[[DurableEvent | EphemeralEvent], None]


class Stand(StrEnum):
    """Where a backend's session stands for its backend. EXPIRED: the platform ended it, which its backend may not know yet."""

    UNKNOWN = "unknown"
    OPEN = "open"
    EXPIRED = "expired"
    ENDED = "ended"


class Move(StrEnum):
    """What an event does; IGNORE: it comes too late to say anything."""

    INTRODUCE = "introduce"
    KEEP = "keep"
    END = "end"
    IGNORE = "ignore"


MOVES: Final = {
    (Stand.UNKNOWN, SessionCreatedEvent): Move.INTRODUCE,
    (Stand.OPEN, SessionActiveEvent): Move.KEEP,
    (Stand.OPEN, SessionEndedEvent): Move.END,
    (Stand.EXPIRED, SessionActiveEvent): Move.IGNORE,
    (Stand.EXPIRED, SessionEndedEvent): Move.IGNORE,
    (Stand.ENDED, SessionActiveEvent): Move.IGNORE,
}
"""An absent key is a forbidden transition."""

_INSERT: Final = """
INSERT INTO session (session_id, member_id, account_id, type, channel, intent, metadata, device_id, previous_session_id,
    initiator_id, created_at, last_activity_at, publisher)
VALUES (:session_id, :member_id, :account_id, :type, :channel, :intent, :metadata, :device_id, :previous_session_id,
    :initiator_id, :created_at, :now, :publisher)
"""
_COMPLETING: Final = "UPDATE session SET completing = :completing WHERE session_id = :session_id"
_END: Final = """
UPDATE session SET ended_at = :ended_at, end_reason = :reason, outcome = :outcome, ended_by = :ended_by
WHERE session_id = :session_id AND ended_at IS NULL
"""
_FIELDS: Final = {"/type": "/session_type"}
"""What a command calls otherwise than the event."""


class PublishedSessions:
    """``own_account`` names a member's own account; ``staff_role`` the role of a staff member, None for who is none."""

    def __init__(
        self, own_account: Callable[[Reader, str], str | None], staff_role: Callable[[Reader, str], AssigneeRole | None]
    ) -> None:
        self._own_account = own_account
        self._staff_role = staff_role

    def created(self, tx: Tx, event: SessionCreatedEvent, publisher: str, emit: Emit) -> None:
        """Introduce a session; the member takes part in it, and a staff member who began it. Raises `Invalid`."""
        _validate(event, publisher)
        if records.owner(tx, event.session_id) is not None:
            raise _refused("/session_id", "is taken: an id is given once")
        before = event.previous_session_id
        if before is not UNSET and records.owner(tx, before) != event.member_id:
            raise _refused("/previous_session_id", "names none of this member's")
        initiator_id = event.initiator_id or publisher
        tx.execute(
            _INSERT,
            session_id=event.session_id,
            member_id=event.member_id,
            account_id=self._own_account(tx, event.member_id) if event.account_id is UNSET else event.account_id,
            type=event.session_type or None,
            channel=event.channel or None,
            intent=_text(event.intent),
            metadata=None if event.metadata is UNSET else json.dumps(event.metadata, ensure_ascii=False),
            device_id=_text(event.device_id),
            previous_session_id=_text(before),
            initiator_id=initiator_id,
            created_at=to_micros(tx.now if event.created_at is UNSET else min(event.created_at, tx.now)),
            now=to_micros(tx.now),
            publisher=publisher,
        )
        records.add_participant(tx, event.session_id, event.member_id, AssigneeRole.MEMBER)
        role = self._staff_role(tx, initiator_id)
        if role is not None:
            records.add_participant(tx, event.session_id, initiator_id, role)
        emit(event)
        if role is not None:
            rights_changed(tx, event.member_id, initiator_id)

    def active(self, tx: Tx, event: SessionActiveEvent, publisher: str, emit: Emit) -> None:
        """Keep a session alive and say how it is; nothing when it has ended. Raises `Invalid`."""
        if _moved(tx, event, publisher) is Move.IGNORE:
            return
        if event.last_activity_at is not UNSET:
            records.move(tx, event.session_id, min(event.last_activity_at, tx.now))
        elif event.state is not SessionState.IDLE:
            records.move(tx, event.session_id, tx.now)
        completing = event.state is SessionState.COMPLETING
        tx.execute(_COMPLETING, session_id=event.session_id, completing=int(completing))
        emit(event)

    def ended(self, tx: Tx, event: SessionEndedEvent, publisher: str, emit: Emit) -> None:
        """End a session; its open requests go on. Nothing when it expired. Raises `Invalid`."""
        if _moved(tx, event, publisher) is Move.IGNORE:
            return
        tx.execute(
            _END,
            session_id=event.session_id,
            ended_at=to_micros(tx.now if event.ended_at is UNSET else min(event.ended_at, tx.now)),
            reason=event.reason or None,
            outcome=event.outcome or None,
            ended_by=publisher,
        )
        emit(event)
        for staff_id in records.staff_of(tx, event.session_id):
            rights_changed(tx, event.member_id, staff_id)


def _moved(tx: Tx, event: SessionActiveEvent | SessionEndedEvent, publisher: str) -> Move:
    record = records.by_id(tx, event.session_id)
    if record is None or (record.member_id, record.publisher) != (event.member_id, publisher):
        raise _refused("/session_id", "names none that your events introduced for this member")
    move = MOVES.get((_stand(record), type(event)))
    if move is None:
        raise _refused("/session_id", "its state forbids this event")
    return move


def _stand(record: SessionRecord) -> Stand:
    if record.ended_at is None:
        return Stand.OPEN
    return Stand.EXPIRED if record.ended_by is None and record.end_reason == SessionEndReason.TIMEOUT else Stand.ENDED


def _validate(event: SessionCreatedEvent, publisher: str) -> None:
    """By the rules for sessions that a command opens."""
    new = NewSession(
        member_id=event.member_id,
        initiator_id=publisher,
        type=event.session_type or "",
        channel=event.channel or "",
        intent=_text(event.intent),
        metadata=None if event.metadata is UNSET else event.metadata,
        device_id=_text(event.device_id),
    )
    try:
        validate(new)
    except Invalid as error:
        raise Invalid(
            *(FieldProblem(_FIELDS.get(each.pointer, each.pointer), each.detail) for each in error.problems)
        ) from None


def _refused(pointer: str, detail: str) -> Invalid:
    return Invalid(FieldProblem(pointer, detail))


def _text(value: str | UnsetType) -> str | None:
    return None if value is UNSET else value
