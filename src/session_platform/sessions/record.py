"""A session as it lies in the store: the SQL of this room and the row it reads."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from session_platform.clock import from_micros, to_micros
from session_platform.sessions.model import ACTIVE_EVERY, FLUSH_EVERY, IDLE_AFTER, SESSION_TTL
from session_platform.store.port import Reader, Row, Tx

_MICROSECOND: Final = timedelta(microseconds=1)

# A literal list of columns: the record reads them in this order.
_BY_ID: Final = """
SELECT session_id, member_id, account_id, type, channel, intent, metadata, device_id, previous_session_id, created_at,
    last_activity_at, ended_at, end_reason, outcome, ended_by, publisher, completing
FROM session WHERE session_id = :session_id
"""
_OPEN_OF: Final = """
SELECT session_id, member_id, account_id, type, channel, intent, metadata, device_id, previous_session_id, created_at,
    last_activity_at, ended_at, end_reason, outcome, ended_by, publisher, completing
FROM session WHERE member_id = :member_id AND ended_at IS NULL
"""
_OWNER: Final = "SELECT member_id FROM session WHERE session_id = :session_id"
_PARTICIPANTS: Final = """
SELECT id, role, joined_at FROM session_participant WHERE session_id = :session_id ORDER BY joined_at, id
"""
# From the few open sessions of a member, each looked up by its key: a staff member's past sessions may be thousands. A member
# takes part in their own by that very id, and ids of members and staff are two name spaces.
_OPEN: Final = "SELECT COUNT(*) FROM session WHERE ended_at IS NULL"
_PARTICIPATES: Final = """
SELECT 1 FROM session WHERE member_id = :member_id AND ended_at IS NULL AND EXISTS (
    SELECT 1 FROM session_participant
    WHERE session_participant.session_id = session.session_id AND id = :staff_id AND role <> 'MEMBER'
)
"""
_STAFF_OF: Final = "SELECT id FROM session_participant WHERE session_id = :session_id AND role <> 'MEMBER' ORDER BY id"
_OPEN_WITH: Final = """
SELECT session.session_id, member_id, account_id, type, channel, intent, metadata, device_id, previous_session_id, created_at,
    last_activity_at, ended_at, end_reason, outcome, ended_by, publisher, completing
FROM session_participant JOIN session ON session.session_id = session_participant.session_id
WHERE session_participant.id = :staff_id AND session_participant.role <> 'MEMBER' AND ended_at IS NULL
ORDER BY joined_at DESC, session.session_id DESC
"""
_INSERT: Final = """
INSERT INTO session (session_id, member_id, account_id, type, channel, intent, metadata, device_id, previous_session_id,
    initiator_id, created_at, last_activity_at)
VALUES (:session_id, :member_id, :account_id, :type, :channel, :intent, :metadata, :device_id, :previous_session_id,
    :initiator_id, :now, :now)
