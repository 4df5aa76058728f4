"""Consumer groups: each event takes effect once and in order, whatever dies, fails or is replayed."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.errors import Conflict, Unavailable
from session_platform.ids import IdMint
from session_platform.log import Group, Groups
from session_platform.log.groups import PAGE_EVENTS
from session_platform.store import Reader, Store, StoredEvent, Tx, inbox, outbox, parked, retention
from session_platform.store.inbox import Standing
from session_platform.store.sqlite import SqliteStore
from tests.log.test_follow import Spoilt
from tests.store.samples import created, effects, make_effects
from tests.timeline.emitting import KINDS, emit

R = TypeVar("R")
NAME = "twin"
TASK = KINDS[1]


class Effects:
    """A handler whose effects lie in the store, and which fails at what the test names: (timeline, number)."""

    def __init__(self) -> None:
        self.failing: set[tuple[str, int]] = set()
        self.away = False
        self.calls: list[tuple[str, int]] = []

    def __call__(self, tx: Tx, told: StoredEvent) -> None:
        self.calls.append((told.timeline, told.seq))
        tx.execute("INSERT INTO effect (command) VALUES (:command)", command=f"{told.timeline}/{told.seq}")
        if self.away:
            raise Unavailable
        if (told.timeline, told.seq) in self.failing:
            raise LookupError("of whom it speaks is nobody's business")


@pytest.fixture
async def handler(store: SqliteStore) -> Effects:
    await store.run(make_effects)
    return Effects()


def group(store: Store, handler: Effects, *, replayable: bool = True, look_every_s: float = 3600) -> Group:
    """A group that looks without a wake only where the test asks for it."""
    return Group(store, NAME, handler, replayable=replayable, look_every_s=look_every_s, first_back_off_s=0)


async def taken(store: Store) -> dict[str, int]:
    return await store.read(effects)


async def standing(store: Store) -> Standing:
    return await store.read(lambda reader: inbox.standing(reader, NAME))


@asynccontextmanager
async def running(work: Group | Groups) -> AsyncIterator[None]:
    task = asyncio.create_task(work.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def until(store: Store, reached: Callable[[dict[str, int]], bool]) -> None:
    while not reached(await taken(store)):
        """Each look lets the group go on."""


# ------------------------------------------------------------------------------------------------------------- once, in order


async def test_a_group_starts_at_the_beginning_of_what_is_kept_and_goes_on(store: SqliteStore, handler: Effects) -> None:
    await emit(store, TASK, TASK, timeline="M1")
    twin = group(store, handler)
    await twin.catch_up()
    assert await taken(store) == {"M1/1": 1, "M1/2": 1}
    await emit(store, TASK, timeline="M2")
    await emit(store, TASK, timeline="M1")
    await twin.catch_up()
    await twin.catch_up()
    assert handler.calls == [("M1", 1), ("M1", 2), ("M2", 1), ("M1", 3)]
    assert await taken(store) == {"M1/1": 1, "M1/2": 1, "M2/1": 1, "M1/3": 1}


async def test_a_group_on_a_pruned_history_starts_at_its_edge(store: SqliteStore, handler: Effects, clock: ManualClock) -> None:
    await emit(store, *[TASK] * 4, timeline="M1")
    clock.advance(60)
    now = clock.now()
    await store.run(lambda tx: retention.prune(tx, "M1", now, min_keep=1), "M1")
    await group(store, handler).catch_up()
    assert handler.calls == [("M1", 4)]


async def test_a_backlog_of_many_pages_is_handled_whole_and_in_the_order_of_the_log(
    store: SqliteStore, handler: Effects
) -> None:
    for number in range(5):
        await emit(store, *[TASK] * PAGE_EVENTS, timeline=f"M{number % 2}")
    await group(store, handler).catch_up()
    committed = await store.read(lambda reader: outbox.after(reader, 0, 10_000))
    assert handler.calls == [(told.timeline, told.seq) for told in committed]


async def test_a_page_is_one_transaction(store: SqliteStore, handler: Effects) -> None:
    await emit(store, *[TASK] * 10, timeline="M1")
    handler.away = True
    with pytest.raises(Unavailable):
        await group(store, handler).catch_up()
    assert await taken(store) == {}
    handler.away = False
    handler.failing = {("M1", 10)}
    await group(store, handler).catch_up()
    assert Counter(handler.calls)["M1", 1] == 3, "with the store away, with the one that failed, and without it"
    assert await taken(store) == {f"M1/{seq}": 1 for seq in range(1, 10)}


async def test_a_commit_wakes_a_running_group(store: SqliteStore, handler: Effects) -> None:
    async with running(group(store, handler)):
        for seq in range(1, 6):
            await emit(store, TASK, timeline="M1")
            await until(store, lambda done, seq=seq: len(done) == seq)  # type: ignore[misc]


async def test_an_event_whose_wake_got_lost_is_found_by_looking(store: SqliteStore, handler: Effects) -> None:
    spoilt = Spoilt(store)
    spoilt.deaf = True
    async with running(group(spoilt, handler, look_every_s=0.001)):
        await emit(store, TASK, timeline="M1")
        await until(store, lambda done: len(done) == 1)


async def test_a_store_that_is_away_for_a_while_costs_nothing_and_shows(store: SqliteStore, handler: Effects) -> None:
    spoilt = Spoilt(store)
    twin = group(spoilt, handler)
    groups = Groups(twin)
    seen: set[str | None] = set()
    spoilt.failures_left = 3
    async with running(groups):
        while spoilt.failures_left:
            seen.add(groups.trouble())
            await asyncio.sleep(0)
        seen.add(groups.trouble())
        await emit(store, TASK, timeline="M1")
        await until(store, lambda done: len(done) == 1 and groups.trouble() is None)
    assert any(sentence and NAME in sentence for sentence in seen)
    assert await taken(store) == {"M1/1": 1}


async def test_a_handler_that_finds_the_store_away_has_not_failed(store: SqliteStore, handler: Effects) -> None:
    handler.away = True
    await emit(store, TASK, timeline="M1")
    twin = group(store, handler)
    async with running(twin):
        await until(store, lambda _: twin.trouble() is not None)
        handler.away = False
        await until(store, lambda done: len(done) == 1)
    assert await store.read(lambda reader: parked.holding(reader, NAME)) == 0


async def test_two_processes_of_a_group_handle_each_event_once(store: SqliteStore, handler: Effects) -> None:
    first, second = group(store, handler), group(store, handler)
    for _ in range(20):
        await emit(store, *[TASK] * 20, timeline="M1")
    await asyncio.gather(first.catch_up(), second.catch_up())
    assert await taken(store) == {f"M1/{seq}": 1 for seq in range(1, 401)}


async def test_groups_are_apart(store: SqliteStore, handler: Effects) -> None:
    other = Group(store, "other", handler, replayable=False)
    groups = Groups(group(store, handler), other)
    assert groups.names == (NAME, "other")
    await emit(store, TASK, timeline="M1")
    async with running(groups):
        await until(store, lambda done: done == {"M1/1": 2})
    assert groups["other"] is other


# ----------------------------------------------------------------------------------------------------------------- what fails


async def test_a_failing_event_holds_back_its_own_timeline_and_no_other(store: SqliteStore, handler: Effects) -> None:
    handler.failing = {("M1", 2)}
    await emit(store, TASK, TASK, TASK, timeline="M1")
    await emit(store, TASK, timeline="M2")
    twin = group(store, handler)
    await twin.catch_up()
    await emit(store, TASK, timeline="M1")
    await emit(store, TASK, timeline="M2")
    await twin.catch_up()
    assert await taken(store) == {"M1/1": 1, "M2/1": 1, "M2/2": 1}
    (found,) = await store.read(lambda reader: parked.held(reader, NAME))
    assert (found.timeline, found.seq, found.waiting) == ("M1", 2, 2)
    assert found.error is not None
    assert found.error.startswith("LookupError at log/test_groups.py:")
    assert "nobody" not in found.error
    assert twin.trouble() is None, "everybody else is served"
    assert twin.note() is not None
    assert "a member" in (twin.note() or "")
    assert (await standing(store)).last_id == await store.read(outbox.last_id)


async def test_how_many_are_held_back_is_said(store: SqliteStore, handler: Effects) -> None:
    handler.failing = {("M1", 1), ("M2", 1)}
    await emit(store, TASK, timeline="M1")
    await emit(store, TASK, timeline="M2")
    groups = Groups(group(store, handler))
    await groups[NAME].catch_up()
    (note,) = groups.notes()
    assert "2 members" in note
    again = Groups(group(store, handler))
    assert again.notes() == []
    await again[NAME].catch_up()
    assert len(again.notes()) == 1, "a restart does not forget"


async def test_failed_timelines_are_listed_in_pages(store: SqliteStore, handler: Effects) -> None:
    handler.failing = {(f"M{number}", 1) for number in range(5)}
    for number in range(5):
        await emit(store, TASK, timeline=f"M{number}")
    await group(store, handler).catch_up()
    first = await store.read(lambda reader: parked.held(reader, NAME, limit=3))
    rest = await store.read(lambda reader: parked.held(reader, NAME, behind=first[-1].timeline))
    assert [each.timeline for each in first + rest] == [f"M{number}" for number in range(5)]


async def test_an_event_that_failed_only_in_company_is_handled(store: SqliteStore, handler: Effects) -> None:
    class Sometimes(Effects):
        def __call__(self, tx: Tx, told: StoredEvent) -> None:
            super().__call__(tx, told)
            if Counter(self.calls)[told.timeline, told.seq] == 1 and told.seq == 3:
                raise LookupError

    await emit(store, *[TASK] * 5, timeline="M1")
    await group(store, Sometimes()).catch_up()
    assert await taken(store) == {f"M1/{seq}": 1 for seq in range(1, 6)}


async def test_a_handlers_own_broken_statement_is_its_events_failure(store: SqliteStore, handler: Effects) -> None:
    def broken(tx: Tx, told: StoredEvent) -> None:
        handler(tx, told)
        if told.seq == 2:
            tx.execute("INSERT INTO nowhere VALUES (1)")

    await emit(store, TASK, TASK, timeline="M1")
    await Group(store, NAME, broken, replayable=True).catch_up()
    assert await taken(store) == {"M1/1": 1}
    (found,) = await store.read(lambda reader: parked.held(reader, NAME))
    assert (found.seq, found.waiting) == (2, 0)


async def test_redriving_handles_what_waited_in_order_and_then_what_comes(store: SqliteStore, handler: Effects) -> None:
    handler.failing = {("M1", 1)}
    await emit(store, TASK, TASK, TASK, timeline="M1")
    twin = group(store, handler)
    await twin.catch_up()
    assert (await twin.redrive("M1"))[:2] == (0, 3)
    handler.failing, handler.calls = {("M1", 3)}, []
    handled, waiting, error = await twin.redrive("M1")
    assert (handled, waiting) == (2, 1)
    assert error is not None
    assert error.startswith("LookupError")
    handler.failing = set()
    assert await twin.redrive("M1") == (1, 0, None)
    assert await twin.redrive("M1") == (0, 0, None)
    await emit(store, TASK, timeline="M1")
    await twin.catch_up()
    assert handler.calls == [("M1", 1), ("M1", 2), ("M1", 3), ("M1", 3), ("M1", 4)]
    assert await taken(store) == {f"M1/{seq}": 1 for seq in range(1, 5)}
    assert twin.note() is None


async def test_redriving_while_the_store_is_away_parks_nothing_anew(store: SqliteStore, handler: Effects) -> None:
    handler.failing = {("M1", 1)}
    await emit(store, TASK, timeline="M1")
    twin = group(store, handler)
    await twin.catch_up()
    before = await store.read(lambda reader: parked.held(reader, NAME))
    handler.away = True
    with pytest.raises(Unavailable):
        await twin.redrive("M1")
    assert await store.read(lambda reader: parked.held(reader, NAME)) == before


async def test_a_skipped_event_never_takes_effect_and_what_waited_behind_it_does(store: SqliteStore, handler: Effects) -> None:
    handler.failing = {("M1", 2)}
    await emit(store, *[TASK] * 4, timeline="M1")
    twin = group(store, handler)
    await twin.catch_up()
    for wrong in (1, 3, 9):
        with pytest.raises(Conflict):
            await twin.skip("M1", wrong)
    await twin.skip("M1", 2)
    (found,) = await store.read(lambda reader: parked.held(reader, NAME))
    assert (found.seq, found.error, found.waiting) == (3, None, 1)
    handler.failing = {("M1", 3)}
    assert (await twin.redrive("M1"))[:2] == (0, 2)
    (found,) = await store.read(lambda reader: parked.held(reader, NAME))
    assert found.seq == 3
    assert (found.error or "").startswith("LookupError")
    handler.failing = set()
    assert await twin.redrive("M1") == (2, 0, None)
    assert await taken(store) == {"M1/1": 1, "M1/3": 1, "M1/4": 1}


# ----------------------------------------------------------------------------------------------------------------- once more


async def test_a_replay_hears_everything_that_is_kept_once_more_under_the_next_generation(
    store: SqliteStore, handler: Effects
) -> None:
    handler.failing = {("M1", 2)}
    await emit(store, *[TASK] * 3, timeline="M1")
    twin = group(store, handler)
    await twin.catch_up()
    handler.failing, handler.calls = set(), []
    await twin.replay()
    assert await standing(store) == Standing(1, 0)
    await twin.catch_up()
    await twin.catch_up()
    assert handler.calls == [("M1", 1), ("M1", 2), ("M1", 3)]
    assert await taken(store) == {"M1/1": 2, "M1/2": 1, "M1/3": 1}
    assert await store.read(lambda reader: parked.held(reader, NAME)) == []
    generations = await store.read(lambda reader: reader.all("SELECT DISTINCT generation FROM inbox"))
    assert generations == [(1,)], "nothing is left of the one before"


async def test_a_replay_in_the_middle_of_a_page_is_not_overtaken_by_it(store: SqliteStore, handler: Effects) -> None:
    class Interrupted(Spoilt):
        """Something happens between what is read first and what is done about it."""

        async def read(self, query: Callable[[Reader], R], /) -> R:
            found = await super().read(query)
            if self.reads == 1:
                await group(store, handler).replay()
            return found

    await emit(store, *[TASK] * 3, timeline="M1")
    await group(Interrupted(store), handler).catch_up()
    assert await taken(store) == {f"M1/{seq}": 1 for seq in range(1, 4)}
    assert (await standing(store)).generation == 1


async def test_a_running_group_is_woken_by_its_replay(store: SqliteStore, handler: Effects) -> None:
    await emit(store, TASK, timeline="M1")
    twin = group(store, handler)
    async with running(twin):
        await until(store, lambda done: done == {"M1/1": 1})
        await twin.replay()
        await until(store, lambda done: done == {"M1/1": 2})


async def test_a_group_with_effects_outside_is_never_replayed(store: SqliteStore, handler: Effects) -> None:
    await emit(store, TASK, timeline="M1")
    notifications = group(store, handler, replayable=False)
    await notifications.catch_up()
    with pytest.raises(Conflict):
        await notifications.replay()
    await notifications.catch_up()
    assert await taken(store) == {"M1/1": 1}


# -------------------------------------------------------------------------------------------------------------- and retention


async def test_retention_waits_for_what_a_group_has_not_handled_or_has_parked(
    store: SqliteStore, handler: Effects, clock: ManualClock
) -> None:
    async def prune() -> int:
        now = clock.now()
        return await store.run(lambda tx: retention.prune(tx, "M1", now, groups=(NAME,)), "M1")

    async def due() -> list[str]:
        now = clock.now()
        return await store.read(lambda reader: retention.due(reader, now, 10))

    handler.failing = {("M1", 3)}
    await emit(store, *[TASK] * 4, timeline="M1")
    clock.advance(60)
    assert await prune() == 0
    twin = group(store, handler)
    await twin.catch_up()
    assert await due() == ["M1"]
    assert await prune() == 2
    assert await due() == [], "what is stuck stands in nobody's way"
    handler.failing = set()
    await twin.redrive("M1")
    assert await due() == ["M1"]
    assert await prune() == 2


async def test_retention_waits_for_a_replay(store: SqliteStore, handler: Effects, clock: ManualClock) -> None:
    await emit(store, *[TASK] * 3, timeline="M1")
    clock.advance(60)
    now = clock.now()
    twin = group(store, handler)
    await twin.catch_up()
    await twin.replay()
    assert await store.run(lambda tx: retention.prune(tx, "M1", now, groups=(NAME,)), "M1") == 0
    await twin.catch_up()
    assert await store.run(lambda tx: retention.prune(tx, "M1", now, groups=(NAME,)), "M1") == 3


# ------------------------------------------------------------------------------------------------------------ whatever happens


acts = st.one_of(
    st.tuples(st.just("commit"), st.integers(0, 2), st.integers(1, 4)),
    st.tuples(st.just("handle"), st.just(0), st.just(0)),
    st.tuples(st.just("die"), st.integers(1, 30), st.just(0)),
    st.tuples(st.just("fail"), st.integers(0, 2), st.integers(1, 8)),
    st.tuples(st.just("mend"), st.just(0), st.just(0)),
    st.tuples(st.just("redrive"), st.integers(0, 2), st.just(0)),
)


class Died(BaseException):
    """The process is gone in the middle of a transaction."""


class Mortal(Effects):
    """Dies with its process at the n-th call."""

    def __init__(self) -> None:
        super().__init__()
        self.dies_at: int | None = None

    def __call__(self, tx: Tx, told: StoredEvent) -> None:
        super().__call__(tx, told)
        if self.dies_at is not None:
            self.dies_at -= 1
            if self.dies_at <= 0:
                self.dies_at = None
                raise Died


async def live(directory: Path, life: list[tuple[str, int, int]]) -> None:
    store = await SqliteStore.open(directory, ManualClock(), IdMint())
    handler = Mortal()
    await store.run(make_effects)
    committed: Counter[str] = Counter()
    twin = group(store, handler)
    for act, a, b in life:
        timeline = f"M{a}"
        if act == "commit":
            await store.run(lambda tx, t=timeline, n=b: [tx.emit(created(t)) for _ in range(n)], timeline)  # type: ignore[misc]
            committed[timeline] += b
        elif act == "handle":
            await twin.catch_up()
        elif act == "die":
            handler.dies_at = a
            try:
                await twin.catch_up()
            except Died:
                await store.close()
                store = await SqliteStore.open(directory, ManualClock(), IdMint())
                twin = group(store, handler)
            handler.dies_at = None
        elif act == "fail":
            handler.failing.add((timeline, b))
        elif act == "mend":
            handler.failing.clear()
        else:
            await twin.redrive(timeline)
        await check_order(store)
    handler.failing.clear()
    await twin.catch_up()
    for timeline in committed:
        await twin.redrive(timeline)
    assert await taken(store) == {f"{each}/{seq}": 1 for each, count in committed.items() for seq in range(1, count + 1)}
    await store.close()


async def check_order(store: Store) -> None:
    """What took effect of a timeline is a prefix of it, in order, each once."""

    def query(reader: Reader) -> list[str]:
        return [row[0] for row in reader.all("SELECT command FROM effect ORDER BY rowid")]

    seen: dict[str, list[int]] = defaultdict(list)
    for name in await store.read(query):
        timeline, _, seq = name.partition("/")
        seen[timeline].append(int(seq))
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in seen.values())


@settings(max_examples=25, deadline=None)
@given(st.lists(acts, max_size=30))
def test_whatever_fails_and_dies_each_event_takes_effect_once_and_in_order(life: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(live(Path(directory) / "data", life))
