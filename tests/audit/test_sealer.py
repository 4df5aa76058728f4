"""The sealer: every record gets its place once, whoever seals and whatever dies in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from session_platform.access.audit import Fault, Sealer
from session_platform.access.audit import sealer as sealing
from session_platform.clock import ManualClock
from session_platform.errors import Unavailable
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore
from tests.audit.records import ROWS, note, verified

SEALS = "SELECT number, place, link FROM audit_seal ORDER BY number"


async def places(store: SqliteStore) -> list[int | None]:
    return [row[2] for row in await store.read(lambda reader: reader.all(ROWS))]


async def test_what_waits_is_sealed_in_the_order_in_which_it_was_written(store: SqliteStore, clock: ManualClock) -> None:
    await note(store, 3)
    assert await places(store) == [None, None, None]
    found = await verified(store)
    assert (found.whole, found.records, found.unsealed, found.head.place) == (True, 0, 3, 0)
    assert await Sealer(store, clock, "one").seal() == 3
    await note(store, 2)
    assert await places(store) == [1, 2, 3, None, None]
    found = await verified(store)
    assert (found.whole, found.records, found.unsealed, found.seals) == (True, 3, 2, 1)


async def test_many_records_are_sealed_in_batches_none_of_them_long(store: SqliteStore, clock: ManualClock) -> None:
    count = 2 * sealing.BATCH_MAX + 7
    await note(store, count)
    assert await Sealer(store, clock, "one").seal() == count
    seals = await store.read(lambda reader: reader.all(SEALS))
    assert [row[:2] for row in seals] == [(1, sealing.BATCH_MAX), (2, 2 * sealing.BATCH_MAX), (3, count)]
    assert (await verified(store)).whole


async def test_nothing_is_written_where_nothing_waits(store: SqliteStore, clock: ManualClock) -> None:
    assert await Sealer(store, clock, "one").seal() == 0
    assert await store.read(lambda reader: reader.all("SELECT * FROM audit_sealer")) == []


async def test_one_process_seals_and_another_takes_over_when_its_lease_is_over(store: SqliteStore, clock: ManualClock) -> None:
    one, other = Sealer(store, clock, "one"), Sealer(store, clock, "other")
    await note(store)
    assert await one.seal() == 1
    await note(store)
    assert await other.seal() == 0
    clock.advance(sealing.LEASE_FOR.total_seconds() - 1)
    assert await other.seal() == 0
    assert await one.seal() == 1
    await note(store)
    clock.advance(sealing.LEASE_FOR.total_seconds())
    assert await other.seal() == 1
    assert await one.seal() == 0
    assert await places(store) == [1, 2, 3]
    assert (await verified(store)).whole


async def test_who_stops_seals_what_waits_and_leaves_the_rest_to_the_next_at_once(
    store: SqliteStore, clock: ManualClock
) -> None:
    one, other = Sealer(store, clock, "one"), Sealer(store, clock, "other")
    await note(store, 2)
    await one.close()
    assert await places(store) == [1, 2]
    await note(store)
    assert await other.seal() == 1
    await note(store)
    await one.close()
    assert await places(store) == [1, 2, 3, None], "a lease that another holds by now is not given away"
    assert await Sealer(store, clock, "third").seal() == 0


async def test_two_that_both_believe_in_their_lease_do_not_seal_one_place_twice(store: SqliteStore, clock: ManualClock) -> None:
    """Clocks that disagree: each finds the other's lease over."""
    await note(store, 3)

    async def seal(name: str) -> None:
        for _ in range(5):
            clock.advance(60)
            await note(store)
            await Sealer(store, clock, name).seal()

    await asyncio.gather(seal("one"), seal("other"), seal("third"))
    sealed = [place for place in await places(store) if place is not None]
    assert sorted(sealed) == list(range(1, len(sealed) + 1))
    assert (await verified(store)).whole


async def test_a_batch_that_died_half_way_left_nothing_and_is_sealed_by_the_next(
    store: SqliteStore, clock: ManualClock
) -> None:
    await note(store, 4)

    class Dying:
        read = store.read

        async def run(self, command: Callable[[Tx], Any], *_: str) -> Any:
            def dies(tx: Tx) -> None:
                command(tx)
                raise Unavailable

            return await store.run(dies)

    with pytest.raises(Unavailable):
        await Sealer(Dying(), clock, "one").seal()  # type: ignore[arg-type]
    assert await places(store) == [None] * 4
    assert await Sealer(store, clock, "other").seal() == 4
    assert (await verified(store)).whole


async def test_the_chain_goes_on_where_the_seal_remembers_when_newest_records_are_gone(
    store: SqliteStore, clock: ManualClock
) -> None:
    await note(store, 3)
    sealer = Sealer(store, clock, "one")
    await sealer.seal()
    await store.run(lambda tx: tx.execute("DELETE FROM audit WHERE place >= 2"))
    await note(store, 2)
    await sealer.seal()
    assert await places(store) == [1, 4, 5]
    found = await verified(store)
    assert [(each.place, each.fault) for each in found.breaks] == [(2, Fault.MISSING)]


async def test_a_record_that_somebody_put_behind_the_newest_seal_does_not_stop_the_sealer(
    store: SqliteStore, clock: ManualClock
) -> None:
    await note(store, 2)
    sealer = Sealer(store, clock, "one")
    await sealer.seal()
    forged = """
    INSERT INTO audit (audit_id, at, actor, action, outcome, place, link)
    VALUES ('aud_forged', 0, 'nobody', 'context.read', 'allowed', 3, :link)
    """
    await store.run(lambda tx: tx.execute(forged, link=bytes(32)))
    await note(store)
    assert await sealer.seal() == 1
    found = await verified(store)
    assert [(each.place, each.audit_id, each.fault) for each in found.breaks] == [(3, "aud_forged", Fault.CHANGED)]


async def test_the_head_is_logged_at_most_every_ten_minutes(store: SqliteStore, clock: ManualClock) -> None:
    sealer = Sealer(store, clock, "one")
    with capture_logs() as logs:
        for _ in range(4):
            await note(store)
            await sealer.seal()
            clock.advance(sealing.HEAD_NOTED_EVERY_S / 2)
    heads = [each for each in logs if each["event"] == "audit.head"]
    assert [each["place"] for each in heads] == [1, 3]
    assert (await verified(store, bytes.fromhex(heads[1]["head"]))).wanted_at == 3
