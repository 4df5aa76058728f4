"""Heads, pages and positions."""

from __future__ import annotations

from session_platform.store import GENESIS, Head, Position, Reader, Store, Tx, outbox
from tests.store.history import assert_whole
from tests.store.samples import started


def three_events(tx: Tx) -> list[int]:
    return [tx.emit(started("M1", task_id=f"task_{number}")) for number in range(3)]


async def test_a_timeline_that_nobody_wrote_to_begins_at_genesis(store: Store) -> None:
    assert await store.read(lambda reader: outbox.head(reader, "M1")) == Head("M1", 1, GENESIS, GENESIS)
    assert await store.read(lambda reader: outbox.page(reader, "M1", 0, 10)) == []
    assert await store.read(lambda reader: outbox.position_at(reader, "M1", 0)) == GENESIS
    assert await store.read(lambda reader: outbox.position_at(reader, "M1", 1)) is None
    assert await store.read(outbox.last_id) == 0


async def test_a_head_stands_at_its_newest_event(store: Store) -> None:
    def head_between(tx: Tx) -> tuple[Head, Head]:
        before = outbox.head(tx, "M1")
        three_events(tx)
        return before, outbox.head(tx, "M1")

    before, after = await store.run(head_between, "M1")
    newest = (await store.read(lambda reader: outbox.page(reader, "M1", 2, 1)))[0]
    assert before.last == GENESIS
    assert after == Head("M1", 1, newest.position, GENESIS)
    assert await store.read(lambda reader: outbox.heads(reader, ["M1", "M2"])) == {
        "M1": after,
        "M2": Head("M2", 1, GENESIS, GENESIS),
    }


async def test_pages_go_on_after_a_number_and_are_bounded(store: Store) -> None:
    await store.run(three_events, "M1")
    await store.run(lambda tx: tx.emit(started("M2")), "M2")

    async def seqs(after_seq: int, limit: int) -> list[int]:
        return [event.seq for event in await store.read(lambda reader: outbox.page(reader, "M1", after_seq, limit))]

    for (after_seq, limit), expected in {(0, 10): [1, 2, 3], (1, 10): [2, 3], (0, 2): [1, 2], (3, 10): []}.items():
        assert await seqs(after_seq, limit) == expected


async def test_ids_rise_in_the_order_of_emission_over_all_timelines(store: Store) -> None:
    await store.run(lambda tx: [tx.emit(started(member)) for member in ("M2", "M1", "M2")], "M1", "M2")
    events = await store.read(lambda reader: outbox.after(reader, 0, 10))
    assert [(event.timeline, event.seq) for event in events] == [("M2", 1), ("M1", 1), ("M2", 2)]
    ids = [event.id for event in events]
    assert ids == sorted(set(ids))
    assert await store.read(lambda reader: outbox.after(reader, ids[0], 1)) == events[1:2]
    assert await store.read(outbox.last_id) == ids[-1]


async def test_an_event_is_stored_with_what_routing_reads(store: Store) -> None:
    await store.run(lambda tx: tx.emit(started("M1", task_id="task_7")), "M1")
    (event,) = await store.read(lambda reader: outbox.page(reader, "M1", 0, 1))
    assert (event.name, event.session_id, event.service_request_id) == ("task.in_progress", "sess_1", None)
    assert event.body.startswith(b'{"specversion"')


async def test_a_position_names_the_event_at_its_number(store: Store) -> None:
    await store.run(three_events, "M1")
    events = await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))

    def positions(reader: Reader) -> list[Position | None]:
        return [outbox.position_at(reader, "M1", seq) for seq in range(5)]

    assert await store.read(positions) == [GENESIS, *(event.position for event in events), None]
    assert len({event.tag for event in events}) == 3


async def test_a_raised_epoch_counts_from_the_next_event_and_never_falls(store: Store) -> None:
    await store.run(three_events, "M1")
    raised = await store.run(lambda tx: outbox.raise_epoch(tx, "M1", above=4), "M1")
    assert (raised.epoch, raised.last.epoch, raised.last.seq) == (5, 1, 3)
    assert (await store.run(lambda tx: outbox.raise_epoch(tx, "M1", above=2), "M1")).epoch == 5
    await store.run(three_events, "M1")
    epochs = await store.read(lambda reader: [event.epoch for event in outbox.page(reader, "M1", 0, 10)])
    assert epochs == [1, 1, 1, 5, 5, 5]
    await store.read(assert_whole)


async def test_the_epoch_of_an_unwritten_timeline_can_be_raised(store: Store) -> None:
    assert await store.run(lambda tx: outbox.raise_epoch(tx, "M1", above=0), "M1") == Head("M1", 1, GENESIS, GENESIS)
    assert await store.run(lambda tx: outbox.raise_epoch(tx, "M1", above=1), "M1") == Head("M1", 2, GENESIS, GENESIS)
    await store.run(three_events, "M1")
    assert [event.epoch for event in await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))] == [2, 2, 2]


async def test_a_page_ends_with_the_event_that_fills_it(store: Store) -> None:
    await store.run(lambda tx: [tx.emit(started("M1", task_id="task_" + "1" * 400)) for _ in range(6)], "M1")
    whole = await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))
    two_bytes = len(whole[0].body) + len(whole[1].body)

    async def numbers(max_bytes: int) -> tuple[list[int], list[int], bool]:
        page = await store.read(lambda reader: outbox.page(reader, "M1", 1, 4, max_bytes=max_bytes))
        log = await store.read(lambda reader: outbox.after(reader, whole[0].id, 4, max_bytes=max_bytes))
        return [each.seq for each in page], [each.seq for each in log], outbox.is_full(page, 4, max_bytes=max_bytes)

    assert await numbers(two_bytes + 1) == ([2, 3, 4], [2, 3, 4], True)
    assert await numbers(two_bytes) == ([2, 3], [2, 3], True)
    assert await numbers(1) == ([2], [2], True), "one goes always, or a reader would stand still"
    assert await numbers(10 * two_bytes) == ([2, 3, 4, 5], [2, 3, 4, 5], True)
    rest = await store.read(lambda reader: outbox.page(reader, "M1", 3, 4))
    assert [each.seq for each in rest] == [4, 5, 6]
    assert not outbox.is_full(rest, 4)


async def test_a_page_of_the_largest_events_is_bounded(store: Store) -> None:
    for _ in range(12):
        await store.run(lambda tx: tx.emit(started("M1", task_id="x" * 500_000)), "M1")
    page = await store.read(lambda reader: outbox.page(reader, "M1", 0, 100))
    assert outbox.PAGE_MAX_BYTES <= sum(len(each.body) for each in page) < outbox.PAGE_MAX_BYTES + 512 * 1024
    rest = await store.read(lambda reader: outbox.page(reader, "M1", page[-1].seq, 100))
    assert [each.seq for each in page + rest] == list(range(1, 13))