"""
_ADD_PARTICIPANT: Final = """
INSERT INTO session_participant (session_id, id, role, joined_at) VALUES (:session_id, :id, :role, :now)
ON CONFLICT (session_id, id) DO NOTHING
"""
# Where an older time comes late (a clock that stepped back, a touch overtaken by a command), the newer one stays.
_MOVE: Final = """
UPDATE session SET last_activity_at = :at WHERE session_id = :session_id AND ended_at IS NULL AND last_activity_at < :at
"""
_END: Final = """
UPDATE session SET ended_at = :now, end_reason = :reason, outcome = :outcome, ended_by = :ended_by
WHERE session_id = :session_id AND ended_at IS NULL
"""
# The condition is checked once more by the statement that ends: a touch may have been committed since the session was found.
_EXPIRE: Final = """
UPDATE session SET ended_at = :now, end_reason = :reason, outcome = :outcome
WHERE session_id = :session_id AND ended_at IS NULL AND last_activity_at <= :silent_since
"""
_SILENT: Final = """
SELECT session_id, member_id FROM session WHERE ended_at IS NULL AND last_activity_at <= :silent_since
ORDER BY last_activity_at LIMIT :limit
"""
# Due: another whole period since creation is over, or the session fell idle, since the monitor looked last. One that only waits
# for the sweeper says nothing more.
_TO_ANNOUNCE: Final = """
SELECT session_id, member_id FROM session
WHERE ended_at IS NULL AND last_activity_at > :silent_since AND (
    (:now - created_at) / :period > (:before - created_at) / :period
    OR (last_activity_at >= :before - :idle AND last_activity_at < :now - :idle)
)
ORDER BY member_id, session_id
"""


class SessionRecord(NamedTuple):
    """``metadata`` is JSON; times are microseconds, as stored. ``publisher`` is the backend whose events introduced the session
    (None: the platform runs it); ``completing``: it says that the session is wrapping up."""

    session_id: str
    member_id: str
    account_id: str | None
    type: str
    channel: str
    intent: str | None
    metadata: str | None
    device_id: str | None
    previous_session_id: str | None
    created_us: int
    last_activity_us: int
    ended_us: int | None
    end_reason: str | None
    outcome: str | None
    ended_by: str | None
    publisher: str | None = None
    completing: int = 0

    @property
    def created_at(self) -> datetime:
        return from_micros(self.created_us)

    @property
    def last_activity_at(self) -> datetime:
        return from_micros(self.last_activity_us)

    @property
    def ended_at(self) -> datetime | None:
        return None if self.ended_us is None else from_micros(self.ended_us)


class Due(NamedTuple):
    """A session that the monitor has to look at, and the timeline it is on."""

    session_id: str
    member_id: str


def by_id(reader: Reader, session_id: str) -> SessionRecord | None:
    row = reader.one(_BY_ID, session_id=session_id)
    return None if row is None else SessionRecord(*row)


def open_of(reader: Reader, member_id: str) -> list[SessionRecord]:
    return [SessionRecord(*row) for row in reader.all(_OPEN_OF, member_id=member_id)]


def owner(reader: Reader, session_id: str) -> str | None:
    row = reader.one(_OWNER, session_id=session_id)
    return None if row is None else str(row[0])


def participants(reader: Reader, session_id: str) -> list[Row]:
    """Id, role and time of joining (microseconds), first come first."""
    return reader.all(_PARTICIPANTS, session_id=session_id)


def open_sessions(reader: Reader) -> int:
    """How many sessions of all members have not ended."""
    row = reader.one(_OPEN)
    return 0 if row is None else int(row[0])


def participates(reader: Reader, staff_id: str, member_id: str) -> bool:
    """Whether the staff member takes part in an open session of the member: a care relationship for as long as that is so."""
    return reader.one(_PARTICIPATES, staff_id=staff_id, member_id=member_id) is not None


def staff_of(reader: Reader, session_id: str) -> list[str]:
    """Ids of the staff who take part, or took part."""
    return [staff_id for (staff_id,) in reader.all(_STAFF_OF, session_id=session_id)]


def open_with(reader: Reader, staff_id: str) -> list[SessionRecord]:
    """The open sessions that the staff member takes part in, the one joined last first."""
    return [SessionRecord(*row) for row in reader.all(_OPEN_WITH, staff_id=staff_id)]


def insert(tx: Tx, record: SessionRecord, initiator_id: str) -> None:
    tx.execute(
        _INSERT,
        session_id=record.session_id,
        member_id=record.member_id,
        account_id=record.account_id,
        type=record.type,
        channel=record.channel,
        intent=record.intent,
        metadata=record.metadata,
        device_id=record.device_id,
        previous_session_id=record.previous_session_id,
        initiator_id=initiator_id,
        now=record.created_us,
    )


def add_participant(tx: Tx, session_id: str, participant_id: str, role: str) -> bool:
    """Whoever takes part already stays as they joined: then False."""
    return tx.execute(_ADD_PARTICIPANT, session_id=session_id, id=participant_id, role=role, now=to_micros(tx.now)) > 0


def move(tx: Tx, session_id: str, at: datetime) -> bool:
    """Move the last activity forward to ``at``; False when it is there already or the session has ended."""
    return tx.execute(_MOVE, session_id=session_id, at=to_micros(at)) > 0


def end(tx: Tx, session_id: str, reason: str, outcome: str, ended_by: str) -> None:
    tx.execute(_END, session_id=session_id, reason=reason, outcome=outcome, ended_by=ended_by, now=to_micros(tx.now))


def expire(tx: Tx, session_id: str, reason: str, outcome: str) -> bool:
    """End the session if it was silent for long enough; False when it was not, or has ended."""
    silent_since = _silent_since(tx.now)
    ended = tx.execute(
        _EXPIRE, session_id=session_id, reason=reason, outcome=outcome, now=to_micros(tx.now), silent_since=silent_since
    )
    return ended > 0


def silent(reader: Reader, now: datetime, limit: int) -> list[Due]:
    """Open sessions to expire, the longest silent first."""
    return [Due(*row) for row in reader.all(_SILENT, silent_since=_silent_since(now), limit=limit)]


def to_announce(reader: Reader, before: datetime, now: datetime) -> list[Due]:
    """Open sessions that became due between ``before`` (exclusive) and ``now``, those of one member side by side."""
    rows = reader.all(
        _TO_ANNOUNCE,
        before=to_micros(before),
        now=to_micros(now),
        period=ACTIVE_EVERY // _MICROSECOND,
        idle=IDLE_AFTER // _MICROSECOND,
        silent_since=_silent_since(now),
    )
    return [Due(*row) for row in rows]


def _silent_since(now: datetime) -> int:
    return to_micros(now - SESSION_TTL - FLUSH_EVERY)
