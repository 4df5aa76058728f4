"""Where subscriptions start, and pages of what came before, over a real store, also one restored from an older copy."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from session_platform.clock import ManualClock
from session_platform.contract import TaskAssignedEvent
from session_platform.errors import BadCursor
from session_platform.ids import IdMint
from session_platform.store import GENESIS, Head, Position, StoredEvent, outbox, retention
from session_platform.store.sqlite import SqliteStore
from session_platform.timeline import ContinuityLost, Entry, History, Start, Windows, entry_of
from tests.timeline.client import CODEC
from tests.timeline.emitting import emit
from tests.timeline.events import TIMELINE

TASK = ("task.assigned", "sess_1", "sr_1")


class Machine:
    """A store that can be copied, restored and pruned, and the history over it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ManualClock()

    async def open(self) -> None:
        self.store = await SqliteStore.open(self.directory / "data", self.clock, IdMint())
        self.windows = Windows(CODEC)
        self.history = History(self.store, self.windows, CODEC)

    async def copy(self) -> None:
        await self.store.close()
        shutil.copytree(self.directory / "data", self.directory / "copy")
        await self.open()

    async def restore(self) -> None:
        await self.store.close()
        shutil.rmtree(self.directory / "data")
        shutil.copytree(self.directory / "copy", self.directory / "data")
        await self.open()

    async def emit(self, count: int) -> None:
        await emit(self.store, *[TASK] * count)

    async def prune(self, keep: int) -> None:
        self.clock.advance(1)
        now = self.clock.now()
        await self.store.run(lambda tx: retention.prune(tx, TIMELINE, now, min_keep=keep), TIMELINE)

    async def head(self) -> Head:
        return await self.store.read(lambda reader: outbox.head(reader, TIMELINE))

    async def events(self, after: int = 0) -> list[StoredEvent]:
        return await self.store.read(lambda reader: outbox.page(reader, TIMELINE, after, 1000))

    async def cursor(self, seq: int) -> str:
        position = await self.store.read(lambda reader: outbox.position_at(reader, TIMELINE, seq))
        assert position is not None
        return CODEC.encode(TIMELINE, position)

    async def resume(self, cursor: str) -> Start:
        return await self.history.start(TIMELINE, cursor=cursor, since_beginning=False)

    async def now(self) -> Start:
        return await self.history.start(TIMELINE, cursor=None, since_beginning=False)

    async def beginning(self) -> Start:
        return await self.history.start(TIMELINE, cursor=None, since_beginning=True)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    machine = Machine(tmp_path)
    await machine.open()
    yield machine
    await machine.store.close()


FIRST = CODEC.encode(TIMELINE, GENESIS)


# ------------------------------------------------------------------------------------------------------------ one history


async def test_a_timeline_nobody_wrote_to_starts_and_resumes_at_its_beginning(machine: Machine) -> None:
    assert await machine.now() == Start(TIMELINE, 0, FIRST, None, 0)
    assert await machine.beginning() == Start(TIMELINE, 0, FIRST, None, 0)
    assert await machine.resume(FIRST) == Start(TIMELINE, 0, FIRST, True, 0)


async def test_from_now_starts_at_the_head_and_from_the_beginning_at_the_first_event_kept(machine: Machine) -> None:
    await machine.emit(5)
    assert await machine.now() == Start(TIMELINE, 5, await machine.cursor(5), None, 5)
    assert await machine.beginning() == Start(TIMELINE, 0, FIRST, None, 5)
    await machine.prune(keep=3)
    assert await machine.beginning() == Start(TIMELINE, 2, await machine.cursor(2), None, 5)


async def test_a_cursor_resumes_behind_its_event(machine: Machine) -> None:
    await machine.emit(5)
    for seq in range(6):
        cursor = await machine.cursor(seq)
        assert await machine.resume(cursor) == Start(TIMELINE, seq, cursor, True, 5)


async def test_a_cursor_recovers_from_the_pruned_edge_on_and_not_below(machine: Machine) -> None:
    await machine.emit(5)
    cursors = [await machine.cursor(seq) for seq in range(6)]
    await machine.prune(keep=2)
    starts = [await machine.resume(cursor) for cursor in cursors]
    assert [start.recovered for start in starts] == [False, False, False, True, True, True]
    assert starts[0] == Start(TIMELINE, 5, cursors[5], False, 5)
    assert starts[3] == Start(TIMELINE, 3, cursors[3], True, 5)
    assert (await machine.head()).epoch == 1, "age is no other history"


