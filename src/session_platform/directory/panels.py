"""Panels: which members a staff member cares for, as the seed says and as administrators made it since.

What an administrator said stands in a table of its own, over the seed: so one member can be taken off a panel of everybody, and
a start with the same seed brings nobody back.
"""

from __future__ import annotations

from typing import Final

from session_platform.directory.lookup import member, staff
from session_platform.errors import ForbiddenOrMissing
from session_platform.store.port import Reader, Tx

_OVERRIDE: Final = "SELECT present FROM panel_override WHERE staff_id = :staff_id AND member_id = :member_id"
_SEEDED: Final = "SELECT member_id FROM panel WHERE staff_id = :staff_id AND member_id IN (:member_id, '*')"
_SAY: Final = """
INSERT INTO panel_override (staff_id, member_id, present) VALUES (:staff_id, :member_id, :present)
ON CONFLICT (staff_id, member_id) DO UPDATE SET present = excluded.present
"""


def on_panel(reader: Reader, staff_id: str, member_id: str) -> bool:
    """Whether the member is on the staff member's panel; a panel of everybody holds whoever exists, by list or by pattern."""
    said = reader.one(_OVERRIDE, staff_id=staff_id, member_id=member_id)
    listed = reader.one(_SEEDED, staff_id=staff_id, member_id=member_id) is not None if said is None else bool(said[0])
    return listed and member(reader, member_id) is not None


def put_on_panel(tx: Tx, staff_id: str, member_id: str) -> bool:
    """Put the member on the panel; whether that changed anything. Raises `ForbiddenOrMissing` when there is no such staff
    member or member."""
    return _say(tx, staff_id, member_id, present=True)


def take_off_panel(tx: Tx, staff_id: str, member_id: str) -> bool:
    """Take the member off the panel, as `put_on_panel` puts them on it."""
    return _say(tx, staff_id, member_id, present=False)


def _say(tx: Tx, staff_id: str, member_id: str, *, present: bool) -> bool:
    if staff(tx, staff_id) is None or member(tx, member_id) is None:
        raise ForbiddenOrMissing
    changed = on_panel(tx, staff_id, member_id) is not present
    # Also where the seed says the same: a seed may change, what an administrator said stays.
    tx.execute(_SAY, staff_id=staff_id, member_id=member_id, present=int(present))
    return changed
