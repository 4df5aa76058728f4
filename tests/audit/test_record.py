"""Audit records live and die with the transaction that they tell of."""

from __future__ import annotations

import pytest

from session_platform.access import audit
from session_platform.clock import ManualClock, to_micros
from session_platform.errors import Conflict
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore

ROWS = "SELECT audit_id, at, actor, action, member_id, session_id, outcome, reason FROM audit ORDER BY id"


async def test_a_record_says_who_did_what_to_whom_and_when(store: SqliteStore, clock: ManualClock) -> None:
    def command(tx: Tx) -> None:
        audit.record(tx, actor="s1", action="context.read", outcome="allowed", member_id="M1", session_id="sess_1")
        audit.record(tx, actor="s2", action="subscribe", outcome="refused", reason="forbidden_or_missing")

    await store.run(command)
    first, second = await store.read(lambda reader: reader.all(ROWS))
    assert first[1:] == (to_micros(clock.now()), "s1", "context.read", "M1", "sess_1", "allowed", None)
    assert second[1:] == (to_micros(clock.now()), "s2", "subscribe", None, None, "refused", "forbidden_or_missing")
    assert first[0] < second[0]


async def test_a_record_of_something_that_was_rolled_back_is_not_there(store: SqliteStore) -> None:
    def command(tx: Tx) -> None:
        audit.record(tx, actor="s1", action="session.create", outcome="allowed")
        raise Conflict

    with pytest.raises(Conflict):
        await store.run(command)
    assert await store.read(lambda reader: reader.all(ROWS)) == []
