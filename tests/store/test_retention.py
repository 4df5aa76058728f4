"""A timeline loses a prefix and nothing else, and what it lost can still be named."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.store import GENESIS, Reader, Store, inbox, outbox, retention
from tests.store.adapters import Adapter
from tests.store.history import assert_whole
from tests.store.samples import started

A_WEEK_S = 7 * 24 * 3600.0


async def emit(store: Store, count: int = 1, member_id: str = "M1") -> None:
    await store.run(lambda tx: [tx.emit(started(member_id)) for _ in range(count)], member_id)


async def prune(store: Store, clock: ManualClock, **bounds: object) -> int:
    before = clock.now() - timedelta(seconds=A_WEEK_S)
    return await store.run(lambda tx: retention.prune(tx, "M1", before, **bounds), "M1")  # type: ignore[arg-type]


async def kept(store: Store) -> list[int]:
    await store.read(assert_whole)
    return [event.seq for event in await store.read(lambda reader: outbox.page(reader, "M1", 0, 100))]


async def test_what_is_old_goes_and_what_is_young_stays(store: Store, clock: ManualClock) -> None:
    await emit(store, 3)
    clock.advance(A_WEEK_S + 1)
    await emit(store, 2)
    assert await prune(store, clock) == 3
    assert await kept(store) == [4, 5]
    assert await prune(store, clock) == 0


async def test_the_edge_is_the_last_event_that_went(store: Store, clock: ManualClock) -> None:
    await emit(store, 3)
    events = await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))
    clock.advance(A_WEEK_S + 1)
    await prune(store, clock, min_keep=1)

    def positions(reader: Reader) -> list[object]:
        return [outbox.head(reader, "M1").pruned, *(outbox.position_at(reader, "M1", seq) for seq in range(4))]

    assert await store.read(positions) == [events[1].position, None, None, events[1].position, events[2].position]


async def test_an_old_event_behind_a_young_one_stays(store: Store, clock: ManualClock) -> None:
    clock.advance(A_WEEK_S)
    await emit(store)
    clock.advance(-A_WEEK_S - 10)
    await emit(store)
    clock.advance(A_WEEK_S + 10)
    assert await prune(store, clock) == 0
    assert await kept(store) == [1, 2]


async def test_a_timeline_that_lost_everything_goes_on_with_its_next_number(store: Store, clock: ManualClock) -> None:
    await emit(store, 3)
    highest = await store.read(outbox.last_id)
    clock.advance(A_WEEK_S + 1)
    assert await prune(store, clock) == 3
    head = await store.read(lambda reader: outbox.head(reader, "M1"))
    assert head.pruned == head.last != GENESIS
    assert await store.read(lambda reader: outbox.position_at(reader, "M1", 3)) == head.last
    await emit(store)
    (event,) = await store.read(lambda reader: outbox.after(reader, highest, 10))
    assert event.seq == 4, "a follower that remembers the highest id misses nothing"


async def test_a_little_goes_at_a_time(store: Store, clock: ManualClock) -> None:
    await emit(store, 5)
    clock.advance(A_WEEK_S + 1)
    assert [await prune(store, clock, limit=2) for _ in range(4)] == [2, 2, 1, 0]


async def test_what_a_group_has_not_handled_stays(store: Store, clock: ManualClock) -> None:
    await emit(store, 4)
    clock.advance(A_WEEK_S + 1)
    assert await prune(store, clock, groups=("twin",)) == 0
    for seq in (1, 2):
        await store.run(lambda tx, seq=seq: inbox.advance(tx, "twin", "M1", seq), "M1")  # type: ignore[misc]
    assert await prune(store, clock, groups=("twin",)) == 2
    await store.run(lambda tx: inbox.advance(tx, "twin", "M1", 3, generation=1), "M1")
    assert await prune(store, clock, groups=("twin",)) == 1, "the newest generation counts"
    assert await prune(store, clock, groups=("twin", "other")) == 0
    assert await kept(store) == [4]


async def test_nothing_goes_from_an_unwritten_timeline(store: Store, clock: ManualClock) -> None:
    assert await prune(store, clock) == 0


async def test_due_are_the_timelines_whose_first_event_is_old(store: Store, clock: ManualClock) -> None:
    await emit(store, 2, "M2")
    clock.advance(1)
    await emit(store, 2, "M1")
    clock.advance(A_WEEK_S)
    await emit(store, 1, "M3")

    async def due(limit: int) -> list[str]:
        before = clock.now() - timedelta(seconds=A_WEEK_S - 1)
        return await store.read(lambda reader: retention.due(reader, before, limit))

    assert await due(10) == ["M2", "M1"]
    assert await due(1) == ["M2"]
    clock.advance(1)
    await prune(store, clock)
    assert await due(10) == ["M2"]


steps = st.one_of(
    st.tuples(st.just("emit"), st.integers(1, 3)),
    st.tuples(st.just("pass"), st.integers(-2, 6)),
    st.tuples(st.just("prune"), st.integers(1, 4)),
    st.tuples(st.just("raise"), st.integers(0, 4)),
)


async def prune_and_check(store: Store, clock: ManualClock, limit: int, ages: list[datetime]) -> None:
    """``ages[seq]`` is when an event was emitted."""
    before = clock.now() - timedelta(seconds=5)
    edge = (await store.read(lambda reader: outbox.head(reader, "M1"))).pruned.seq
    went = await store.run(lambda tx: retention.prune(tx, "M1", before, limit=limit), "M1")
    rest = ages[edge + went + 1 :]
    assert all(age < before for age in ages[edge + 1 : edge + went + 1])
    assert went == limit or not rest or rest[0] >= before, "the longest prefix, or as much as may go at once"


@settings(max_examples=25, deadline=None)
@given(plan=st.lists(steps, max_size=25))
def test_whatever_happens_a_timeline_is_a_whole_suffix_and_its_edge_is_known(
    adapter: Adapter, plan: list[tuple[str, int]]
) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        async with adapter.home(clock) as reopen:
            store = await reopen()
            known = {0: GENESIS}
            ages = [clock.now()]
            for step, amount in plan:
                if step == "emit":
                    await emit(store, amount)
                    ages += [clock.now()] * amount
                    known |= {
                        event.seq: event.position
                        for event in await store.read(lambda reader: outbox.page(reader, "M1", 0, 999))
                    }
                elif step == "pass":
                    clock.advance(amount)
                elif step == "raise":
                    await store.run(lambda tx, amount=amount: outbox.raise_epoch(tx, "M1", amount), "M1")  # type: ignore[misc]
                else:
                    await prune_and_check(store, clock, amount, ages)
                await store.read(assert_whole)
                head = await store.read(lambda reader: outbox.head(reader, "M1"))
                assert head.last.seq == len(ages) - 1
                assert head.pruned == known[head.pruned.seq]

    asyncio.run(scenario())
