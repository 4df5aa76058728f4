"""The follower: every committed event once, in the order of the log, whatever happens to wakes and to the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from session_platform.contract import SealedEphemeral, SessionActiveEvent, TaskAssignedEvent
from session_platform.errors import Unavailable
from session_platform.log import Follower
from session_platform.store import Reader, Store, StoredEvent, Tx, outbox
from session_platform.store.sqlite import SqliteStore
from tests.timeline.emitting import KINDS, emit, event

R = TypeVar("R")
TASK = KINDS[1]
MEMBERS = ("M1", "M2", "M3")


class Log:
    """What a follower hands out, in the order in which it does."""

    def __init__(self) -> None:
        self.heard: list[StoredEvent | SealedEphemeral] = []
        self.batches = 0
        self._changed = asyncio.Event()

    def publish(self, events: Sequence[StoredEvent]) -> None:
        self.batches += 1
        self.heard.extend(events)
        self._changed.set()

    def ephemeral(self, events: Sequence[SealedEphemeral]) -> None:
        self.heard.extend(events)
        self._changed.set()

    @property
    def ids(self) -> list[int]:
        return [each.id for each in self.heard if isinstance(each, StoredEvent)]

    async def until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed.clear()
            await self._changed.wait()


class Spoilt:
    """A store whose reads can fail, and whose wakes can get lost."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures_left = 0
        self.reads = 0
        self.deaf = False

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        return await self._store.run(command, *timelines, traceparent=traceparent)

    async def read(self, query: Callable[[Reader], R], /) -> R:
        self.reads += 1
        if self.failures_left:
            self.failures_left -= 1
            raise Unavailable
        return await self._store.read(query)

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        self._store.on_commit(lambda ephemeral: None if self.deaf else callback(ephemeral))

    def trouble(self) -> str | None:
        return self._store.trouble()

    async def close(self) -> None:
        await self._store.close()


@asynccontextmanager
async def following(store: Store, log: Log, *, start: bool = True, look_every_s: float = 3600) -> AsyncIterator[Follower]:
    """A follower that runs. It looks without a wake only where the test asks for it, so a wake that got lost shows."""
    follower = Follower(store, log.publish, log.ephemeral, look_every_s=look_every_s, first_back_off_s=0)
    if start:
        await follower.start()
    task = asyncio.create_task(follower.run())
    try:
        yield follower
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def ids_of(store: Store) -> list[int]:
    events = await store.read(lambda reader: outbox.after(reader, 0, 100_000))
    return [each.id for each in events]


async def test_what_was_committed_before_the_start_is_not_published_and_everything_after_is(store: SqliteStore) -> None:
    log = Log()
    await emit(store, TASK, TASK)
    before = await ids_of(store)
    async with following(store, log):
        await emit(store, TASK, TASK, TASK)
        await log.until(lambda: len(log.ids) == 3)
    assert log.ids == (await ids_of(store))[len(before) :]


