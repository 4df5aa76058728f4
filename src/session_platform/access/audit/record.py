"""Audit records: who did or read what, or was refused, written in the transaction of the thing itself.

A record is inserted outside the chain, because a chain inside the transaction would make every caller wait for every other; the
sealer gives it its place within about a second.
"""

from __future__ import annotations

from typing import Final, Literal

from session_platform.clock import to_micros
from session_platform.store import Tx

Outcome = Literal["allowed", "refused"]

_INSERT: Final = """
INSERT INTO audit (audit_id, at, actor, action, member_id, session_id, outcome, reason)
VALUES (:audit_id, :at, :actor, :action, :member_id, :session_id, :outcome, :reason)
"""


def record(  # noqa: PLR0913 (an audit record is that wide)
    tx: Tx,
    *,
    actor: str,
    action: str,
    outcome: Outcome,
    member_id: str | None = None,
    session_id: str | None = None,
    reason: str | None = None,
) -> None:
    """Add a record. ``actor`` is the token's ``sub``; ``action`` a dotted name such as ``context.read``; ``reason`` the error
    code of a refusal, what a person gave as a reason, or whom an operator's act was about. The time is the transaction's."""
    tx.execute(
        _INSERT,
        audit_id=tx.mint("aud"),
        at=to_micros(tx.now),
        actor=actor,
        action=action,
        member_id=member_id,
        session_id=session_id,
        outcome=outcome,
        reason=reason,
    )
