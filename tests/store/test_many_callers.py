"""Whatever callers do at the same time, every timeline stays gapless and every acknowledged command is there exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.errors import Conflict
from session_platform.store import Store, Tx
from tests.store.adapters import Adapter
from tests.store.history import assert_whole
from tests.store.samples import Command, effect, effects, emitted, make_effects

MEMBERS = ("M1", "M2", "M3")


class Call(NamedTuple):
    """``emits`` names the members whose timelines get an event; what ``ends`` badly must leave nothing."""

    emits: tuple[str, ...]
    ends: str


calls = st.builds(
    Call,
    emits=st.lists(st.sampled_from(MEMBERS), max_size=4).map(tuple),
    ends=st.sampled_from(["well", "well", "well", "refused", "swallowed", "given up"]),
)


def command_of(name: str, call: Call) -> Command:
    def command(tx: Tx) -> list[int]:
        numbers = effect(name, *call.emits)(tx)
        if call.ends == "refused":
            raise Conflict
        if call.ends == "swallowed":
            try:
                tx.execute("INSERT INTO no_such_table (a) VALUES (1)")
            except Exception:
                return numbers
        return numbers

    return command


async def make_call(store: Store, name: str, call: Call) -> list[int] | None:
    """The numbers it was told, or None where it was told an error, or left before it was told anything."""
    running = asyncio.ensure_future(store.run(command_of(name, call), *set(call.emits)))
    if call.ends == "given up":
        await asyncio.sleep(0)
        running.cancel()
    try:
        return await running
    except (Exception, asyncio.CancelledError):
        return None


@settings(max_examples=25, deadline=None)
@given(schedules=st.lists(st.lists(calls, min_size=1, max_size=8), min_size=1, max_size=12))
def test_each_acknowledged_command_takes_effect_once_and_nothing_else_does(
    adapter: Adapter, schedules: list[list[Call]]
) -> None:
    async def scenario() -> None:
        async with adapter.home(ManualClock()) as reopen:
            store = await reopen()
            told: dict[str, list[int] | None] = {}

            async def caller(number: int, schedule: list[Call]) -> None:
                for step, call in enumerate(schedule):
                    name = f"{number}.{step}"
                    told[name] = await make_call(store, name, call)

            await store.run(make_effects)
            await asyncio.gather(*(caller(number, schedule) for number, schedule in enumerate(schedules)))
            taken = await store.read(effects)
            timelines = await store.read(assert_whole)
            found = Counter((name, timeline, seq) for timeline, seq, name in await store.read(emitted))
            plan = {f"{number}.{step}": call for number, calls in enumerate(schedules) for step, call in enumerate(calls)}
            for name, call in plan.items():
                numbers = told[name]
                if call.ends == "given up":
                    assert taken.get(name, 0) in (0, 1), "it may have begun, but never twice"
                else:
                    assert taken.get(name, 0) == (call.ends == "well")
                    assert (numbers is not None) == (call.ends == "well")
                for timeline, seq in zip(call.emits, numbers or (), strict=False):
                    assert found[name, timeline, seq] == 1
            assert sum(found.values()) == sum(len(plan[name].emits) for name in taken)
            assert sum(map(len, timelines.values())) == sum(found.values())

    asyncio.run(scenario())


async def test_more_callers_than_a_batch_holds_are_all_served(store: Store) -> None:
    await store.run(make_effects)
    numbers = await asyncio.gather(*(store.run(effect(f"caller {caller}", "M1"), "M1") for caller in range(1000)))
    assert sorted(number for (number,) in numbers) == list(range(1, 1001))
    assert set((await store.read(effects)).values()) == {1}
    await store.read(assert_whole)


async def test_many_readers_are_served_while_commands_run(store: Store) -> None:
    await store.run(make_effects)
    commands = [store.run(effect(f"caller {caller}", "M1"), "M1") for caller in range(100)]
    results = await asyncio.gather(*commands, *(store.read(assert_whole) for _ in range(100)))
    lengths = [len(timelines.get("M1", ())) for timelines in results[100:] if isinstance(timelines, dict)]
    assert len(lengths) == 100
