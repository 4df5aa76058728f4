"""What of this room time takes away."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from session_platform.eligibility import checks, stored
from session_platform.store.port import Tx

ROWS_A_TRANSACTION: Final = 500


def forget(tx: Tx, before: datetime) -> int:
    """Delete checks that ended before that time, and coverage that another took the place of before it; some of each: how many
    rows, 0 when none is left. What is known of an account now stays for ever."""
    return checks.forget(tx, before, ROWS_A_TRANSACTION) + stored.forget(tx, before, ROWS_A_TRANSACTION)