async def test_a_cursor_at_the_head_recovers_whatever_its_age(machine: Machine) -> None:
    await machine.emit(3)
    cursor = await machine.cursor(3)
    machine.clock.advance(400 * 24 * 3600)
    await machine.prune(keep=0)
    assert await machine.resume(cursor) == Start(TIMELINE, 3, cursor, True, 3)
    assert await machine.now() == Start(TIMELINE, 3, cursor, None, 3)
    assert await machine.beginning() == Start(TIMELINE, 3, cursor, None, 3)


async def test_a_cursor_that_is_none_or_of_another_timeline_is_refused_and_leaves_nothing_held(machine: Machine) -> None:
    await machine.emit(2)
    for cursor in ("", "not-a-cursor", CODEC.encode("M200001", GENESIS)):
        with pytest.raises(BadCursor):
            await machine.resume(cursor)
    assert machine.windows.head(TIMELINE) is None


async def test_a_start_tells_a_window_that_is_held_where_the_store_stood(machine: Machine) -> None:
    await machine.emit(3)
    await machine.now()
    assert machine.windows.head(TIMELINE) is None, "nobody listens"
    machine.windows.hold(TIMELINE)
    await machine.now()
    assert machine.windows.head(TIMELINE) == 3
    assert machine.windows.after(TIMELINE, 3, 10) == []


# ------------------------------------------------------------------------------------------------------ another history


