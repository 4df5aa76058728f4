"""Break-glass: a clinician who must read what no relationship opens, for a reason that stays on record. Reads only."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from typing import Final

from session_platform.access import audit
from session_platform.access.identity import Identity, StaffIdentity, StaffRole
from session_platform.clock import to_micros
from session_platform.errors import BadRequest, ForbiddenOrMissing
from session_platform.store import Reader, Tx

OPEN_FOR: Final = timedelta(minutes=60)
REASON_MAX_CHARACTERS: Final = 1_000
ACTION: Final = "break_glass"

_SEEN: Final = frozenset("LNPS")
"""Unicode's letters, numbers, punctuation and symbols: the rest leaves no trace on a page."""

_OPEN: Final = """
INSERT INTO break_glass (staff_id, member_id, until) VALUES (:staff_id, :member_id, :until)
ON CONFLICT (staff_id, member_id) DO UPDATE SET until = excluded.until
"""
_UNTIL: Final = "SELECT until FROM break_glass WHERE staff_id = :staff_id AND member_id = :member_id"
_FORGET: Final = "DELETE FROM break_glass WHERE until < :now"


def may_break_glass(identity: Identity) -> bool:
    """Whether this role has it at all."""
    return isinstance(identity, StaffIdentity) and StaffRole.CLINICIAN in identity.roles


def fault_of(reason: str) -> str | None:
    """What keeps a reason from going on record, in words that follow "it"; None: nothing."""
    if not 1 <= len(reason) <= REASON_MAX_CHARACTERS:
        return f"must have 1 to {REASON_MAX_CHARACTERS} characters"
    if any(unicodedata.category(char) == "Cc" for char in reason):
        return "must have no control characters"
    if not any(unicodedata.category(char)[0] in _SEEN for char in reason):
        return "must have something that can be read"
    return None


def reason_of(text: str) -> str:
    """A reason as it goes on record. Raises `BadRequest` for one that is empty, above 1,000 characters, or not plain text."""
    reason = text.strip()
    fault = fault_of(reason)
    if fault is not None:
        raise BadRequest(f"A break-glass reason {fault}.")
    return reason


def break_glass(tx: Tx, identity: Identity, member_id: str, reason: str) -> None:
    """Open the REST reads of ``member_id`` to this clinician for 60 minutes from now, and record it (action ``break_glass``,
    with the reason). Once more begins the 60 minutes anew.

    Raises `ForbiddenOrMissing` for who is no clinician, which the caller records (nothing of ``tx`` stays then), and
    `BadRequest` for an unacceptable reason.
    """
    given = reason_of(reason)
    if not isinstance(identity, StaffIdentity) or not may_break_glass(identity):
        raise ForbiddenOrMissing
    until = to_micros(tx.now + OPEN_FOR)
    tx.execute(_OPEN, staff_id=identity.staff_id, member_id=member_id, until=until)
    audit.record(tx, actor=identity.subject, action=ACTION, outcome="allowed", member_id=member_id, reason=given)


def is_open(reader: Reader, identity: Identity, member_id: str, now: datetime) -> bool:
    """Whether this clinician opened that member's reads less than 60 minutes ago."""
    if not isinstance(identity, StaffIdentity) or not may_break_glass(identity):
        return False
    row = reader.one(_UNTIL, staff_id=identity.staff_id, member_id=member_id)
    return row is not None and to_micros(now) < int(row[0])


def forget_openings(tx: Tx) -> int:
    """Delete what is not open any more: how many. The record of it stays in the audit."""
    return tx.execute(_FORGET, now=to_micros(tx.now))
