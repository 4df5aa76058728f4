"""The twin beside the log: whoever reads gets what the member's events add up to, however far the group has come."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform import twin
from session_platform.clock import ManualClock
from session_platform.contract import DurableEvent
from session_platform.ids import IdMint
from session_platform.log import Group
from session_platform.store import GENESIS, Position, Store, Tx, outbox, retention
from session_platform.store.sqlite import SqliteStore
from session_platform.twin import Known
from session_platform.twin.model import EMPTY, engagement, fold
from session_platform.twin.stored import AHEAD_MAX_EVENTS
from tests.twin.made_up import MEMBER, START, acts, event

Act = tuple[str, int, int]
_SPOIL = "UPDATE outbox SET full_body = :body, redacted_body = NULL WHERE timeline = :timeline AND seq = :seq"
_MEND = "UPDATE outbox SET full_body = :body WHERE timeline = :timeline AND seq = :seq"


def group(store: Store) -> Group:
    return Group(store, twin.GROUP, twin.handle, replayable=True)


async def live(store: Store, *told: tuple[str, int], at: datetime = START) -> None:
    """Commit these events of the member."""
    events: list[DurableEvent] = [event(act, which, at) for act, which in told]
    await store.run(lambda tx: [tx.emit(each) for each in events], MEMBER)


async def read(store: Store, now: datetime = START) -> Known:
    return await store.read(lambda reader: twin.read(reader, MEMBER, now))


async def expected(store: Store, now: datetime = START) -> Known:
    """By folding everything that is kept."""
    events = await store.read(lambda reader: outbox.page(reader, MEMBER, 0, 100_000))
    whole = reduce(fold, events, EMPTY)
    return Known(whole.care_plan, engagement(whole, now), events[-1].position if events else GENESIS)


async def head(store: Store) -> Position:
    return (await store.read(lambda reader: outbox.head(reader, MEMBER))).last


async def test_a_member_of_whom_nobody_has_heard(store: SqliteStore) -> None:
    assert await read(store) == Known(None, engagement(EMPTY, START), GENESIS)


async def test_what_the_group_has_not_come_to_is_read_all_the_same(store: SqliteStore) -> None:
    await live(store, ("created", 1), ("care_plan", 1))
    assert await read(store) == await expected(store)
    await group(store).catch_up()
    assert await read(store) == await expected(store)
    await live(store, ("created", 2), ("assigned", 2))
    known = await read(store)
    assert known == await expected(store)
    assert known.position == await head(store)
    assert (known.engagement.sessions_last_30_days, known.engagement.open_tasks) == (2, 1)


async def test_members_are_apart(store: SqliteStore) -> None:
    other = event("created", 1, START, "M777777")
    await store.run(lambda tx: tx.emit(other), "M777777")
    await live(store, ("assigned", 1))
    await group(store).catch_up()
    known = await read(store)
    assert (known.engagement.sessions_last_30_days, known.engagement.open_tasks) == (0, 1)
    assert known.position.seq == 1


async def test_a_reader_adds_only_so_much_and_says_where_that_ends(store: SqliteStore) -> None:
    await live(store, *[("processing", 1)] * AHEAD_MAX_EVENTS, ("assigned", 1))
    known = await read(store)
    assert known.position.seq == AHEAD_MAX_EVENTS
    assert known.engagement.open_tasks == 0
    await group(store).catch_up()
    known = await read(store)
    assert known.position == await head(store)
    assert known.engagement.open_tasks == 1


@pytest.mark.parametrize("handled", [True, False])
async def test_reading_stops_before_what_cannot_be_read_and_so_does_the_group(store: SqliteStore, handled: bool) -> None:
    await live(store, ("created", 1))
    if handled:
        await group(store).catch_up()
    await live(store, ("assigned", 1), ("assigned", 2))
    (_, broken, _) = await store.read(lambda reader: outbox.page(reader, MEMBER, 0, 10))
    await store.run(lambda tx: tx.execute(_SPOIL, timeline=MEMBER, seq=2, body=b"{}"))
    for _ in range(2):
        known = await read(store)
        assert (known.position.seq, known.engagement.open_tasks) == (1, 0)
        assert known.engagement.sessions_last_30_days == 1
        await group(store).catch_up()
    await store.run(lambda tx: tx.execute(_MEND, timeline=MEMBER, seq=2, body=broken.body))
    assert await group(store).redrive(MEMBER) == (2, 0, None)
    assert await read(store) == await expected(store)


async def test_a_skipped_event_is_left_out_and_the_rest_is_there(store: SqliteStore) -> None:
    await live(store, ("created", 1), ("assigned", 1), ("assigned", 2))
    await store.run(lambda tx: tx.execute(_SPOIL, timeline=MEMBER, seq=2, body=b"{}"))
    await group(store).catch_up()
    await group(store).skip(MEMBER, 2)
    await group(store).redrive(MEMBER)
    known = await read(store)
    assert (known.position, known.engagement.open_tasks) == (await head(store), 1)


async def test_a_replay_shows_nobody_anything_but_its_end(store: SqliteStore) -> None:
    await live(store, ("created", 1), ("assigned", 1), ("done", 1), ("care_plan", 1), ("care_plan", 2))
    await group(store).catch_up()
    before = await read(store)
    again = group(store)
    await again.replay()

    def first_two(tx: Tx) -> None:
        for told in outbox.page(tx, MEMBER, 0, 2):
            twin.handle(tx, told)

    await store.run(first_two, MEMBER)
    assert await read(store) == before
    await again.catch_up()
    assert await read(store) == before
    assert await store.read(lambda reader: reader.one("SELECT again FROM twin")) == (None,)


async def test_what_is_older_than_the_history_outlives_a_replay(store: SqliteStore, clock: ManualClock) -> None:
    await live(store, ("created", 1), ("care_plan", 3), ("assigned", 2))
    await group(store).catch_up()
    clock.advance(60)
    now = clock.now()
    await store.run(lambda tx: retention.prune(tx, MEMBER, now, groups=(twin.GROUP,)), MEMBER)
    await live(store, ("assigned", 1))
    again = group(store)
    await again.catch_up()
    before = await read(store)
    await again.replay()
    await again.catch_up()
    after = await read(store)
    assert after == before
    assert after.care_plan is not None
    assert after.engagement.open_tasks == 2


async def test_a_group_that_begins_on_a_pruned_history_reads_from_its_edge(store: SqliteStore, clock: ManualClock) -> None:
    await live(store, ("assigned", 1), ("assigned", 2))
    clock.advance(60)
    now = clock.now()
    await store.run(lambda tx: retention.prune(tx, MEMBER, now, min_keep=1), MEMBER)
    for _ in range(2):
        known = await read(store)
        assert (known.position.seq, known.engagement.open_tasks) == (2, 1)
        await group(store).catch_up()
    await store.run(lambda tx: retention.prune(tx, MEMBER, now, groups=(twin.GROUP,)), MEMBER)
    assert (await read(store)).position == await head(store)


async def test_the_row_of_a_member_stays_small(store: SqliteStore, clock: ManualClock) -> None:
    for number in range(3):
        await live(store, ("created", number + 1), at=START + timedelta(days=20 * number))
        await group(store).catch_up()
        clock.advance(20 * 86_400)
    row = await store.read(lambda reader: reader.one("SELECT state FROM twin"))
    assert row is not None
    assert b"sess_1" not in row[0]
    assert b"sess_3" in row[0]


steps = st.lists(st.tuples(st.sampled_from(("live", "live", "catch up", "replay", "prune", "restart")), acts), max_size=25)


async def go_through(directory: Path, plan: Sequence[tuple[str, Act]]) -> None:
    clock = ManualClock(START)
    store = await SqliteStore.open(directory, clock, IdMint())
    whole = EMPTY
    for step, (act, which, minutes) in plan:
        if step == "live":
            clock.advance(minutes * 60)
            await live(store, (act, which), at=clock.now())
            (told,) = await store.read(lambda reader, seq=whole.seq: outbox.page(reader, MEMBER, seq, 10))  # type: ignore[misc]
            whole = fold(whole, told)
        elif step == "catch up":
            await group(store).catch_up()
        elif step == "replay":
            await group(store).replay()
        elif step == "prune":
            clock.advance(1)
            now = clock.now()
            await store.run(lambda tx, now=now: retention.prune(tx, MEMBER, now, groups=(twin.GROUP,), limit=2), MEMBER)  # type: ignore[misc]
        else:
            await store.close()
            store = await SqliteStore.open(directory, clock, IdMint())
        known = await read(store, clock.now())
        assert known == Known(whole.care_plan, engagement(whole, clock.now()), await head(store))
    await store.close()


@settings(max_examples=25, deadline=None)
@given(steps)
def test_whatever_happens_a_read_is_exact_at_the_head(plan: list[tuple[str, Act]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(go_through(Path(directory) / "data", plan))