async def test_a_cursor_beyond_the_head_of_a_restored_copy_does_not_recover(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(4)
    beyond = await machine.cursor(7)
    await machine.restore()
    assert await machine.resume(beyond) == Start(TIMELINE, 3, await machine.cursor(3), False, 3)


async def test_a_cursor_whose_number_another_event_has_now_does_not_recover(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(4)
    old = await machine.cursor(5)
    await machine.restore()
    await machine.emit(6)
    assert await machine.resume(old) == Start(TIMELINE, 9, await machine.cursor(9), False, 9)


async def test_a_cursor_at_the_very_head_number_of_another_history_does_not_recover(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(1)
    old = await machine.cursor(4)
    await machine.restore()
    await machine.emit(1)
    start = await machine.resume(old)
    assert start.recovered is False
    assert start.cursor == await machine.cursor(4) != old


async def test_a_cursor_at_the_pruned_edge_of_another_history_does_not_recover(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(1)
    old = await machine.cursor(4)
    await machine.restore()
    await machine.emit(3)
    await machine.prune(keep=2)
    assert (await machine.head()).pruned.seq == 4
    assert (await machine.resume(old)).recovered is False
    assert (await machine.head()).epoch == 2


async def test_a_cursor_from_before_the_copy_recovers_after_the_restore(machine: Machine) -> None:
    await machine.emit(3)
    shared = await machine.cursor(2)
    await machine.copy()
    await machine.emit(4)
    beyond = await machine.cursor(7)
    await machine.restore()
    await machine.resume(beyond)
    await machine.emit(2)
    assert await machine.resume(shared) == Start(TIMELINE, 2, shared, True, 5)


async def test_the_epoch_rises_above_the_foreign_cursors_once_and_every_later_event_has_it(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(4)
    foreign = [await machine.cursor(seq) for seq in (5, 6, 7)]
    await machine.restore()
    for cursor in [*foreign, *foreign]:
        start = await machine.resume(cursor)
        assert start.recovered is False
        assert (await machine.head()).epoch == 2, "once is enough"
    await machine.emit(2)
    assert [event.epoch for event in await machine.events()] == [1, 1, 1, 2, 2]


async def test_after_a_cursor_did_not_recover_the_one_given_instead_does(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(4)
    beyond = await machine.cursor(7)
    await machine.restore()
    given = (await machine.resume(beyond)).cursor
    assert (await machine.resume(given)).recovered is True, "before anything new"
    await machine.emit(2)
    assert await machine.resume(given) == Start(TIMELINE, 3, given, True, 5)
    newest = await machine.cursor(5)
    assert await machine.resume(newest) == Start(TIMELINE, 5, newest, True, 5)


async def test_the_raised_epoch_is_durable(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(1)
    beyond = await machine.cursor(4)
    await machine.restore()
    await machine.resume(beyond)
    await machine.store.close()
    await machine.open()
    await machine.emit(1)
    assert (await machine.events())[-1].position.epoch == 2
    assert (await machine.resume(beyond)).recovered is False


async def test_a_second_restore_of_the_same_copy_is_told_from_the_first(machine: Machine) -> None:
    await machine.emit(3)
    await machine.copy()
    await machine.emit(1)
    first = await machine.cursor(4)
    await machine.restore()
    await machine.resume(first)
    await machine.emit(1)
    second = await machine.cursor(4)
    await machine.restore()
    assert (await machine.resume(second)).recovered is False
    assert (await machine.head()).epoch == 3, "above the second history's, too"
    await machine.emit(1)
    for cursor in (first, second):
        assert (await machine.resume(cursor)).recovered is False
    assert (await machine.head()).epoch == 3


async def test_a_timeline_that_the_copy_does_not_have_at_all_begins_in_a_new_epoch(machine: Machine) -> None:
    await machine.copy()
    await machine.emit(2)
    old = await machine.cursor(2)
    await machine.restore()
    assert await machine.resume(old) == Start(TIMELINE, 0, FIRST, False, 0)
    assert (await machine.resume(FIRST)).recovered is True
    await machine.emit(1)
    assert [event.position[:2] for event in await machine.events()] == [(2, 1)]


async def test_a_foreign_cursor_below_the_pruned_edge_raises_the_epoch_only_if_its_own_is_unknown_here(
    machine: Machine,
) -> None:
    await machine.emit(6)
    await machine.prune(keep=2)
    head = await machine.head()
    same_epoch = CODEC.encode(TIMELINE, Position(1, 2, 99))
    assert (await machine.resume(same_epoch)).recovered is False
    assert (await machine.head()).epoch == head.epoch
    later_epoch = CODEC.encode(TIMELINE, Position(7, 2, 99))
    assert (await machine.resume(later_epoch)).recovered is False
    assert (await machine.head()).epoch == 8


# ---------------------------------------------------------------------------------------------------------------- pages


async def test_a_page_holds_the_same_entries_as_the_window(machine: Machine) -> None:
    await machine.emit(5)
    entries = await machine.history.page(TIMELINE, 1, 3)
    events = await machine.events()
    assert entries == [entry_of(event, CODEC) for event in events[1:4]]
    for event in events:
        machine.windows.append(event)
    assert machine.windows.after(TIMELINE, 1, 3) == entries


async def test_a_page_at_the_head_is_empty(machine: Machine) -> None:
    assert await machine.history.page(TIMELINE, 0, 10) == []
    await machine.emit(2)
    assert await machine.history.page(TIMELINE, 2, 10) == []
    await machine.prune(keep=0)
    assert await machine.history.page(TIMELINE, 2, 10) == []


async def test_a_page_begins_at_the_pruned_edge_and_not_below(machine: Machine) -> None:
    await machine.emit(5)
    await machine.prune(keep=2)
    assert [entry.seq for entry in await machine.history.page(TIMELINE, 3, 10)] == [4, 5]
    for after in (0, 2):
        with pytest.raises(ContinuityLost) as lost:
            await machine.history.page(TIMELINE, after, 10)
        assert (lost.value.head_seq, lost.value.head_cursor) == (5, await machine.cursor(5))


async def test_a_page_behind_the_head_of_a_shorter_history_is_lost(machine: Machine) -> None:
    await machine.emit(2)
    with pytest.raises(ContinuityLost):
        await machine.history.page(TIMELINE, 3, 10)


async def test_a_page_with_a_hole_in_it_is_never_served_as_whole(machine: Machine) -> None:
    await machine.emit(5)
    await machine.store.run(
        lambda tx: tx.execute("DELETE FROM outbox WHERE timeline = :timeline AND seq = 3", timeline=TIMELINE), TIMELINE
    )
    for after in (0, 1, 2):
        with pytest.raises(ContinuityLost):
            await machine.history.page(TIMELINE, after, 10)
    assert [entry.seq for entry in await machine.history.page(TIMELINE, 0, 2)] == [1, 2]


async def test_a_timeline_of_large_events_is_read_in_shorter_pages_and_whole(machine: Machine) -> None:
    large = TaskAssignedEvent(task_id="x" * 500_000, member_id=TIMELINE)
    for _ in range(12):
        await machine.store.run(lambda tx: tx.emit(large), TIMELINE)
    pages: list[list[Entry]] = []
    while page := await machine.history.page(TIMELINE, pages[-1][-1].seq if pages else 0, 100):
        pages.append(page)
    assert [entry.seq for page in pages for entry in page] == list(range(1, 13))
    assert len(pages) == 2
