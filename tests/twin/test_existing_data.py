"""A data directory of the first release: what happened before there was a twin is in it after the first start."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import msgspec
import pytest

from session_platform import eligibility, twin
from session_platform.clock import ManualClock
from session_platform.contract import CoverageDetails, CoverageStatus
from session_platform.ids import IdMint
from session_platform.log import Group
from session_platform.store import outbox
from session_platform.store.sqlite import SqliteStore
from session_platform.store.sqlite.database import DATABASE_FILE, migrations
from tests.twin.made_up import MEMBER, START, event, stored

VERSIONS = (
    "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, probes INTEGER NOT NULL DEFAULT 0) STRICT"
)
APPEND = "INSERT INTO outbox (timeline, epoch, seq, tag, event_id, name, at, full_body) VALUES (?, 1, ?, ?, ?, ?, 0, ?)"
HEAD = (
    "INSERT INTO timeline_head (timeline, last_epoch, last_seq, last_tag, pruned_epoch, pruned_seq) VALUES (?, 1, ?, ?, 1, ?)"
)
COVERAGE = "INSERT INTO coverage (coverage_id, account_id, details, at) VALUES (?, ?, ?, ?)"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The first event is pruned already; the account has had three answers."""
    connection = apsw.Connection(str(tmp_path / DATABASE_FILE))
    (name, script), *_ = migrations()
    connection.execute(VERSIONS)
    connection.execute(script)
    connection.execute("INSERT INTO schema_version (version, name) VALUES (1, ?)", (name,))
    told = [(event(act, which, START), START) for act, which in (("assigned", 1), ("created", 1), ("care_plan", 1))]
    events = stored(told)
    for each in events[1:]:
        connection.execute(APPEND, (MEMBER, each.seq, each.tag, f"evt_{each.seq}", each.name, each.body))
    connection.execute(HEAD, (MEMBER, 3, events[-1].tag, 1))
    for number, account_id in enumerate(("A1", "A1", "A2", "A1")):
        details = CoverageDetails(account_id=account_id, coverage_status=CoverageStatus.ACTIVE, plan_name=f"plan {number}")
        connection.execute(COVERAGE, (f"cov_{number}", account_id, msgspec.json.encode(details), number))
    connection.close()
    return tmp_path


async def test_the_twin_holds_what_is_kept_from_before(directory: Path) -> None:
    store = await SqliteStore.open(directory, ManualClock(START), IdMint())
    for _ in range(2):
        known = await store.read(lambda reader: twin.read(reader, MEMBER, START))
        assert known.position == (await store.read(lambda reader: outbox.head(reader, MEMBER))).last
        assert known.care_plan is not None
        assert (known.engagement.sessions_last_30_days, known.engagement.open_tasks) == (1, 0)
        await Group(store, twin.GROUP, twin.handle, replayable=True).catch_up()
    rows = await store.read(lambda reader: reader.all("SELECT seq, state FROM twin"))
    assert [(seq, json.loads(state)["care_plan"]["care_plan_id"]) for seq, state in rows] == [(3, "cp_1")]
    await store.close()


async def test_each_accounts_newest_coverage_is_the_current_one_and_the_older_ones_may_go(directory: Path) -> None:
    store = await SqliteStore.open(directory, ManualClock(START), IdMint())
    known = await store.read(lambda reader: eligibility.coverage_of(reader, ["A1", "A2", "A3"]))
    assert [each.plan_name for each in known] == ["plan 3", "plan 2"]
    assert await store.run(lambda tx: eligibility.forget(tx, START)) == 2
    assert await store.run(lambda tx: eligibility.forget(tx, START)) == 0
    left = await store.read(lambda reader: reader.all("SELECT coverage_id FROM coverage ORDER BY coverage_id"))
    assert left == [("cov_2",), ("cov_3",)]
    await store.close()
