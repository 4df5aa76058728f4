"""``session.active``: what an open session says about itself. Unnumbered: it may be lost, and nobody acts on it alone."""

from __future__ import annotations

from datetime import datetime

from session_platform.contract import SessionActiveEvent, SessionState
from session_platform.sessions.model import ActiveWork, state_of
from session_platform.sessions.record import SessionRecord
from session_platform.store.port import Tx


def announce(tx: Tx, record: SessionRecord, last_activity_at: datetime, work: ActiveWork) -> None:
    """Emit ``session.active`` for an open session as it is in this transaction."""
    state = state_of(tx.now, last_activity_at, None, len(work.service_requests), completing=bool(record.completing))
    tx.emit_ephemeral(
        SessionActiveEvent(
            session_id=record.session_id,
            member_id=record.member_id,
            last_activity_at=last_activity_at,
            state=SessionState(state.value),
            active_service_requests=work.service_requests,
            active_tasks=work.tasks,
        )
    )
