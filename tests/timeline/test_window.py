"""The hot window: contiguous or anew, bounded, and its head is known for as long as somebody holds the timeline."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from session_platform.store import StoredEvent
from session_platform.timeline import Windows, entry_of
from tests.timeline.client import CODEC
from tests.timeline.events import TIMELINE, stored

OTHER = "M200001"


def numbers(windows: Windows, after: int, limit: int = 100, timeline: str = TIMELINE) -> list[int] | None:
    entries = windows.after(timeline, after, limit)
    return None if entries is None else [entry.seq for entry in entries]


def test_a_window_gives_what_follows_a_number_bounded_by_the_limit() -> None:
    windows = Windows(CODEC)
    for seq in (5, 6, 7, 8):
        windows.append(stored(seq))
    assert numbers(windows, 4) == [5, 6, 7, 8]
    assert numbers(windows, 6) == [7, 8]
    assert numbers(windows, 4, limit=2) == [5, 6]
    assert numbers(windows, 8) == []
    assert numbers(windows, 9) == []
    assert numbers(windows, 3) is None
    assert windows.head(TIMELINE) == 8


def test_a_window_knows_nothing_of_a_timeline_that_did_not_move() -> None:
    windows = Windows(CODEC)
    assert windows.after(TIMELINE, 0, 10) is None
    assert windows.head(TIMELINE) is None


def test_an_entry_is_the_same_from_the_window_and_from_the_store() -> None:
    windows, event = Windows(CODEC), stored(5)
    windows.append(event)
    assert windows.after(TIMELINE, 4, 10) == [entry_of(event, CODEC)]
    assert CODEC.decode(entry_of(event, CODEC).cursor, TIMELINE) == event.position


def test_a_duplicate_is_dropped_and_a_gap_starts_anew() -> None:
    windows = Windows(CODEC)
    for seq in (1, 2, 3):
        windows.append(stored(seq))
    windows.append(stored(2))
    assert numbers(windows, 0) == [1, 2, 3]
    windows.append(stored(5))
    assert numbers(windows, 3) is None
    assert numbers(windows, 4) == [5]
    windows.append(stored(4))
    assert numbers(windows, 3) is None
    assert numbers(windows, 4) == [5]


def test_the_timeline_that_was_quiet_longest_makes_room_first() -> None:
    windows = Windows(CODEC, total_bytes=4 * 540)
    windows.append(stored(1))
    windows.append(stored(1, timeline=OTHER))
    for seq in (2, 3, 4):
        windows.append(stored(seq))
    assert windows.head(OTHER) is None
    assert numbers(windows, 0) == [1, 2, 3, 4]


def test_a_timeline_alone_gives_up_its_oldest_events_only() -> None:
    windows = Windows(CODEC, total_bytes=3 * 540)
    for seq in range(1, 6):
        windows.append(stored(seq))
    assert numbers(windows, 1) is None
    assert numbers(windows, 2) == [3, 4, 5]


def test_an_event_larger_than_all_windows_together_is_left_to_the_store() -> None:
    windows = Windows(CODEC, total_bytes=600)
    windows.hold(TIMELINE)
    windows.append(stored(1)._replace(body=bytes(1000)))
    assert windows.size_bytes == 0
    assert windows.head(TIMELINE) == 1
    assert numbers(windows, 0) is None
    assert numbers(windows, 1) == []


def test_a_held_timeline_keeps_its_head_when_its_events_make_room() -> None:
    windows = Windows(CODEC, total_bytes=540)
    windows.hold(TIMELINE)
    windows.append(stored(1))
    windows.append(stored(1, timeline=OTHER))
    assert windows.head(TIMELINE) == 1
    assert numbers(windows, 0) is None
    windows.append(stored(2))
    assert numbers(windows, 1) == [2]


def test_a_head_is_forgotten_with_the_last_hold() -> None:
    windows = Windows(CODEC, total_bytes=540)
    windows.hold(TIMELINE)
    windows.hold(TIMELINE)
    windows.append(stored(1))
    windows.append(stored(1, timeline=OTHER))
    windows.release(TIMELINE)
    assert windows.head(TIMELINE) == 1
    windows.release(TIMELINE)
    assert windows.head(TIMELINE) is None


def test_a_window_that_has_events_stays_when_nobody_holds_it() -> None:
    windows = Windows(CODEC)
    windows.hold(TIMELINE)
    windows.append(stored(1))
    windows.release(TIMELINE)
    assert numbers(windows, 0) == [1]


def test_a_primed_window_goes_on_from_the_stores_head() -> None:
    windows = Windows(CODEC)
    windows.hold(TIMELINE)
    windows.prime(TIMELINE, 7)
    assert numbers(windows, 7) == []
    assert numbers(windows, 6) is None
    windows.append(stored(7))
    assert numbers(windows, 7) == []
    windows.append(stored(8))
    assert numbers(windows, 7) == [8]


def test_priming_does_not_move_a_window_that_knows_more_or_less() -> None:
    windows = Windows(CODEC)
    windows.hold(TIMELINE)
    windows.append(stored(5))
    for seq in (3, 9):
        windows.prime(TIMELINE, seq)
        assert windows.head(TIMELINE) == 5


moves = st.lists(
    st.tuples(st.sampled_from([TIMELINE, OTHER, "M200002"]), st.integers(-3, 3), st.integers(0, 1500)), max_size=60
)


@given(moves, st.integers(1, 8), st.integers(600, 8000), st.integers(1, 5))
def test_whatever_is_appended_a_window_is_the_end_of_what_was_published_or_nothing(
    published: list[tuple[str, int, int]], per_timeline: int, total_bytes: int, limit: int
) -> None:
    windows = Windows(CODEC, per_timeline_events=per_timeline, total_bytes=total_bytes)
    runs: dict[str, list[StoredEvent]] = {}
    for timeline, step, size in published:
        run = runs.setdefault(timeline, [])
        if not run:
            windows.hold(timeline)
        event = stored(max(1, (run[-1].seq if run else 0) + step), timeline=timeline)._replace(body=bytes(size))
        windows.append(event)
        if not run or event.seq > run[-1].seq:
            runs[timeline] = [*(run if run and event.seq == run[-1].seq + 1 else []), event]
        assert windows.size_bytes <= total_bytes
        for name, known in runs.items():
            assert windows.head(name) == known[-1].seq
            reach = [seq for seq in range(known[-1].seq + 1) if windows.after(name, seq, 1) is not None]
            assert known[-1].seq - reach[0] <= min(per_timeline, len(known))
            for seq in reach:
                follows = [entry_of(each, CODEC) for each in known if each.seq > seq]
                assert windows.after(name, seq, limit) == follows[:limit]
