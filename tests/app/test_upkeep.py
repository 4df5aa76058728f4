"""Retention: what is older than the days kept goes, as a prefix, and whoever resumes behind it is told."""

from __future__ import annotations

from session_platform.app.upkeep import Upkeep
from session_platform.clock import ManualClock
from session_platform.contract import TaskInProgressEvent
from session_platform.store import idempotency, outbox
from session_platform.store.sqlite import SqliteStore
from session_platform.timeline import CursorCodec, History, Windows

DAY_S = 24 * 3600


async def publish(store: SqliteStore, count: int) -> None:
    for _ in range(count):
        await store.run(lambda tx: tx.emit(TaskInProgressEvent(task_id="task_1", member_id="M1")), "M1")


async def test_events_stay_seven_days_and_then_go_as_a_prefix(store: SqliteStore, clock: ManualClock) -> None:
    upkeep = Upkeep(store, clock, keep_days=7)
    await publish(store, 3)
    clock.advance(4 * DAY_S)
    await publish(store, 2)
    await upkeep.round()
    assert [event.seq for event in await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))] == [1, 2, 3, 4, 5]
    clock.advance(4 * DAY_S)
    await upkeep.round()
    assert [event.seq for event in await store.read(lambda reader: outbox.page(reader, "M1", 3, 10))] == [4, 5]
    assert (await store.read(lambda reader: outbox.head(reader, "M1"))).pruned.seq == 3


async def test_a_cursor_behind_what_went_is_lost_and_one_at_its_edge_is_not(store: SqliteStore, clock: ManualClock) -> None:
    codec = CursorCodec({1: b"k" * 32})
    history = History(store, Windows(codec), codec)
    await publish(store, 1)
    behind = (await history.start("M1", cursor=None, since_beginning=False)).cursor
    await publish(store, 2)
    edge = (await history.start("M1", cursor=None, since_beginning=False)).cursor
    clock.advance(8 * DAY_S)
    await publish(store, 1)
    await Upkeep(store, clock, keep_days=7).round()
    assert (await history.start("M1", cursor=behind, since_beginning=False)).recovered is False
    assert (await history.start("M1", cursor=edge, since_beginning=False)).recovered is True


async def test_idempotent_answers_are_forgotten_after_a_day(store: SqliteStore, clock: ManualClock) -> None:
    await store.run(lambda tx: idempotency.keep(tx, "scope", "key", b"digest", 201, b"{}"))
    upkeep = Upkeep(store, clock, keep_days=7)
    count = "SELECT COUNT(*) FROM idempotency"
    clock.advance(DAY_S - 1)
    await upkeep.round()
    assert await store.read(lambda reader: reader.one(count)) == (1,)
    clock.advance(2)
    await upkeep.round()
    assert await store.read(lambda reader: reader.one(count)) == (0,)
