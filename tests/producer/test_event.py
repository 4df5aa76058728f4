"""Events as a backend writes them: the platform reads the very same, and a mistake shows where it is made."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest

from digital_session_producer import Event
from digital_session_producer.event import full_type
from session_platform.contract import CATALOGUE

EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_the_short_name_of_every_event_of_the_contract_is_its_type(name: str) -> None:
    assert full_type(name) == CATALOGUE[name].type


def test_a_whole_type_stays_as_it_is() -> None:
    assert full_type("com.includedhealth.sessions.task.assigned") == "com.includedhealth.sessions.task.assigned"


def test_an_event_is_a_structured_cloudevent() -> None:
    event = Event(
        "task.in_progress",
        {"task_id": "t1", "member_id": "M1", "started_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=EAST)},
        id="e1",
        time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        extensions={"traceparent": "00-1"},
    )
    envelope = event.sealed("/backend")
    assert (envelope.event_id, envelope.member_id) == ("e1", "M1")
    assert json.loads(envelope.body) == {
        "specversion": "1.0",
        "id": "e1",
        "source": "/backend",
        "type": "com.includedhealth.sessions.task.in-progress",
        "time": "2026-01-02T03:04:05Z",
        "datacontenttype": "application/json",
        "traceparent": "00-1",
        "data": {"task_id": "t1", "member_id": "M1", "started_at": "2026-01-02T01:04:05Z"},
    }


def test_two_events_with_the_same_data_have_their_own_ids_and_one_keeps_its() -> None:
    first, second = Event("rte.completed", {"member_id": "M1"}), Event("rte.completed", {"member_id": "M1"})
    assert first.id != second.id
    assert first.sealed("/a") == first.sealed("/a")


def test_data_holds_dates_and_enums() -> None:
    class Reason(StrEnum):
        TIMEOUT = "TIMEOUT"

    data = {"member_id": "M1", "day": date(2026, 1, 2), "reason": Reason.TIMEOUT, "deep": {"list": (1, 2.5, None, "é")}}
    assert json.loads(Event("x", data).sealed("/a").body)["data"] == {
        "member_id": "M1",
        "day": "2026-01-02",
        "reason": "TIMEOUT",
        "deep": {"list": [1, 2.5, None, "é"]},
    }


@pytest.mark.parametrize(
    "made",
    [
        {"type": ""},
        {"id": ""},
        {"data": {}},
        {"data": {"member_id": 7}},
        {"data": {"member_id": "M1", "number": float("nan")}},
        {"data": {"member_id": "M1", "text": "\ud800"}},
        {"data": {"member_id": "M1", "at": datetime(2026, 1, 2)}},  # noqa: DTZ001 (that is what is refused)
        {"data": {"member_id": "M1", "thing": object()}},
        {"time": datetime(2026, 1, 2)},  # noqa: DTZ001
        {"extensions": {"data": "x"}},
    ],
    ids=lambda made: "-".join(made),
)
def test_what_cannot_be_sent_is_refused_where_it_is_made(made: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Event(**{"type": "x", "data": {"member_id": "M1"}, **made})
