"""The decisions of a consumer group: what becomes of an event, and what is tried after a failure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.log.handling import Attempt, Page, Verdict, verdict
from session_platform.store import StoredEvent
from tests.timeline.events import stored


def events(count: int) -> list[StoredEvent]:
    return [stored(seq) for seq in range(1, count + 1)]


@pytest.mark.parametrize(
    ("new", "waits_behind", "error", "expected"),
    [
        (True, None, None, Verdict.HANDLE),
        (True, 3, None, Verdict.PARK),
        (True, None, "KeyError", Verdict.PARK),
        (True, 3, "KeyError", Verdict.PARK),
        (False, None, None, Verdict.KNOWN),
        (False, 3, None, Verdict.KNOWN),
        (False, None, "KeyError", Verdict.KNOWN),
        (False, 3, "KeyError", Verdict.KNOWN),
    ],
)
def test_what_becomes_of_an_event(new: bool, waits_behind: int | None, error: str | None, expected: Verdict) -> None:
    assert verdict(new=new, waits_behind=waits_behind, error=error) is expected


def test_an_empty_page_is_nothing_to_do() -> None:
    assert Page([]).next is None


def test_a_page_is_one_attempt_until_something_fails() -> None:
    page, whole = Page(events(3)), None
    whole = page.next
    assert whole is not None
    assert len(whole.events) == 3
    assert page.next is whole
    page.done()
    assert page.next is None


def test_after_a_failure_come_those_before_then_it_alone_then_those_behind() -> None:
    told = events(5)
    page = Page(told)
    page.failed(2, "KeyError")
    tried: list[Attempt] = []
    while (attempt := page.next) is not None:
        tried.append(attempt)
        page.done()
    assert tried == [Attempt(told[:2]), Attempt(told[2:3]), Attempt(told[3:])]


def test_what_fails_alone_is_parked_with_what_it_failed_with() -> None:
    told = events(2)
    page = Page(told)
    page.failed(0, "KeyError")
    page.failed(0, "ValueError")
    assert page.next == Attempt(told[:1], "ValueError")
    page.done()
    assert page.next == Attempt(told[1:])


@given(st.integers(0, 20), st.sets(st.integers(1, 20)), st.data())
def test_every_event_is_committed_once_in_order_and_only_the_failing_ones_are_parked(
    count: int, failing: set[int], data: st.DataObject
) -> None:
    page = Page(events(count))
    committed: list[int] = []
    parked: set[int] = set()
    tries: list[Sequence[StoredEvent]] = []
    while (attempt := page.next) is not None:
        tries.append(attempt.events)
        first_bad = next((place for place, event in enumerate(attempt.events) if event.seq in failing), None)
        if first_bad is not None and attempt.error is None:
            page.failed(first_bad, "KeyError")
            continue
        parked |= {event.seq for event in attempt.events if attempt.error}
        committed += [event.seq for event in attempt.events]
        page.done()
    assert committed == list(range(1, count + 1))
    assert parked == {seq for seq in failing if seq <= count}
    assert len(tries) <= 4 * len(parked) + 1, "a failure costs a few transactions, not one for each event"
