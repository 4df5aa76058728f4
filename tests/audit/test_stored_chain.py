"""Somebody with the whole database in his hands: what he does to one record is found, at that record."""

from __future__ import annotations

import pytest

from session_platform.access.audit import Fault, Sealer, export_lines, stored, verify_lines
from session_platform.access.audit.stored import moment_text
from session_platform.clock import ManualClock
from session_platform.store import Reader
from session_platform.store.sqlite import SqliteStore
from tests.audit.records import note, sealed, verified

ADDED = "INSERT INTO audit (audit_id, at, actor, action, outcome, place, link) VALUES ('aud_added', 1, 'a', 'b', 'allowed',"
TAMPERING = {
    "the time": ("UPDATE audit SET at = at + 1 WHERE place = 3", 3, Fault.CHANGED),
    "who": ("UPDATE audit SET actor = 'somebody' WHERE place = 3", 3, Fault.CHANGED),
    "what": ("UPDATE audit SET action = 'session.read' WHERE place = 3", 3, Fault.CHANGED),
    "whose": ("UPDATE audit SET member_id = NULL WHERE place = 3", 3, Fault.CHANGED),
    "in which session": ("UPDATE audit SET session_id = '' WHERE place = 3", 3, Fault.CHANGED),
    "whether": ("UPDATE audit SET outcome = 'refused' WHERE place = 3", 3, Fault.CHANGED),
    "why": ("UPDATE audit SET reason = 'emergency' WHERE place = 3", 3, Fault.CHANGED),
    "its name": ("UPDATE audit SET audit_id = 'aud_other' WHERE place = 3", 3, Fault.CHANGED),
    "its link": ("UPDATE audit SET link = zeroblob(32) WHERE place = 3", 3, Fault.CHANGED),
    "a time that is none": ("UPDATE audit SET at = 9223372036854775807 WHERE place = 3", 3, Fault.CHANGED),
    "it is gone": ("DELETE FROM audit WHERE place = 3", 3, Fault.MISSING),
    "it is as if never sealed": ("UPDATE audit SET place = NULL, link = NULL WHERE place = 3", 3, Fault.MISSING),
    "the last is gone": ("DELETE FROM audit WHERE place = 6", 6, Fault.MISSING),
    "the first is gone": ("DELETE FROM audit WHERE place = 1", 1, Fault.MISSING),
    "all are gone": ("DELETE FROM audit", 1, Fault.MISSING),
    "a seal is gone": ("DELETE FROM audit_seal WHERE number = 1", 4, Fault.SEAL),
    "the last seal is gone": ("DELETE FROM audit_seal WHERE number = 3", 6, Fault.SEAL),
    "one is added before the first": (f"{ADDED} 0, zeroblob(32))", 0, Fault.EXTRA),
    "one is added below all numbers": (f"{ADDED} -9223372036854775808, zeroblob(32))", -(2**63), Fault.EXTRA),
    "one is added above all numbers": (f"{ADDED} 9223372036854775807, zeroblob(32))", 7, Fault.MISSING),
    "one is moved below all": ("UPDATE audit SET place = -3 WHERE place = 3", -3, Fault.EXTRA),
    "its link is gone": ("UPDATE audit SET link = NULL WHERE place = 3", 3, Fault.CHANGED),
    "its link is cut": ("UPDATE audit SET link = x'00' WHERE place = 3", 3, Fault.CHANGED),
    "the last link is gone": ("UPDATE audit SET link = NULL WHERE place = 6", 6, Fault.CHANGED),
    "a seal is added below all": ("INSERT INTO audit_seal VALUES (0, 2, zeroblob(32), 0)", 2, Fault.SEAL),
    "a seal is added above all": ("INSERT INTO audit_seal VALUES (9, 9223372036854775807, zeroblob(32), 0)", 7, Fault.MISSING),
    "a seal is added at no place": ("INSERT INTO audit_seal VALUES (9, -4, zeroblob(32), 0)", -4, Fault.SEAL),
    "a seal is another": ("UPDATE audit_seal SET link = zeroblob(32) WHERE number = 2", 4, Fault.SEAL),
}


@pytest.mark.parametrize(("sql", "place", "fault"), TAMPERING.values(), ids=TAMPERING)
async def test_it_is_found_in_the_store_and_in_an_export_made_afterwards(
    store: SqliteStore, clock: ManualClock, sql: str, place: int, fault: Fault
) -> None:
    await sealed(store, clock, 6)
    await note(store)
    assert (await verified(store)).whole
    await store.run(lambda tx: tx.execute(sql))
    found = await verified(store)
    assert (found.breaks[0].place, found.breaks[0].fault) == (place, fault)
    exported = await store.read(lambda reader: verify_lines(list(export_lines(reader))))
    assert (exported.breaks[0].place, exported.breaks[0].fault) == (place, fault)


async def test_a_second_record_at_a_place_is_found_wherever_a_page_ends(store: SqliteStore, clock: ManualClock) -> None:
    await sealed(store, clock, stored.PAGE + 1)
    await store.run(lambda tx: tx.execute("DROP INDEX audit_by_place"))
    await store.run(lambda tx: tx.execute(f"{ADDED} :place, zeroblob(32))", place=stored.PAGE))
    found = await verified(store)
    assert [(each.place, each.audit_id, each.fault) for each in found.breaks] == [(stored.PAGE, "aud_added", Fault.EXTRA)]


async def test_a_link_that_is_gone_is_no_head_that_was_given(store: SqliteStore, clock: ManualClock) -> None:
    await sealed(store, clock, 3)
    await store.run(lambda tx: tx.execute("UPDATE audit SET link = NULL WHERE place = 3"))
    assert (await verified(store)).wanted_at is None


async def test_a_changed_record_is_named_and_its_untouched_neighbours_are_not(store: SqliteStore, clock: ManualClock) -> None:
    ids = await sealed(store, clock, 6)
    await store.run(lambda tx: tx.execute("UPDATE audit SET reason = 'x' WHERE audit_id = :id", id=ids[2]))
    await store.run(lambda tx: tx.execute("DELETE FROM audit WHERE audit_id = :id", id=ids[4]))
    assert [(each.place, each.audit_id) for each in (await verified(store)).breaks] == [(3, ids[2]), (5, ids[5])]


async def test_records_and_seals_removed_together_are_missed_by_the_noted_head_alone(
    store: SqliteStore, clock: ManualClock
) -> None:
    await sealed(store, clock, 6)
    noted = (await verified(store)).head.link
    await store.run(lambda tx: tx.execute("DELETE FROM audit WHERE place > 4"))
    await store.run(lambda tx: tx.execute("DELETE FROM audit_seal WHERE place > 4"))
    assert (await verified(store)).whole
    assert [each.fault for each in (await verified(store, noted)).breaks] == [Fault.HEAD]


async def test_a_chain_longer_than_a_page_is_read_whole(store: SqliteStore, clock: ManualClock) -> None:
    count = 2 * stored.PAGE + 5
    await note(store, count)
    waiting = await store.read(lambda reader: list(stored.unsealed(reader)))
    await Sealer(store, clock, "one").seal()

    def read(reader: Reader) -> list[str]:
        return [each.entry.audit_id for each in stored.sealed(reader)]

    assert await store.read(read) == [each.audit_id for each in waiting]
    assert len(waiting) == count
    assert (await verified(store)).records == count


def test_a_time_is_written_with_six_digits_always() -> None:
    assert moment_text(0) == "1970-01-01T00:00:00.000000Z"
    assert moment_text(1_768_471_200_000_001) == "2026-01-15T10:00:00.000001Z"
    assert moment_text(2**62) == str(2**62)
