"""Retention: what is older than the days kept goes, as a prefix, and whoever resumes behind it is told."""

from __future__ import annotations

from session_platform import eligibility, log
from session_platform.app.upkeep import Upkeep
from session_platform.clock import ManualClock
from session_platform.contract import CoverageDetails, CoverageStatus, TaskInProgressEvent
from session_platform.eligibility import checks, stored
from session_platform.store import StoredEvent, Tx, idempotency, outbox
from session_platform.store.sqlite import SqliteStore
from session_platform.timeline import CursorCodec, History, Windows

DAY_S = 24 * 3600


async def publish(store: SqliteStore, count: int) -> None:
    for _ in range(count):
        await store.run(lambda tx: tx.emit(TaskInProgressEvent(task_id="task_1", member_id="M1")), "M1")


async def test_events_stay_seven_days_and_then_go_as_a_prefix(store: SqliteStore, clock: ManualClock) -> None:
    upkeep = Upkeep(store, clock, keep_days=7, groups=())
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
    await Upkeep(store, clock, keep_days=7, groups=()).round()
    assert (await history.start("M1", cursor=behind, since_beginning=False)).recovered is False
    assert (await history.start("M1", cursor=edge, since_beginning=False)).recovered is True


async def test_idempotent_answers_are_forgotten_after_a_day(store: SqliteStore, clock: ManualClock) -> None:
    await store.run(lambda tx: idempotency.keep(tx, "scope", "key", b"digest", 201, b"{}"))
    upkeep = Upkeep(store, clock, keep_days=7, groups=())
    count = "SELECT COUNT(*) FROM idempotency"
    clock.advance(DAY_S - 1)
    await upkeep.round()
    assert await store.read(lambda reader: reader.one(count)) == (1,)
    clock.advance(2)
    await upkeep.round()
    assert await store.read(lambda reader: reader.one(count)) == (0,)


async def test_nothing_goes_that_a_group_has_not_handled(store: SqliteStore, clock: ManualClock) -> None:
    group = log.Group(store, "twin", lambda tx, event: None, replayable=True)
    upkeep = Upkeep(store, clock, keep_days=7, groups=("twin",))
    await publish(store, 3)
    clock.advance(8 * DAY_S)
    await upkeep.round()
    assert [event.seq for event in await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))] == [1, 2, 3]
    await group.catch_up()
    await upkeep.round()
    assert await store.read(lambda reader: outbox.page(reader, "M1", 0, 10)) == []


async def test_a_member_whose_events_are_held_back_keeps_nobody_elses(store: SqliteStore, clock: ManualClock) -> None:
    def fails_for_m1(tx: Tx, event: StoredEvent) -> None:
        if event.timeline == "M1":
            raise LookupError

    await publish(store, 2)
    await store.run(lambda tx: tx.emit(TaskInProgressEvent(task_id="task_1", member_id="M2")), "M2")
    await log.Group(store, "twin", fails_for_m1, replayable=True).catch_up()
    clock.advance(8 * DAY_S)
    await Upkeep(store, clock, keep_days=7, groups=("twin",)).round()
    left = await store.read(lambda reader: outbox.after(reader, 0, 10))
    assert [(event.timeline, event.seq) for event in left] == [("M1", 1), ("M1", 2)]


async def test_what_other_rooms_forget_goes_in_small_transactions_until_nothing_is_left(
    store: SqliteStore, clock: ManualClock
) -> None:
    left = [2, 2, 1, 0, 9]
    await Upkeep(store, clock, keep_days=7, groups=(), forgets=(lambda tx: left.pop(0),)).round()
    assert left == [9]


async def test_a_coverage_stays_while_an_event_may_refer_to_it_and_the_current_one_for_ever(
    store: SqliteStore, clock: ManualClock
) -> None:
    upkeep = Upkeep(store, clock, keep_days=7, groups=())
    ids: list[str] = []

    async def answered(account_id: str) -> None:
        details = CoverageDetails(account_id=account_id, coverage_status=CoverageStatus.ACTIVE)
        ids.append(await store.run(lambda tx: stored.add(tx, details)))

    async def kept() -> list[bool]:
        return await store.read(lambda reader: [eligibility.coverage_at(reader, each) is not None for each in ids])

    await answered("A1")
    await answered("A2")
    clock.advance(30 * DAY_S)
    await upkeep.round()
    assert await kept() == [True, True]
    await answered("A1")
    clock.advance(7 * DAY_S + 60)
    await upkeep.round()
    assert await kept() == [True, True, True], "its last event may have been replayed a moment ago"
    clock.advance(DAY_S)
    await upkeep.round()
    assert await kept() == [False, True, True]
    assert len(await store.read(lambda reader: eligibility.coverage_of(reader, ["A1", "A2"]))) == 2


async def test_a_check_and_what_the_payer_answered_go_with_the_events_about_it(store: SqliteStore, clock: ManualClock) -> None:
    upkeep = Upkeep(store, clock, keep_days=7, groups=())
    count = "SELECT COUNT(*) FROM eligibility_check"

    def check(tx: Tx, account_id: str, *, ends: bool) -> None:
        place = checks.begin(tx, checks.Question("task_1", account_id, "BCBS1"), 1)
        assert place is not None
        if ends:
            checks.end(tx, place.check_id, answer=b"{}")

    await store.run(lambda tx: check(tx, "A1", ends=True))
    await store.run(lambda tx: check(tx, "A2", ends=False))
    clock.advance(8 * DAY_S)
    await upkeep.round()
    assert await store.read(lambda reader: reader.one(count)) == (2,)
    clock.advance(1)
    await upkeep.round()
    assert await store.read(lambda reader: reader.all("SELECT account_id FROM eligibility_check")) == [("A2",)]
