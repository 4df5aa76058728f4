"""The commands that open, move and end a session, and the reads of it.

Every command takes ``tx`` first and runs under the head of the session's member (``store.run(..., member_id)``), so a session's
commands come one after another. What a command refuses it raises; the store then undoes the whole transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime

from msgspec import UNSET

from session_platform.access import rights_changed
from session_platform.clock import to_micros
from session_platform.contract import (
    AssigneeRole,
    SessionChannel,
    SessionCreatedEvent,
    SessionEndedEvent,
    SessionEndReason,
    SessionOutcome,
    SessionType,
)
from session_platform.errors import Conflict, ForbiddenOrMissing
from session_platform.sessions import record as records
from session_platform.sessions.model import ActiveWork, LifeState, NewSession, WorkOf, end_of, state_of, validate
from session_platform.sessions.presence import announce
from session_platform.sessions.record import SessionRecord
from session_platform.sessions.view import SessionView, view_of
from session_platform.store.port import Reader, Tx


class Sessions:
    """``active_work`` and ``ended_work`` tell a session's open and ended requests and tasks; ``pending`` a touch that this
    process holds and has not written yet (`Touches.pending`)."""

    def __init__(self, active_work: WorkOf, ended_work: WorkOf, pending: Callable[[str], datetime | None]) -> None:
        self._active_work = active_work
        self._ended_work = ended_work
        self._pending = pending

    # ---------------------------------------------------------------------------------------------------------- commands

    def create(self, tx: Tx, new: NewSession) -> SessionView:
        """Open a session; the member takes part in it from the beginning. Raises `Invalid`."""
        validate(new)
        record = _new_record(tx, new)
        records.insert(tx, record, new.initiator_id)
        records.add_participant(tx, record.session_id, new.member_id, AssigneeRole.MEMBER)
        for participant in new.participants:
            records.add_participant(tx, record.session_id, participant.staff_id, participant.role)
        tx.emit(_created(record, new))
        for participant in new.participants:
            rights_changed(tx, new.member_id, participant.staff_id)
        return self._view(tx, record, tx.now)

    def end(self, tx: Tx, session_id: str, reason: str, outcome: str, actor: str) -> SessionView:
        """End the session; its open requests go on. The same end by the same ``actor`` once more answers as the first did.

        Raises `Invalid`, `ForbiddenOrMissing`, and `Conflict` when it has ended otherwise.
        """
        end_reason, end_outcome = end_of(reason, outcome)
        record = self._require(tx, session_id)
        if record.publisher is not None:
            raise Conflict("A backend runs this session: its events end it.")
        if record.ended_at is not None:
            if (record.end_reason, record.outcome, record.ended_by) != (end_reason, end_outcome, actor):
                raise Conflict("The session has ended.")
            return self._view(tx, record, tx.now)
        records.move(tx, session_id, tx.now)
        records.end(tx, session_id, end_reason, end_outcome, actor)
        return self._ended(tx, session_id, end_reason, end_outcome)

    def expire(self, tx: Tx, session_id: str) -> bool:
        """End the session if nobody did anything in it for `SESSION_TTL` and one flush of touches longer; whether it did."""
        if self._pending(session_id) is not None:
            return False
        if not records.expire(tx, session_id, SessionEndReason.TIMEOUT, SessionOutcome.PARTIAL):
            return False
        self._ended(tx, session_id, SessionEndReason.TIMEOUT, SessionOutcome.PARTIAL)
        return True

    def join(self, tx: Tx, session_id: str, staff_id: str, role: AssigneeRole) -> SessionView:
        """Let a staff member take part; who does already stays as they joined. Raises `ForbiddenOrMissing`, `Conflict`."""
        self.activity(tx, session_id)
        record = self._require(tx, session_id)
        if records.add_participant(tx, session_id, staff_id, role):
            rights_changed(tx, record.member_id, staff_id)
        return self._view(tx, record, tx.now)

    def activity(self, tx: Tx, session_id: str) -> None:
        """Somebody did something in the session: it lives on from now, and says so if it was idle.

        Raises `ForbiddenOrMissing` without such a session, `Conflict` when it has ended.
        """
        before = self.require_open(tx, session_id)
        records.move(tx, session_id, tx.now)
        work = self._active_work(tx, session_id)
        if state_of(tx.now, self._last_activity(before), None, len(work.service_requests)) is LifeState.IDLE:
            self._announce(tx, session_id, work)

    def request_opened(self, tx: Tx, session_id: str) -> None:
        """A request of the session was stored: that is activity, and the session waits for it.

        To be called behind the insert, so that `active_work` knows the request. Raises `ForbiddenOrMissing`, `Conflict`.
        """
        self.activity(tx, session_id)
        work = self._active_work(tx, session_id)
        if len(work.service_requests) == 1:
            self._announce(tx, session_id, work)

    def request_closed(self, tx: Tx, session_id: str) -> None:
        """A request of the session was stored as ended (`active_work` no longer has it). Nothing when the session has ended."""
        record = records.by_id(tx, session_id)
        if record is None or record.ended_at is not None:
            return
        work = self._active_work(tx, session_id)
        if not work.service_requests:
            announce(tx, record, self._last_activity(record), work)

    def announce(self, tx: Tx, session_id: str) -> None:
        """Emit ``session.active``, unless the session has ended."""
        record = records.by_id(tx, session_id)
        if record is not None and record.ended_at is None:
            announce(tx, record, self._last_activity(record), self._active_work(tx, session_id))

    # ------------------------------------------------------------------------------------------------------------- reads

    def owner(self, reader: Reader, session_id: str) -> str | None:
        """Id of the session's member."""
        return records.owner(reader, session_id)

    def require_open(self, reader: Reader, session_id: str) -> SessionRecord:
        """The session. Raises `ForbiddenOrMissing` without one, `Conflict` when it has ended."""
        record = self._require(reader, session_id)
        if record.ended_at is not None:
            raise Conflict("The session has ended.")
        return record

    def view(self, reader: Reader, session_id: str, now: datetime) -> SessionView | None:
        """The session as it is at ``now``, touches that this process holds included."""
        record = records.by_id(reader, session_id)
        return None if record is None else self._view(reader, record, now)

    def active_on_device(self, reader: Reader, member_id: str, device_id: str, now: datetime) -> SessionView | None:
        """The member's most recently active open session on the device."""
        return next((view for view in self.open_of(reader, member_id, now) if view.device_id == device_id), None)

    def joined_last(self, reader: Reader, staff_id: str, now: datetime) -> SessionView | None:
        """Of the open sessions that the staff member takes part in, the one joined last."""
        views = (self._view(reader, record, now) for record in records.open_with(reader, staff_id))
        return next((view for view in views if view.expires_at > now), None)

    def ended_by(self, reader: Reader, session_id: str) -> str | None:
        """The ``actor`` who ended the session; None while it is open, and when it ended by silence."""
        record = records.by_id(reader, session_id)
        return None if record is None else record.ended_by

    def most_recent(self, reader: Reader, member_id: str, now: datetime) -> SessionView | None:
        """The member's most recently active open session."""
        return next(iter(self.open_of(reader, member_id, now)), None)

    def open_of(self, reader: Reader, member_id: str, now: datetime) -> list[SessionView]:
        """The member's open sessions, the most recently active first. One that only waits for the sweeper is none."""
        views = [self._view(reader, record, now) for record in records.open_of(reader, member_id)]
        alive = [view for view in views if view.expires_at > now]
        return sorted(alive, key=lambda view: (view.last_activity_at, view.session_id), reverse=True)

    # ---------------------------------------------------------------------------------------------------------- the parts

    def _require(self, reader: Reader, session_id: str) -> SessionRecord:
        record = records.by_id(reader, session_id)
        if record is None:
            raise ForbiddenOrMissing
        return record

    def _last_activity(self, record: SessionRecord) -> datetime:
        """A touch counts before it is written, but not for a session that has ended."""
        pending = None if record.ended_at is not None else self._pending(record.session_id)
        return record.last_activity_at if pending is None else max(record.last_activity_at, pending)

    def _view(self, reader: Reader, record: SessionRecord, now: datetime) -> SessionView:
        return view_of(reader, record, self._last_activity(record), now, self._active_work)

    def _announce(self, tx: Tx, session_id: str, work: ActiveWork) -> None:
        record = self._require(tx, session_id)
        announce(tx, record, self._last_activity(record), work)

    def _ended(self, tx: Tx, session_id: str, reason: SessionEndReason, outcome: SessionOutcome) -> SessionView:
        record = self._require(tx, session_id)
        work = self._ended_work(tx, session_id)
        tx.emit(
            SessionEndedEvent(
                session_id=session_id,
                member_id=record.member_id,
                ended_at=tx.now,
                duration_seconds=max(0, int((tx.now - record.created_at).total_seconds())),
                reason=reason,
                outcome=outcome,
                completed_service_requests=work.service_requests,
                completed_tasks=work.tasks,
            )
        )
        for staff_id in records.staff_of(tx, session_id):
            rights_changed(tx, record.member_id, staff_id)
        return self._view(tx, record, tx.now)


