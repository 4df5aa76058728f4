"""An export in JSON lines proves itself, line by line; what was done to one line is found."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.access.audit import Fault, Head, Period, export_lines, verify_lines
from session_platform.access.audit import lines as writing
from session_platform.access.audit.chain import START, Linked
from session_platform.clock import ManualClock
from session_platform.store.sqlite import SqliteStore
from tests.audit.chains import Chain, entry, sealed
from tests.audit.records import note
from tests.audit.records import sealed as stored_and_sealed


def written(chain: Chain) -> list[bytes]:
    """As `export_lines` writes a whole chain."""
    body = [writing.sealed_line(each) if isinstance(each, Linked) else writing.seal_line(each) for each in chain.items]
    tail = [writing.unsealed_line(each) for each in chain.unsealed]
    last = chain.links[-1] if chain.links else START
    end = writing.closing(Head(last.place, last.link), len(tail))
    return [writing.opening(START, None, None), *body, *tail, end]


CHAIN = sealed([entry(number, reason=f"ä {number}") for number in range(1, 9)], [2, 5], [entry(90), entry(91)])
LINES = written(CHAIN)
RECORDS = [number for number, line in enumerate(LINES) if b'"audit_id"' in line and b'"place":null' not in line]


def test_an_untouched_file_is_whole() -> None:
    found = verify_lines(LINES)
    assert (found.whole, found.records, found.seals, found.unsealed) == (True, 8, 3, 2)
    assert verify_lines(written(Chain((), (entry(1),)))).whole
    assert verify_lines(LINES, CHAIN.links[3].link).wanted_at == 4
    assert not verify_lines(LINES, bytes(31) + b"!").whole


@pytest.mark.parametrize("number", range(len(LINES)))
def test_no_line_can_be_taken_out_unnoticed_but_an_unsealed_one(number: int) -> None:
    found = verify_lines(LINES[:number] + LINES[number + 1 :])
    assert found.whole is (b'"place":null' in LINES[number])
    if number in RECORDS:
        assert found.breaks[0].place == json.loads(LINES[number])["place"]


@pytest.mark.parametrize("kept", range(len(LINES)))
def test_a_file_that_was_cut_is_not_whole(kept: int) -> None:
    assert not verify_lines(LINES[:kept]).whole
    torn = LINES[kept][: len(LINES[kept]) // 2]
    assert not verify_lines([*LINES[:kept], torn]).whole


@given(st.data())
def test_no_two_lines_of_sealed_records_can_be_exchanged_unnoticed(data: st.DataObject) -> None:
    one, other = sorted(data.draw(st.sets(st.sampled_from(RECORDS), min_size=2, max_size=2)))
    changed = list(LINES)
    changed[one], changed[other] = LINES[other], LINES[one]
    first = verify_lines(changed).breaks[0]
    assert (first.place, first.audit_id) == (json.loads(LINES[one])["place"], json.loads(LINES[other])["audit_id"])


@given(st.sampled_from(RECORDS), st.data())
def test_no_field_of_a_line_can_be_changed_unnoticed(number: int, data: st.DataObject) -> None:
    said: dict[str, Any] = json.loads(LINES[number])
    name = data.draw(st.sampled_from(sorted(said)))
    value = data.draw(st.none() | st.text(max_size=4) | st.integers(0, 20) | st.booleans())
    if value is said[name] or (type(value) is type(said[name]) and value == said[name]):
        return
    changed = json.dumps({**said, name: value}).encode()
    found = verify_lines([*LINES[:number], changed, *LINES[number + 1 :]])
    assert not found.whole
    first = found.breaks[0]
    assert first.audit_id == said["audit_id"] or first.place in {said["place"], said["place"] - 1}, (
        "the record, or its place, or the last good one before a line that is none"
    )


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"[]",
        b"{}",
        b"not JSON",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"export":{"format":1,"after":0,"link":"' + b"0" * 64 + b'","since":null,"until":null}}',
        b'{"seal":{"number":1}}',
        b'{"seal":[]}',
        b'{"end":{"place":-1,"link":""}}',
        b'{"a":1,"a":2}',
        LINES[1].replace(b'"actor":"user-1"', b'"actor":"user-1","actor":"user-2"'),
        LINES[1].replace(b'"actor":"user-1"', b'"actor":"user-1","note":"x"'),
        LINES[1].replace(b'"place":1', b'"place":1.0'),
        LINES[1].replace(b'"place":1', b'"place":true'),
        LINES[1].replace(b'"link":"', b'"link":"zz'),
    ],
    ids=range(17),
)
def test_a_line_that_is_none_is_found_where_it_stands(line: bytes) -> None:
    found = verify_lines([*LINES[:4], line, *LINES[4:]])
    assert [(each.place, each.fault) for each in found.breaks] == [(2, Fault.UNREADABLE)]


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"{}",
        b'{"export":null}',
        b'{"export":{"format":2,"after":0,"link":"' + b"0" * 64 + b'","since":null,"until":null}}',
        b'{"export":{"format":1,"after":"0","link":"' + b"0" * 64 + b'","since":null,"until":null}}',
        b'{"export":{"format":1,"after":0,"link":"00","since":null,"until":null}}',
        b'{"export":{"format":1,"after":0,"link":"' + b"0" * 64 + b'"}}',
    ],
    ids=range(7),
)
def test_a_file_that_does_not_begin_as_an_export_is_none(first: bytes) -> None:
    assert verify_lines([first, *LINES[1:]]).breaks[0].fault is Fault.UNREADABLE


def test_what_stands_behind_the_end_is_found() -> None:
    assert [each.fault for each in verify_lines([*LINES, LINES[1]]).breaks] == [Fault.UNREADABLE]


def test_an_end_that_says_something_else_than_what_stands_before_it_is_found() -> None:
    for head in (Head(7, CHAIN.links[6].link), Head(8, bytes(32)), Head(9, CHAIN.links[7].link)):
        assert not verify_lines([*LINES[:-1], writing.closing(head, 2)]).whole


async def test_a_part_of_the_time_is_a_part_of_the_chain_and_proves_itself(store: SqliteStore, clock: ManualClock) -> None:
    times: list[datetime] = []
    for _ in range(4):
        times.append(clock.now())
        await stored_and_sealed(store, clock, 3)
        clock.advance(3600)
    times.append(clock.now())
    await note(store)

    async def exported(**period: Any) -> list[bytes]:
        return await store.read(lambda reader: list(export_lines(reader, Period(**period))))

    middle = await exported(since=times[1], until=times[3])
    records = [json.loads(line) for line in middle if b'"audit_id"' in line]
    assert [each["place"] for each in records] == list(range(5, 13))
    found = verify_lines(middle)
    assert (found.whole, found.start.place, found.head.place, found.unsealed) == (True, 4, 12, 0)
    assert not verify_lines(middle[:1] + middle[2:]).whole
    everything = await exported(since=times[0] - timedelta(days=1))
    assert (verify_lines(everything).records, verify_lines(everything).unsealed) == (16, 1)
    for nothing in (await exported(until=times[0]), await exported(since=times[4] + timedelta(hours=1))):
        found = verify_lines(nothing)
        assert (found.whole, found.records, found.unsealed) == (True, 0, 0)
    assert await exported() == await exported(since=None, until=None)


async def test_a_clock_that_stepped_back_leaves_no_hole_in_a_part(store: SqliteStore, clock: ManualClock) -> None:
    await stored_and_sealed(store, clock, 2)
    clock.advance(-3600)
    await stored_and_sealed(store, clock, 2)
    clock.advance(3600)
    since = clock.now()
    await stored_and_sealed(store, clock, 2)
    part = await store.read(lambda reader: list(export_lines(reader, Period(since=since))))
    assert (verify_lines(part).whole, verify_lines(part).records) == (True, 6)
