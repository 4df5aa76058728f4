"""Filters: which events a subscription asks for, and which patterns are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.contract import CATALOGUE
from session_platform.errors import BadRequest
from session_platform.timeline import Filter

MATCHES = [
    ((), "task.assigned", True),
    (("*",), "task.assigned", True),
    (("*",), "something.nobody.knows", True),
    (("task.assigned",), "task.assigned", True),
    (("task.assigned",), "task.completed", False),
    (("task.assigned",), "task.assigned.again", False),
    (("task.*",), "task.assigned", True),
    (("task.*",), "task.in_progress", True),
    (("task.*",), "task.a.b", True),
    (("task.*",), "task", False),
    (("task.*",), "tasks.assigned", False),
    (("task.*",), "rte.completed", False),
    (("task.a.*",), "task.a.b", True),
    (("task.a.*",), "task.ab", False),
    (("service_request.*",), "service_request.processing", True),
    (("rte.completed", "task.*"), "rte.completed", True),
    (("rte.completed", "task.*"), "task.completed", True),
    (("rte.completed", "task.*"), "coverage.updated", False),
    (("rte.completed", "*"), "coverage.updated", True),
    (("not.yet.invented",), "not.yet.invented", True),
    (("not.yet.invented",), "session.created", False),
    (("Task.*",), "task.assigned", False),
]

REFUSED = [
    "",
    "**",
    "*.*",
    "*.completed",
    "a*b",
    "task*",
    "task.*.x",
    "task.a*",
    "task.**",
    ".*",
    ".",
    "task.",
    ".task",
    "a..b",
    "a..*",
    "task assigned",
    " task.assigned",
    "task.assigned\n",
    "task\x00",
    "task\x7f",
    "task.\u202e",
    "x" * 201,
]


@pytest.mark.parametrize(("events", "name", "wanted"), MATCHES)
def test_patterns_match_as_the_table_says(events: tuple[str, ...], name: str, wanted: bool) -> None:
    assert Filter.member(events).matches(name, "sess_1", None) is wanted


@pytest.mark.parametrize("pattern", REFUSED)
def test_a_pattern_that_is_none_is_refused_wherever_it_stands(pattern: str) -> None:
    for events in ([pattern], ["task.*", pattern], ["*", pattern]):
        with pytest.raises(BadRequest):
            Filter.member(events)


def test_a_refusal_does_not_repeat_the_pattern() -> None:
    with pytest.raises(BadRequest) as raised:
        Filter.member(["jane doe"])
    assert "jane" not in str(raised.value)


def test_a_hundred_patterns_are_accepted_and_one_more_is_refused() -> None:
    assert Filter.member([f"event.n{number}" for number in range(100)]).matches("event.n99", None, None)
    with pytest.raises(BadRequest):
        Filter.member([f"event.n{number}" for number in range(101)])


def test_a_session_filter_wants_the_session_only() -> None:
    wanted = Filter.session("sess_1", ["task.*"])
    assert wanted.matches("task.assigned", "sess_1", "sr_1")
    assert not wanted.matches("task.assigned", "sess_2", "sr_1")
    assert not wanted.matches("task.assigned", None, "sr_1")
    assert not wanted.matches("session.ended", "sess_1", None)


def test_a_request_filter_wants_any_of_its_requests() -> None:
    wanted = Filter.service_requests(["sr_1", "sr_2", "sr_1"])
    assert wanted.matches("service_request.processing", "sess_1", "sr_1")
    assert wanted.matches("task.assigned", None, "sr_2")
    assert not wanted.matches("service_request.processing", "sess_1", "sr_3")
    assert not wanted.matches("session.ended", "sess_1", None)


def test_one_to_a_hundred_requests_can_be_asked_for() -> None:
    assert Filter.service_requests(f"sr_{number}" for number in range(100)).matches("task.assigned", None, "sr_99")
    for ids in ([], [f"sr_{number}" for number in range(101)]):
        with pytest.raises(BadRequest):
            Filter.service_requests(ids)


@given(st.lists(st.sampled_from(sorted(CATALOGUE)) | st.sampled_from(["*", "session.*", "service_request.*", "task.*"])))
def test_every_event_of_the_contract_can_be_asked_for_by_name_and_by_prefix(events: list[str]) -> None:
    wanted = Filter.member(events)
    for name in CATALOGUE:
        asked_for = not events or "*" in events or name in events or f"{name.split('.')[0]}.*" in events
        assert wanted.matches(name, None, None) is asked_for
