"""Each event takes effect once in each consumer group, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.errors import Conflict
from session_platform.store import Store, Tx, inbox, retention
from session_platform.store.inbox import InboxGap
from tests.store.adapters import Adapter
from tests.store.samples import effect, effects, make_effects, started


async def advance(store: Store, seq: int, group: str = "twin", generation: int = 0) -> bool:
    return await store.run(lambda tx: inbox.advance(tx, group, "M1", seq, generation), "M1")


async def test_an_event_is_new_once(store: Store) -> None:
    assert [await advance(store, seq) for seq in (1, 1, 2, 1, 2, 3)] == [True, False, True, False, False, True]


async def test_groups_timelines_and_generations_are_apart(store: Store) -> None:
    assert await advance(store, 1)
    assert await advance(store, 1, group="notifications")
    assert await advance(store, 1, generation=1)
    assert await store.run(lambda tx: inbox.advance(tx, "twin", "M2", 1), "M2")
    assert not await advance(store, 1)


@pytest.mark.parametrize("seq", [2, 5])
async def test_a_gap_at_the_beginning_raises_and_changes_nothing(store: Store, seq: int) -> None:
    with pytest.raises(InboxGap):
        await advance(store, seq)
    assert await advance(store, 1)


async def test_a_gap_later_raises_and_changes_nothing(store: Store) -> None:
    await advance(store, 1)
    with pytest.raises(InboxGap):
        await advance(store, 3)
    assert await advance(store, 2)


async def test_an_event_whose_effect_failed_is_still_new(store: Store) -> None:
    def fails(tx: Tx) -> None:
        assert inbox.advance(tx, "twin", "M1", 1)
        raise Conflict

    with pytest.raises(Conflict):
        await store.run(fails, "M1")
    assert await advance(store, 1)


async def test_a_new_group_begins_where_retention_left_off(store: Store, clock: ManualClock) -> None:
    await store.run(lambda tx: [tx.emit(started("M1")) for _ in range(4)], "M1")
    clock.advance(60)
    await store.run(lambda tx: retention.prune(tx, "M1", clock.now() - timedelta(seconds=1), min_keep=1), "M1")
    with pytest.raises(InboxGap):
        await advance(store, 5)
    assert await advance(store, 4)
    assert not await advance(store, 2)


@settings(max_examples=25, deadline=None)
@given(deliveries=st.lists(st.integers(1, 6), max_size=40))
def test_whatever_is_delivered_each_event_takes_effect_once_and_in_order(adapter: Adapter, deliveries: list[int]) -> None:
    async def scenario() -> None:
        async with adapter.home(ManualClock()) as reopen:
            store = await reopen()
            order: list[int] = []

            def handle(seq: int) -> Callable[[Tx], None]:
                def command(tx: Tx) -> None:
                    if inbox.advance(tx, "twin", "M1", seq):
                        effect(f"{seq}")(tx)
                        order.append(seq)

                return command

            await store.run(make_effects)
            await asyncio.gather(*(store.run(handle(seq), "M1") for seq in deliveries), return_exceptions=True)
            taken = await store.read(effects)
            assert order == list(range(1, len(order) + 1))
            assert taken == {f"{seq}": 1 for seq in order}

    asyncio.run(scenario())
