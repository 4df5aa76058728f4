"""Whoever reads on by id or number never passes over anything, whoever commits first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial

import psycopg
import pytest

from session_platform.access import rights_changed
from session_platform.access.relations import changes_after
from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.log import Follower, Group
from session_platform.store import Reader, StoredEvent, Tx, outbox
from session_platform.store.postgres import PostgresStore
from tests.servers import Postgres
from tests.store.history import assert_whole
from tests.store.postgres.waiting import until
from tests.store.samples import PATIENCE_S, Command, Gate, effect, started


def emits_and_waits(gate: Gate, name: str, *timelines: str) -> Command:
    def command(tx: Tx) -> list[int]:
        numbers = effect(name, *timelines)(tx)
        gate.hold(tx)
        return numbers

    return command


@pytest.fixture
async def beside(url: str, clock: ManualClock) -> AsyncIterator[PostgresStore]:
    """The store of another process."""
    opened = await PostgresStore.open(url, clock, IdMint())
    yield opened
    await opened.close()


def emit_on(tx: Tx, members: set[str]) -> None:
    for member in members:
        tx.emit(started(member))


async def begun(gate: Gate) -> None:
    await asyncio.to_thread(gate.entered.wait, PATIENCE_S)


def visible(reader: Reader) -> list[str]:
    return [name for (name,) in reader.all("SELECT session_id FROM outbox ORDER BY id")]


def settled(reader: Reader) -> list[str | None]:
    return [event.session_id for event in outbox.after(reader, 0, 100)]


async def test_an_event_waits_for_those_that_may_still_come_below_it(store: PostgresStore, beside: PostgresStore) -> None:
    gate = Gate()
    early = asyncio.create_task(beside.run(emits_and_waits(gate, "early", "M1"), "M1"))
    await begun(gate)
    await store.run(effect("late", "M2"), "M2")
    assert await store.read(visible) == ["late"], "who reads on from here by id alone never sees the early one"
    assert await store.read(settled) == []
    assert await store.read(outbox.last_id) == 0
    gate.open()
    await early
    assert await store.read(settled) == await store.read(visible) == ["early", "late"]


async def test_followers_and_groups_hear_every_event_once_though_a_lower_id_commits_later(
    store: PostgresStore, beside: PostgresStore
) -> None:
    heard: list[str | None] = []
    handled: list[str | None] = []

    def hear(events: Sequence[StoredEvent]) -> None:
        heard.extend(event.session_id for event in events)

    group = Group(store, "twin", lambda tx, event: handled.append(event.session_id), replayable=True, look_every_s=0.01)
    follower = Follower(store, hear, lambda passing: None, look_every_s=0.01)
    await follower.start()
    following = [asyncio.create_task(follower.run()), asyncio.create_task(group.run())]
    gate = Gate()
    early = asyncio.create_task(beside.run(emits_and_waits(gate, "early", "M1"), "M1"))
    await begun(gate)
    await store.run(effect("late", "M2"), "M2")
    gate.open()
    await early
    await until(lambda: len(heard) >= 2 and len(handled) >= 2)
    for task in following:
        task.cancel()
    await asyncio.wait(following)
    assert heard == handled == ["early", "late"]


async def test_a_command_that_waits_for_its_timelines_holds_up_no_reader(store: PostgresStore, beside: PostgresStore) -> None:
    gate = Gate()
    first = asyncio.create_task(store.run(emits_and_waits(gate, "first", "M2"), "M2"))
    await begun(gate)
    waiting = asyncio.create_task(beside.run(effect("second", "M1", "M2"), "M1", "M2"))
    await until_somebody_waits(store)
    other = asyncio.create_task(store.run(effect("other", "M3"), "M3"))
    await other
    gate.open()
    await asyncio.gather(first, waiting)
    assert await store.read(settled) == ["first", "other", "second", "second"], "in the order in which each got its locks"
    await store.read(assert_whole)


async def until_somebody_waits(store: PostgresStore) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while await store.read(lambda reader: reader.one("SELECT 1 FROM pg_locks WHERE NOT granted")) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_another_program_writes_into_this_database_is_waited_for(store: PostgresStore, url: str) -> None:
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_current_xact_id()")
        await store.run(effect("behind", "M1"), "M1")
        assert await store.read(settled) == []
        other.rollback()
    assert await store.read(settled) == ["behind"]


async def test_transactions_of_other_databases_are_not_waited_for(store: PostgresStore, postgres_server: Postgres) -> None:
    async with postgres_server.database() as foreign:
        with psycopg.connect(foreign) as other:
            other.execute("SELECT pg_current_xact_id()")
            await store.run(effect("at once", "M1"), "M1")
            assert await store.read(settled) == ["at once"]


async def test_a_dump_on_another_server_goes_on_above_its_ids(store: PostgresStore, url: str, clock: ManualClock) -> None:
    await store.run(lambda tx: tx.execute("UPDATE log_base SET base = :far", far=1 << 50))
    await store.run(effect("before", "M1"), "M1")
    last = await store.read(outbox.last_id)
    await store.run(lambda tx: tx.execute("UPDATE log_base SET base = 0"))
    restored = await PostgresStore.open(url, clock, IdMint())
    await restored.run(effect("after", "M1"), "M1")
    (event,) = await restored.read(lambda reader: outbox.after(reader, last, 10))
    assert event.session_id == "after"
    await restored.read(assert_whole)
    await restored.close()


async def test_changes_of_rights_are_numbered_in_the_order_of_their_commits(
    store: PostgresStore, beside: PostgresStore
) -> None:
    gate = Gate()

    def slow(tx: Tx) -> None:
        rights_changed(tx, "M1", "first")
        gate.hold(tx)

    first = asyncio.create_task(beside.run(slow, "M1"))
    await begun(gate)
    second = asyncio.create_task(store.run(lambda tx: rights_changed(tx, "M2", "second"), "M2"))
    await until_somebody_waits(store)
    assert await store.read(lambda reader: changes_after(reader, 0)) == []
    gate.open()
    await asyncio.gather(first, second)
    changes = await store.read(lambda reader: changes_after(reader, 0))
    assert [(change.number, change.staff_id) for change in changes] == [(1, "first"), (2, "second")]


async def test_a_reader_beside_many_writers_reads_on_and_misses_nothing(store: PostgresStore, beside: PostgresStore) -> None:
    """By id alone, as every follower reads."""
    read: list[StoredEvent] = []
    over = asyncio.Event()

    async def follow() -> None:
        while True:
            ending = over.is_set()
            page = await store.read(lambda reader: outbox.after(reader, read[-1].id if read else 0, 7))
            read.extend(page)
            if ending and not page:
                return

    async def writer(number: int) -> None:
        for step in range(20):
            member = f"M{(number + step) % 5}"
            at = (store, beside)[number % 2]
            await at.run(partial(emit_on, members={member, "M0"}), member, "M0")

    following = asyncio.create_task(follow())
    await asyncio.gather(*(writer(number) for number in range(8)))
    over.set()
    await following
    every = await store.read(lambda reader: outbox.after(reader, 0, 10_000))
    assert read == every
    for timeline in {event.timeline for event in read}:
        seqs = [event.seq for event in read if event.timeline == timeline]
        assert seqs == list(range(1, len(seqs) + 1))
