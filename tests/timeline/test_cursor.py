"""Cursors: known values, and nobody but the platform can make one."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from session_platform.errors import BadCursor
from session_platform.store import GENESIS, Position
from session_platform.timeline import CursorCodec
from session_platform.timeline.cursor import claimed_label

FIRST_KEY = bytes(range(32))
SECOND_KEY = bytes(range(32, 64))
CODEC = CursorCodec({1: FIRST_KEY})
ROTATED = CursorCodec({1: FIRST_KEY, 2: SECOND_KEY})
ALPHABET = string.ascii_letters + string.digits + "-_"

positions = st.builds(Position, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
timelines = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)

KNOWN = [
    (CODEC, "M123456", GENESIS, "AQABAAAAAAAAAAAAAAAAAAAAAJkZeLVFjme4tfQcJv0hSj3nyi-y"),
    (CODEC, "M123456", Position(1, 1, 0xDEADBEEF), "AQABAAAAAQAAAAAAAAAB3q2-75kZeLVFjme4mDuVjl93vKLNvyic"),
    (CODEC, "M123456", Position(2, 41, 7), "AQABAAAAAgAAAAAAAAApAAAAB5kZeLVFjme40dxJAzvXjGnbGx4z"),
    (CODEC, "M200001", Position(2, 41, 7), "AQABAAAAAgAAAAAAAAApAAAAB9K-XVY5gcsNZx208THn-HbS2Gb6"),
    (ROTATED, "M123456", Position(2, 41, 7), "AQACAAAAAgAAAAAAAAApAAAAB5kZeLVFjme4_w2KRu5Wv8X5-DGx"),
    (CODEC, "M123456", Position(2**32 - 1, 2**64 - 1, 2**32 - 1), "AQAB_____________________5kZeLVFjme4GCv0ClReKTzh5C2z"),
]


@pytest.mark.parametrize(("codec", "timeline", "position", "text"), KNOWN)
def test_a_position_has_always_had_this_cursor(codec: CursorCodec, timeline: str, position: Position, text: str) -> None:
    # Clients keep cursors: a change here breaks every one of them.
    assert codec.encode(timeline, position) == text
    assert codec.decode(text, timeline) == position


@given(timelines, positions)
def test_a_cursor_stands_for_its_position_and_survives_rotation(timeline: str, position: Position) -> None:
    assert CODEC.decode(CODEC.encode(timeline, position), timeline) == position
    assert ROTATED.decode(CODEC.encode(timeline, position), timeline) == position
    assert ROTATED.decode(ROTATED.encode(timeline, position), timeline) == position


@given(timelines, timelines, positions)
def test_a_cursor_of_another_timeline_is_none(timeline: str, other: str, position: Position) -> None:
    assume(timeline != other)
    with pytest.raises(BadCursor):
        CODEC.decode(CODEC.encode(timeline, position), other)


@given(positions, st.integers(0, 52 * 6 - 1))
def test_a_cursor_with_any_bit_flipped_is_none(position: Position, bit: int) -> None:
    text = CODEC.encode("M123456", position)
    place, shift = divmod(bit, 6)
    digits = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    forged = text[:place] + digits[digits.index(text[place]) ^ (1 << shift)] + text[place + 1 :]
    with pytest.raises(BadCursor):
        CODEC.decode(forged, "M123456")


@given(st.text(max_size=60) | st.text(ALPHABET, min_size=52, max_size=52))
@example("")
@example(CODEC.encode("M123456", GENESIS) + "\n")
@example(CODEC.encode("M123456", GENESIS) + "=")
@example(" " + CODEC.encode("M123456", GENESIS))
@example(CODEC.encode("M123456", GENESIS)[:-1])
@example(CODEC.encode("M123456", Position(1, 2, 3)).replace("-", "+").replace("_", "/") + "A")
@example("é" * 52)
def test_a_text_the_platform_did_not_write_is_no_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        CODEC.decode(text, "M123456")


def test_a_position_has_one_spelling_only() -> None:
    spelled = next(text for seq in range(1000) if {"-", "_"} <= set(text := CODEC.encode("M123456", Position(1, seq, 0))))
    for other in (spelled.replace("-", "+"), spelled.replace("_", "/")):
        with pytest.raises(BadCursor):
            CODEC.decode(other, "M123456")


def test_a_cursor_signed_with_a_key_that_is_not_ours_is_none() -> None:
    for stranger in (CursorCodec({1: SECOND_KEY}), CursorCodec({7: FIRST_KEY})):
        with pytest.raises(BadCursor):
            CODEC.decode(stranger.encode("M123456", Position(1, 2, 3)), "M123456")


def test_an_error_does_not_repeat_the_cursor() -> None:
    with pytest.raises(BadCursor) as raised:
        CODEC.decode("x" * 52, "M123456")
    assert "xxx" not in str(raised.value)


@given(timelines, positions)
def test_a_cursor_claims_the_label_of_its_timeline_before_and_after_rotation(timeline: str, position: Position) -> None:
    assert claimed_label(CODEC.encode(timeline, position)) == CODEC.label(timeline)
    assert claimed_label(CODEC.encode(timeline, position)) == ROTATED.label(timeline)
    assert claimed_label(ROTATED.encode(timeline, position)) == ROTATED.label(timeline)


def test_what_is_no_cursor_claims_nothing() -> None:
    assert claimed_label("not-a-cursor") is None


def test_labels_differ_by_timeline_and_by_key_and_do_not_show_the_member() -> None:
    labels = {CODEC.label("M123456"), CODEC.label("M123457"), CursorCodec({1: SECOND_KEY}).label("M123456")}
    assert len(labels) == 3
    assert not any("123456" in label for label in labels)


@pytest.mark.parametrize("keys", [{}, {0: FIRST_KEY}, {2**16: FIRST_KEY}, {1: b""}, {1: bytes(15)}, {1: bytes(65)}])
def test_keys_that_protect_nothing_are_refused(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="key"):
        CursorCodec(keys)
