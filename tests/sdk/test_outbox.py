"""What waits to be submitted: in order, once, for one subject, for a day, and not without end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digital_session import errors
from digital_session._outbox import FAULTS_MAX, KEPT_FOR_S, WAITING_MAX, Entry, Outbox


def entry(key: str, subject: str = "M1", at: float = 0.0) -> Entry:
    return Entry(key, subject, "sess_1", {"service": "RTE", "data": {"n": key}}, at)


def keys(outbox: Outbox) -> list[str]:
    found = []
    while (first := outbox.first()) is not None:
        found.append(first.key)
        outbox.remove(first.key)
    return found


@given(st.lists(st.sampled_from("abcdefgh"), unique=True))
def test_the_oldest_goes_first(names: list[str]) -> None:
    outbox = Outbox()
    for name in names:
        outbox.add(entry(name))
    assert keys(outbox) == names


def test_too_many_are_an_error_and_leave_the_others_as_they_are() -> None:
    outbox = Outbox()
    for number in range(WAITING_MAX):
        outbox.add(entry(str(number)))
    with pytest.raises(errors.UnavailableError) as caught:
        outbox.add(entry("one more"))
    assert (caught.value.code, caught.value.retryable) == ("queue_full", True)
    assert len(outbox) == WAITING_MAX


def test_what_another_subject_submitted_and_what_is_a_day_old_does_not_go_out() -> None:
    outbox = Outbox()
    outbox.add(entry("old", at=0.0))
    outbox.add(entry("another's", subject="M2", at=50.0))
    outbox.add(entry("young", at=50.0))
    dropped = outbox.drop("M1", KEPT_FOR_S)
    assert [(each.key, error.code, error.retryable) for each, error in dropped] == [
        ("old", "expired", False),
        ("another's", "subject_changed", False),
    ]
    assert keys(outbox) == ["young"]


def test_a_fault_that_the_platform_tells_is_tried_a_few_times() -> None:
    outbox, waiting = Outbox(), entry("a")
    assert [outbox.passed(waiting, answered=True) for _ in range(FAULTS_MAX)] == [True] * (FAULTS_MAX - 1) + [False]


def test_after_a_try_without_an_answer_only_a_final_answer_ends_it() -> None:
    outbox, waiting = Outbox(), entry("a")
    outbox.passed(waiting, answered=False)
    assert all(outbox.passed(waiting, answered=True) for _ in range(10 * FAULTS_MAX))


def test_what_was_saved_comes_back_in_order_and_nobody_knows_whether_it_was_tried() -> None:
    outbox, again = Outbox(), Outbox()
    for name in ("a", "b"):
        outbox.add(entry(name, at=7.0))
    again.restore(json.loads(json.dumps(outbox.saved())))
    first = again.first()
    assert first == Entry("a", "M1", "sess_1", {"service": "RTE", "data": {"n": "a"}}, 7.0, uncertain=True, restored=True)
    assert keys(again) == ["a", "b"]


@pytest.mark.parametrize(
    "saved", [None, 7, {}, [None], [{"key": "a"}], [{"key": "a", "subject": "s", "session_id": "s", "body": {}, "at": "?"}]]
)
def test_what_is_no_outbox_is_left_out(saved: Any) -> None:
    outbox = Outbox()
    outbox.restore(saved)
    assert len(outbox) == 0
