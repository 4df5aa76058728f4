"""What of this room time takes away: rows that no living token, connection or opening is meant by any more."""

from __future__ import annotations

from session_platform.access import glass, relations, revocations
from session_platform.store import Tx


def forget_past(tx: Tx) -> int:
    """Delete changes of rights that every gateway has read or has closed over, revocations of tokens that have ended by
    themselves, and break-glass openings that are over: how many rows. What happened stays in the audit."""
    changes = relations.forget_changes(tx, tx.now - relations.KEPT_FOR)
    return changes + revocations.forget_revocations(tx) + glass.forget_openings(tx)