async def test_what_is_committed_between_the_start_and_the_run_is_published(store: SqliteStore) -> None:
    log = Log()
    follower = Follower(store, log.publish, log.ephemeral, look_every_s=3600)
    await follower.start()
    await emit(store, TASK)
    task = asyncio.create_task(follower.run())
    await log.until(lambda: len(log.ids) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_concurrent_writers_lose_nothing_and_double_nothing(store: SqliteStore) -> None:
    log = Log()

    async def write(member: str) -> None:
        for number in range(40):
            await emit(store, *[TASK] * (1 + number % 3), timeline=member)

    async with following(store, log):
        async with asyncio.TaskGroup() as writers:
            for member in MEMBERS * 3:
                writers.create_task(write(member))
        committed = await ids_of(store)
        await log.until(lambda: len(log.ids) >= len(committed))
    assert log.ids == committed
    for member in MEMBERS:
        seqs = [each.seq for each in log.heard if isinstance(each, StoredEvent) and each.timeline == member]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_a_backlog_of_many_pages_is_published_whole(store: SqliteStore) -> None:
    log = Log()
    follower = Follower(store, log.publish, log.ephemeral, look_every_s=3600)
    await follower.start()
    for _ in range(6):
        await emit(store, *[TASK] * 128)
    task = asyncio.create_task(follower.run())
    await log.until(lambda: len(log.ids) == 768)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.ids == await ids_of(store)


async def test_many_commits_may_share_a_wake(store: SqliteStore) -> None:
    log = Log()
    async with following(store, log):
        async with asyncio.TaskGroup() as writers:
            for _ in range(200):
                writers.create_task(emit(store, TASK))
        await log.until(lambda: len(log.ids) == 200)
    assert log.batches < 200


async def test_an_event_whose_wake_got_lost_is_found_by_looking(store: SqliteStore) -> None:
    log, spoilt = Log(), Spoilt(store)
    spoilt.deaf = True
    async with following(spoilt, log, look_every_s=0.001):
        await emit(store, TASK)
        await log.until(lambda: len(log.ids) == 1)


async def test_a_store_that_is_away_for_a_while_costs_no_event_and_shows_as_trouble(store: SqliteStore) -> None:
    log, spoilt = Log(), Spoilt(store)
    troubles: list[str | None] = []
    async with following(spoilt, log) as follower:
        await emit(store, TASK)
        await log.until(lambda: len(log.ids) == 1)
        assert follower.trouble() is None
        spoilt.failures_left = 5
        await emit(store, TASK, TASK)
        while spoilt.failures_left:
            troubles.append(follower.trouble())
            await asyncio.sleep(0)
        await log.until(lambda: len(log.ids) == 3)
        await emit(store, TASK)
        await log.until(lambda: len(log.ids) == 4)
        assert follower.trouble() is None
    assert log.ids == await ids_of(store)
    assert any(troubles)


async def test_a_follower_that_could_not_start_says_so_and_starts_when_it_can(store: SqliteStore) -> None:
    log, spoilt = Log(), Spoilt(store)
    spoilt.failures_left = 1
    follower = Follower(spoilt, log.publish, log.ephemeral)
    with pytest.raises(Unavailable):
        await follower.start()
    assert follower.trouble() is not None
    await follower.start()
    assert follower.trouble() is None


async def test_a_follower_that_nobody_started_starts_by_itself(store: SqliteStore) -> None:
    log = Log()
    await emit(store, TASK)
    async with following(store, log, start=False, look_every_s=0.001):
        while not log.ids:
            await emit(store, TASK)
    committed = await ids_of(store)
    first = committed.index(log.ids[0])
    assert first > 0
    assert log.ids == committed[first : first + len(log.ids)]


async def test_what_readers_raise_ends_the_run_instead_of_passing_over_an_event(store: SqliteStore) -> None:
    def publish(events: Sequence[StoredEvent]) -> None:
        raise LookupError

    follower = Follower(store, publish, Log().ephemeral)
    await follower.start()
    await emit(store, TASK)
    with pytest.raises(LookupError):
        await follower.run()


async def test_a_restarted_follower_goes_on_from_the_outboxs_end(store: SqliteStore) -> None:
    first, second = Log(), Log()
    async with following(store, first):
        await emit(store, TASK)
        await first.until(lambda: len(first.ids) == 1)
    await emit(store, TASK)
    async with following(store, second):
        await emit(store, TASK)
        await second.until(lambda: len(second.ids) == 1)
    assert first.ids + second.ids == [(await ids_of(store))[number] for number in (0, 2)]


async def test_an_unnumbered_event_comes_after_the_numbered_ones_of_its_commit_and_those_were_seen_before(
    store: SqliteStore,
) -> None:
    log = Log()
    served: list[int] = []

    def publish(events: Sequence[StoredEvent]) -> None:
        log.publish(events)
        asyncio.get_running_loop().call_soon(served.extend, [each.id for each in events])

    def ephemeral(events: Sequence[SealedEphemeral]) -> None:
        assert served == log.ids, "whoever was woken had its turn"
        log.ephemeral(events)

    def command(tx: Tx) -> None:
        tx.emit_ephemeral(SessionActiveEvent(session_id="sess_1", member_id="M1"))
        tx.emit(event(TASK, "M1"))

    follower = Follower(store, publish, ephemeral, look_every_s=3600)
    await follower.start()
    task = asyncio.create_task(follower.run())
    for _ in range(3):
        await store.run(command, "M1")
    await log.until(lambda: len(log.heard) == 6)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    durable_before = 0
    for each in log.heard:
        durable_before += isinstance(each, StoredEvent)
        if isinstance(each, SealedEphemeral):
            assert each.name == "session.active"
            assert durable_before > 0


async def test_a_transaction_that_was_rolled_back_is_never_published(store: SqliteStore) -> None:
    log = Log()

    def refused(tx: Tx) -> None:
        tx.emit(event(TASK, "M1"))
        raise LookupError

    async with following(store, log):
        with pytest.raises(LookupError):
            await store.run(refused, "M1")
        await emit(store, TASK, timeline="M1")
        await log.until(lambda: len(log.ids) >= 1)
    assert [each.seq for each in log.heard if isinstance(each, StoredEvent)] == [1]


async def test_events_too_large_for_one_page_are_published_whole(store: SqliteStore) -> None:
    log = Log()
    follower = Follower(store, log.publish, log.ephemeral, look_every_s=3600)
    await follower.start()
    large = TaskAssignedEvent(task_id="x" * 500_000, member_id="M1")
    for _ in range(12):
        await store.run(lambda tx: tx.emit(large), "M1")
    task = asyncio.create_task(follower.run())
    await log.until(lambda: len(log.ids) == 12)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.batches > 1