def _new_record(tx: Tx, new: NewSession) -> SessionRecord:
    now_us = to_micros(tx.now)
    return SessionRecord(
        session_id=tx.mint("sess"),
        member_id=new.member_id,
        account_id=new.account_id,
        type=new.type,
        channel=new.channel,
        intent=new.intent,
        metadata=None if new.metadata is None else json.dumps(dict(new.metadata), ensure_ascii=False),
        device_id=new.device_id,
        previous_session_id=new.previous_session_id,
        created_us=now_us,
        last_activity_us=now_us,
        ended_us=None,
        end_reason=None,
        outcome=None,
        ended_by=None,
    )


def _created(record: SessionRecord, new: NewSession) -> SessionCreatedEvent:
    return SessionCreatedEvent(
        session_id=record.session_id,
        member_id=record.member_id,
        account_id=UNSET if record.account_id is None else record.account_id,
        session_type=SessionType(record.type),
        channel=SessionChannel(record.channel),
        created_at=record.created_at,
        initiator_id=new.initiator_id,
        intent=UNSET if new.intent is None else new.intent,
        metadata=UNSET if new.metadata is None else dict(new.metadata),
        previous_session_id=UNSET if record.previous_session_id is None else record.previous_session_id,
        device_id=UNSET if record.device_id is None else record.device_id,
    )
