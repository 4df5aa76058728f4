"""A chain that anybody touched is found out, at the right record; one that nobody touched is never accused."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.access.audit.chain import (
    BREAKS_MAX,
    GENESIS_LINK,
    Break,
    Entry,
    Fault,
    Head,
    Linked,
    Seal,
    Verification,
    canonical,
    link_of,
)
from tests.audit.chains import Chain, entry, sealed, verified

TEXT = st.text(max_size=8)
ENTRIES = st.builds(
    Entry,
    audit_id=st.just(""),
    at=st.just("2026-01-15T10:00:00.000000Z"),
    actor=TEXT,
    action=TEXT,
    member_id=st.none() | TEXT,
    session_id=st.none() | TEXT,
    outcome=st.sampled_from(["allowed", "refused"]),
    reason=st.none() | TEXT,
)


@st.composite
def chains(draw: st.DrawFn, min_size: int = 0) -> Chain:
    drawn = draw(st.lists(ENTRIES, min_size=min_size, max_size=12))
    entries = [each._replace(audit_id=f"aud_{number}") for number, each in enumerate(drawn, start=1)]
    batches = draw(st.sets(st.integers(1, 12)))
    waiting = [entry(900 + number) for number in range(draw(st.integers(0, 4)))]
    return sealed(entries, sorted(batches), waiting)


def test_a_record_is_hashed_as_anybody_can_write_it_down() -> None:
    record = entry(1, reason='quoted "ä" \u0001\n', session_id="sess_1")
    written = canonical(7, record)
    assert (
        written
        == (
            '{"action":"context.read","actor":"user-1","at":"2026-01-15T10:00:00.000001Z","audit_id":"aud_0001",'
            '"member_id":"M123456","outcome":"allowed","place":7,"reason":"quoted \\"ä\\" \\u0001\\n","session_id":"sess_1"}'
        ).encode()
    )
    assert link_of(b"before", 7, record) == hashlib.sha256(b"before" + written).digest()
    assert json.loads(written)["place"] == 7


@given(chains())
def test_an_untouched_chain_is_whole_and_its_tail_is_told_exactly(chain: Chain) -> None:
    found = verified(chain)
    assert found.whole
    assert found.breaks == []
    assert (found.records, found.seals, found.unsealed) == (len(chain.links), len(chain.seals), len(chain.unsealed))
    head = chain.links[-1].link if chain.links else GENESIS_LINK
    assert (found.head.place, found.head.link) == (len(chain.links), head)


@given(chains(), st.data())
def test_every_head_that_was_ever_noted_is_found_again_at_its_place(chain: Chain, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(chain.links)))
    noted = GENESIS_LINK if place == 0 else chain.links[place - 1].link
    found = verified(chain, noted)
    assert found.whole
    assert found.wanted_at == place


def edited(old: Linked, data: st.DataObject) -> Linked:
    """One field is another."""
    name = data.draw(st.sampled_from((*Entry._fields, "link")))
    if name == "link":
        return old._replace(link=data.draw(st.binary(min_size=32, max_size=32).filter(lambda link: link != old.link)))
    before = getattr(old.entry, name)
    nullable = name in {"member_id", "session_id", "reason"}
    other = data.draw((st.none() | TEXT if nullable else TEXT).filter(lambda value: value != before))
    return old._replace(entry=old.entry._replace(**{name: other}))  # type: ignore[arg-type]


def one_of(chain: Chain, data: st.DataObject) -> Linked:
    return data.draw(st.sampled_from(chain.links))


@given(chains(min_size=1), st.data())
def test_a_changed_record_is_named(chain: Chain, data: st.DataObject) -> None:
    old = one_of(chain, data)
    new = edited(old, data)
    found = verified(chain.replaced(old, new))
    assert [(each.place, each.audit_id, each.fault) for each in found.breaks] == [
        (old.place, new.entry.audit_id, Fault.CHANGED)
    ]


@given(chains(min_size=1), st.data())
def test_a_removed_record_is_missed_at_its_place(chain: Chain, data: st.DataObject) -> None:
    gone = one_of(chain, data)
    found = verified(chain.replaced(gone))
    assert [(each.place, each.fault) for each in found.breaks] == [(gone.place, Fault.MISSING)]


@given(chains(min_size=1), st.data())
def test_newest_records_that_are_gone_are_missed_because_the_seals_remember_them(chain: Chain, data: st.DataObject) -> None:
    first_gone = one_of(chain, data)
    kept = tuple(each for each in chain.items if isinstance(each, Seal) or each.place < first_gone.place)
    found = verified(Chain(kept))
    assert (found.breaks[0].place, found.breaks[0].fault) == (first_gone.place, Fault.MISSING)


@given(chains(min_size=2), st.data())
def test_records_and_seals_that_are_gone_together_are_missed_by_a_head_that_was_noted(
    chain: Chain, data: st.DataObject
) -> None:
    kept = data.draw(st.sampled_from([0, *(seal.place for seal in chain.seals[:-1])]))
    cut = Chain(tuple(each for each in chain.items if each.place <= kept))
    assert verified(cut).whole, "nothing in the store remembers them: that is why heads are noted elsewhere"
    found = verified(cut, chain.links[-1].link)
    assert [each.fault for each in found.breaks] == [Fault.HEAD]


@given(chains(min_size=1), st.data())
def test_a_chain_that_was_computed_anew_is_caught_by_a_head_that_was_noted(chain: Chain, data: st.DataObject) -> None:
    changed = one_of(chain, data).entry
    entries = [each.entry for each in chain.links]
    entries[entries.index(changed)] = changed._replace(actor=changed.actor + "!")
    forged = sealed(entries, [seal.place for seal in chain.seals])
    assert verified(forged).whole, "whoever can write everything can compute everything"
    assert not verified(forged, chain.links[-1].link).whole


@given(chains(min_size=1), st.data(), st.booleans())
def test_a_record_put_among_the_sealed_ones_is_named(chain: Chain, data: st.DataObject, computes: bool) -> None:
    """At the place of another one, before it or behind it, with a link that fits or with any."""
    other = one_of(chain, data)
    before = chain.links[other.place - 2].link if other.place > 1 else GENESIS_LINK
    forged = entry(999, reason="never happened")
    link = link_of(before, other.place, forged) if computes else bytes(31) + b"!"
    pair = data.draw(st.permutations([other, Linked(other.place, link, forged)]))
    found = verified(chain.replaced(other, *pair))
    assert [(each.place, each.audit_id) for each in found.breaks] == [(other.place, "aud_0999")]


@given(chains())
def test_a_record_put_behind_the_last_one_lacks_its_seal(chain: Chain) -> None:
    place = len(chain.links) + 1
    before = chain.links[-1].link if chain.links else GENESIS_LINK
    forged = Linked(place, link_of(before, place, entry(999)), entry(999))
    found = verified(Chain((*chain.items, forged)))
    assert [(each.place, each.audit_id, each.fault) for each in found.breaks] == [(place, "aud_0999", Fault.SEAL)]


@given(chains(min_size=1), st.data())
def test_a_repeated_record_is_named(chain: Chain, data: st.DataObject) -> None:
    twice = one_of(chain, data)
    at = data.draw(st.integers(chain.items.index(twice) + 1, len(chain.items)))
    found = verified(chain.inserted(at, twice))
    assert [(each.place, each.audit_id, each.fault) for each in found.breaks] == [
        (twice.place, twice.entry.audit_id, Fault.EXTRA)
    ]


@given(chains(min_size=2), st.data())
def test_two_records_that_changed_places_are_found_at_the_first_of_them(chain: Chain, data: st.DataObject) -> None:
    places = data.draw(st.sets(st.integers(1, len(chain.links)), min_size=2, max_size=2))
    one, other = (chain.links[place - 1] for place in sorted(places))
    as_rows = chain.replaced(one, one._replace(entry=other.entry)).replaced(other, other._replace(entry=one.entry))
    assert [(each.place, each.audit_id) for each in verified(as_rows).breaks] == [
        (one.place, other.entry.audit_id),
        (other.place, one.entry.audit_id),
    ]
    exchanged = {one: other, other: one}
    as_lines = Chain(tuple(exchanged.get(each, each) if isinstance(each, Linked) else each for each in chain.items))
    first = verified(as_lines).breaks[0]
    assert (first.place, first.audit_id) == (one.place, other.entry.audit_id)


@given(chains(min_size=1), st.data())
def test_a_record_given_another_place_leaves_a_gap_that_is_found(chain: Chain, data: st.DataObject) -> None:
    moved = one_of(chain, data)
    place = moved.place + data.draw(st.integers(len(chain.links), 100))
    found = verified(chain.replaced(moved, moved._replace(place=place)).in_order())
    assert (found.breaks[0].place, found.breaks[0].fault) == (moved.place, Fault.MISSING)


@given(chains(min_size=1), st.data(), st.booleans())
def test_a_seal_that_is_gone_or_changed_is_found(chain: Chain, data: st.DataObject, goes: bool) -> None:
    touched = data.draw(st.sampled_from(chain.seals))
    following = chain.seals[touched.number :]
    noticed_at = following[0].place if goes and following else touched.place
    found = verified(chain.replaced(touched) if goes else chain.replaced(touched, touched._replace(link=bytes(32))))
    assert [(each.place, each.fault) for each in found.breaks] == [(noticed_at, Fault.SEAL)]


def test_so_many_breaks_are_told_apart_and_the_rest_is_counted() -> None:
    chain = sealed([entry(number) for number in range(1, 60)], [])
    found = verified(Chain(tuple(each._replace(link=bytes([each.place]) * 32) for each in chain.links)))
    assert len(found.breaks) == BREAKS_MAX
    assert found.breaks_in_all > BREAKS_MAX


@pytest.mark.parametrize("fault", Fault)
def test_a_break_is_a_sentence_that_names_place_and_record(fault: Fault) -> None:
    said = Break(17, "aud_1", fault).sentence()
    assert "place 17" in said
    assert "aud_1" in said or fault in {Fault.HEAD, Fault.UNREADABLE}


def test_a_part_of_a_chain_is_verified_from_where_it_begins() -> None:
    chain = sealed([entry(number) for number in range(1, 6)], [])
    found = Verification(Head(2, chain.links[1].link))
    for each in chain.links[2:]:
        found.linked(each)
    found.seal(Seal(9, 5, chain.links[4].link, ""))
    found.finish()
    assert found.whole
