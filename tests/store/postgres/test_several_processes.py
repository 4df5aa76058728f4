"""Stores of several processes on one database: no deadlock, no gap, nothing lost while the server comes and goes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import psycopg
import pytest

from session_platform.clock import ManualClock, SystemClock
from session_platform.errors import Unavailable
from session_platform.ids import IdMint
from session_platform.store import Store, Tx
from session_platform.store.postgres import PostgresStore
from session_platform.store.postgres.failures import StatementFailed
from tests.servers import private_postgres
from tests.store.history import assert_whole
from tests.store.postgres.waiting import until
from tests.store.samples import effect, effects, make_effects

MEMBERS = [f"M{number}" for number in range(6)]


async def test_commands_on_several_timelines_do_not_deadlock(store: PostgresStore, url: str) -> None:
    others = [await PostgresStore.open(url, ManualClock(), IdMint()) for _ in range(2)]
    dice = random.Random(7)
    plans = [[dice.sample(MEMBERS, dice.randrange(1, 5)) for _ in range(15)] for _ in range(24)]

    async def caller(number: int) -> None:
        at: Store = [store, *others][number % 3]
        for step, timelines in enumerate(plans[number]):
            await at.run(effect(f"{number}.{step}", *timelines), *timelines)

    await asyncio.gather(*(caller(number) for number in range(24)))
    assert set((await store.read(effects)).values()) == {1}
    histories = await store.read(assert_whole)
    assert sum(map(len, histories.values())) == sum(len(timelines) for plan in plans for timelines in plan)
    for each in others:
        await each.close()
    with psycopg.connect(url) as watcher:
        row = watcher.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row == (0,)


async def test_commands_that_deadlock_over_other_rows_all_take_effect(store: PostgresStore) -> None:
    """No room does this: it is what the database then makes of it."""

    def crosswise(first: str, second: str) -> Callable[[Tx], None]:
        def command(tx: Tx) -> None:
            tx.execute("UPDATE effect SET command = command WHERE command = :first", first=first)
            tx.one("SELECT pg_sleep(0.05)")
            tx.execute("UPDATE effect SET command = command WHERE command = :second", second=second)
            tx.execute("INSERT INTO effect VALUES ('crossed')")

        return command

    await store.run(effect("a"))
    await store.run(effect("b"))
    await asyncio.gather(*(store.run(crosswise(*pair)) for pair in [("a", "b"), ("b", "a")]))
    assert (await store.read(effects))["crossed"] == 2


async def test_a_row_that_came_meanwhile_is_found_by_the_second_run(store: PostgresStore) -> None:
    def first_come(name: str) -> Callable[[Tx], str]:
        def command(tx: Tx) -> str:
            row = tx.one("SELECT service FROM event_source WHERE source = 's'")
            if row is not None:
                return str(row[0])
            tx.one("SELECT pg_sleep(0.05)")
            tx.execute("INSERT INTO event_source (source, service, at) VALUES ('s', :name, 0)", name=name)
            return name

        return command

    winners = await asyncio.gather(*(store.run(first_come(f"{number}")) for number in range(6)))
    assert len(set(winners)) == 1


async def test_what_the_database_refuses_is_told_without_the_values(store: PostgresStore) -> None:
    def twice(tx: Tx) -> None:
        for _ in range(2):
            tx.execute("INSERT INTO event_source (source, service, at) VALUES ('chest pain', 'x', 0)")

    with pytest.raises(StatementFailed) as caught:
        await store.run(twice)
    shown = (
        f"{caught.value} {caught.value.__cause__} {caught.value.__context__ if not caught.value.__suppress_context__ else ''}"
    )
    assert "event_source" in shown
    assert "chest pain" not in shown
    with pytest.raises(StatementFailed) as caught:
        await store.read(lambda reader: reader.one("SELECT CAST(:words AS bigint)", words="chest pain"))
    assert "chest pain" not in str(caught.value)


async def test_a_server_that_restarts_or_is_killed_loses_nothing_and_doubles_nothing() -> None:
    async with private_postgres() as server, server.server.database() as url:
        store = await PostgresStore.open(url, SystemClock(), IdMint())
        await store.run(make_effects)
        acknowledged: dict[str, list[int]] = {}
        refused: set[str] = set()
        over = asyncio.Event()

        async def caller(number: int) -> None:
            step = 0
            while not over.is_set():
                step += 1
                name, member = f"{number}.{step}", f"M{number % 3}"
                try:
                    acknowledged[name] = await store.run(effect(name, member), member)
                except Unavailable:
                    refused.add(name)
                    await asyncio.sleep(0.02)

        callers = [asyncio.create_task(caller(number)) for number in range(8)]

        async def going_well() -> None:
            before = len(acknowledged)
            await until(lambda: len(acknowledged) > before + 50)

        for fault in (server.restart, server.kill):
            await going_well()
            await fault()
            if not server.runs:
                await until(lambda: store.trouble() is not None)
                await server.start()
            await until(lambda: store.trouble() is None)
        await going_well()
        over.set()
        await asyncio.gather(*callers)
        assert await store.read(effects) == dict.fromkeys(acknowledged, 1)
        await store.read(assert_whole)
        assert refused.isdisjoint(acknowledged)
        await store.close()
