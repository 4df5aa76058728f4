"""What an event must say by itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from session_platform.contract import CATALOGUE, AssigneeRole, TaskAssignedEvent
from session_platform.ingest.binding import Place, RawEvent
from session_platform.ingest.rules import Publication, understand
from tests.ingest import published

MINIMAL = [
    published.created(),
    published.active(),
    published.ended(),
    published.submitted(),
    published.processing(),
    published.completed(),
    published.assigned(),
    published.in_progress(),
    published.done(),
    published.checked(),
    published.covered(),
    published.care_plan(),
]

NAMES = [each["type"] for each in MINIMAL]


def raw(event: dict[str, Any]) -> RawEvent:
    return RawEvent(Place(), {name: value for name, value in event.items() if name != "data"}, event.get("data", UNSET))


def taken(event: dict[str, Any]) -> Publication:
    read = understand(raw(event))
    assert isinstance(read, Publication), read
    return read


def pointers(event: dict[str, Any]) -> set[str]:
    read = understand(raw(event))
    assert isinstance(read, list)
    assert read
    return {each.pointer for each in read}


def test_every_type_of_the_contract_is_here() -> None:
    assert {event["type"] for event in MINIMAL} == {spec.type for spec in CATALOGUE.values()}


@pytest.mark.parametrize("event", MINIMAL, ids=NAMES)
def test_an_event_that_says_the_least_is_an_event(event: dict[str, Any]) -> None:
    assert type(taken(event).event) is next(spec.struct for spec in CATALOGUE.values() if spec.type == event["type"])


@pytest.mark.parametrize("event", MINIMAL, ids=NAMES)
def test_each_field_must_be_known_of_its_type_and_no_null(event: dict[str, Any]) -> None:
    assert pointers({**event, "data": {**event["data"], "sesion_id": "s1"}}) == {"/data/sesion_id"}
    for name in event["data"]:
        assert f"/data/{name}" in {each[: len(name) + 6] for each in pointers({**event, "data": {**event["data"], name: None}})}
        assert pointers({**event, "data": {**event["data"], name: 10.5}})
    assert pointers({**event, "data": {}}) >= {"/data/member_id"}
    assert pointers({**event, "data": []}) == {"/data"}
    without = {name: value for name, value in event.items() if name != "data"}
    assert pointers(without) == {"/data"}


@pytest.mark.parametrize("event", MINIMAL, ids=NAMES)
def test_a_reference_is_the_platforms_to_give(event: dict[str, Any]) -> None:
    spec = next(spec for spec in CATALOGUE.values() if spec.type == event["type"])
    for ref in spec.refs.values():
        assert pointers({**event, "data": {**event["data"], ref: "/v1/anything"}}) == {f"/data/{ref}"}


def test_every_mistake_is_named_at_once() -> None:
    event = published.processing(percent=10, task_statuses=[{"task_id": "t1", "status": 5, "x": 1}], stage="UNSPECIFIED", y=1)
    assert pointers(event) == {
        "/data/task_statuses/0/task_type",
        "/data/task_statuses/0/status",
        "/data/task_statuses/0/x",
        "/data/stage",
        "/data/y",
    }


WRONG: list[tuple[dict[str, Any], str]] = [
    (published.created(session_type="UNSPECIFIED"), "/data/session_type"),
    (published.created(session_type="app"), "/data/session_type"),
    (published.created(created_at="2026-01-15T10:00:00"), "/data/created_at"),
    (published.created(metadata={"a": 1}), "/data/metadata"),
    (published.created("active"), "/data/session_id"),
    (published.created("../s1"), "/data/session_id"),
    (published.created("s" * 129), "/data/session_id"),
    (published.created(""), "/data/session_id"),
    (published.created(previous_session_id="a b"), "/data/previous_session_id"),
    (published.created(initiator_id="x" * 1001), "/data/initiator_id"),
    (published.created(initiator_id="a\x00b"), "/data/initiator_id"),
    (published.active(active_tasks=["t1", "no id"]), "/data/active_tasks/1"),
    (published.active(active_tasks=["t"] * 501), "/data/active_tasks"),
    (published.ended(duration_seconds=-1), "/data/duration_seconds"),
    (published.submitted(target_role="NOBODY"), "/data/target_role"),
    (published.processing(percent=-1), "/data/percent_complete"),
    (published.processing(percent=101), "/data/percent_complete"),
    (published.processing(estimated_completion_seconds=-1), "/data/estimated_completion_seconds"),
    (published.processing(estimated_completion_seconds=2**31), "/data/estimated_completion_seconds"),
    (
        published.processing(task_statuses=[{"task_id": "a b", "task_type": "X", "status": "pending"}]),
        "/data/task_statuses/0/task_id",
    ),
    (
        published.processing(task_statuses=[{"task_id": "t", "task_type": "X", "status": "PENDING"}]),
        "/data/task_statuses/0/status",
    ),
    (
        published.processing(task_statuses=[{"task_id": "t", "task_type": "X" * 1001, "status": "pending"}]),
        "/data/task_statuses/0/task_type",
    ),
    (published.completed(outcome="FAILED", result_data={}), "/data/result_data"),
    (published.completed(error={"code": "x", "message": "m", "retryable": False}), "/data/error"),
    (published.completed(outcome="FAILED", error={"code": "No code", "message": "m", "retryable": False}), "/data/error/code"),
    (published.completed(outcome="FAILED", error={"code": "x", "message": "m"}), "/data/error/retryable"),
    (published.completed(result_data=[1]), "/data/result_data"),
    (published.assigned(assignee_role="MEMBER", assignee_id="C001"), "/data/assignee_id"),
    (published.in_progress(assignee_role="MEMBER", assignee_id="C001"), "/data/assignee_id"),
    (published.done(task_result="text"), "/data/task_result"),
    (published.checked(outcome="FAILED", coverage=published.coverage()), "/data/coverage"),
    (published.checked(coverage=published.coverage("A789013")), "/data/coverage/account_id"),
    (published.checked(coverage=published.coverage(), coverage_status="INACTIVE"), "/data/coverage_status"),
    (published.checked(error={"code": "x", "message": "m", "retryable": False}), "/data/error"),
    (published.covered(coverage=published.coverage("A789013")), "/data/coverage/account_id"),
    (
        published.covered(coverage=published.coverage(benefits=[{"copay": {"amount": "1"}}])),
        "/data/coverage/benefits/0/copay/currency",
    ),
    *(
        (published.covered(coverage={**published.coverage(), name: value}), f"/data/coverage/{name}")
        for name, value in {
            "payer_name": "x" * 1001,
            "plan_name": "a\x00b",
            "effective_date": "soon",
            "termination_date": "2026-02-30",
            "benefits": [{}] * 501,
        }.items()
    ),
    *(
        (published.checked(coverage=published.coverage(benefits=[{}, benefit])), f"/data/coverage/benefits/1/{place}")
        for place, benefit in {
            "service_type": {"service_type": "x" * 1001},
            "coinsurance_percent": {"coinsurance_percent": 100.5},
            "copay/amount": {"copay": {"amount": "a few", "currency": "USD"}},
            "deductible/currency": {"deductible": {"amount": "25.00", "currency": "dollars"}},
        }.items()
    ),
    (
        published.completed(outcome="FAILED", error={"code": "x", "message": "m" * 1001, "retryable": False}),
        "/data/error/message",
    ),
    (published.care_plan(status="DONE"), "/data/status"),
    (published.care_plan(updated_goals=["g 1"]), "/data/updated_goals/0"),
    (published.care_plan(care_plan_id="a/b"), "/data/care_plan_id"),
]


@pytest.mark.parametrize(("event", "pointer"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_refused_where_it_is(event: dict[str, Any], pointer: str) -> None:
    assert pointers(event) == {pointer}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (published.created(), "session_type"),
        (published.created(), "channel"),
        (published.submitted(), "healthcare_service"),
        (published.completed(), "outcome"),
        (published.covered(), "coverage"),
        (published.processing(), "percent_complete"),
    ],
    ids=range(6),
)
def test_without_these_nothing_can_be_made_of_an_event(event: dict[str, Any], field: str) -> None:
    data = {name: value for name, value in event["data"].items() if name != field}
    assert pointers({**event, "data": data}) == {f"/data/{field}"}


def test_a_coverage_is_of_the_account_that_the_check_names() -> None:
    event = published.checked(coverage=published.coverage())
    data = {name: value for name, value in event["data"].items() if name != "account_id"}
    assert pointers({**event, "data": data}) == {"/data/account_id"}


def test_a_time_is_read_to_utc_or_not_at_all() -> None:
    event = published.created(created_at="2026-01-15T12:00:00.5+02:00")
    assert msgspec.to_builtins(taken(event).event)["created_at"] == "2026-01-15T10:00:00.500000Z"
    assert pointers(published.created(created_at="9999-12-31T23:59:59-12:00")) == {"/data"}


def test_a_role_may_come_in_any_case() -> None:
    event = taken(published.assigned(assignee_role="care_team")).event
    assert isinstance(event, TaskAssignedEvent)
    assert event.assignee_role is AssigneeRole.CARE_TEAM


def test_a_set_empty_value_is_not_an_unset_one() -> None:
    event = msgspec.to_builtins(taken(published.created(intent="", device_id="")).event)
    assert (event["intent"], event["device_id"]) == ("", "")
    assert "account_id" not in event


# ------------------------------------------------------------------------------------------------------------------- attributes


ATTRIBUTES: list[tuple[dict[str, Any], str]] = [
    ({"specversion": None}, "/specversion"),
    ({"specversion": "0.3"}, "/specversion"),
    ({"specversion": 1.0}, "/specversion"),
    ({"id": None}, "/id"),
    ({"id": ""}, "/id"),
    ({"id": "x" * 257}, "/id"),
    ({"id": 5}, "/id"),
    ({"id": "a\x7f"}, "/id"),
    ({"source": None}, "/source"),
    ({"source": "no uri"}, "/source"),
    ({"source": "/a%2"}, "/source"),
    ({"type": None}, "/type"),
    ({"type": "com.includedhealth.sessions.lifecycle.paused"}, "/type"),
    ({"type": "session.created"}, "/type"),
    ({"type": ["x"]}, "/type"),
    ({"datacontenttype": "application/xml"}, "/datacontenttype"),
    ({"datacontenttype": 5}, "/datacontenttype"),
    ({"time": "yesterday"}, "/time"),
    ({"time": "2026-01-15T10:00:00"}, "/time"),
    ({"time": 5}, "/time"),
    ({"timelineseq": "00000000000000000001"}, "/timelineseq"),
    ({"timelineepoch": 1}, "/timelineepoch"),
    ({"partitionkey": "r1"}, "/partitionkey"),
    ({"partitionkey": 5}, "/partitionkey"),
    ({"traceparent": 5}, "/traceparent"),
    ({"Upper": "x"}, "/Upper"),
    ({"under_score": "x"}, "/under_score"),
    ({"x" * 65: "x"}, "/" + "x" * 65),
    ({"ext": {}}, "/ext"),
    ({"ext": 1.5}, "/ext"),
    ({"ext": 2**31}, "/ext"),
    ({"ext": ""}, "/ext"),
    ({"ext": "x" * 1025}, "/ext"),
    ({"ext": "\ufffe"}, "/ext"),
    ({"dataschema": "no uri"}, "/dataschema"),
    ({f"ext{number:02}": "x" for number in range(33)}, "/ext32"),
]


@pytest.mark.parametrize(("attributes", "pointer"), ATTRIBUTES, ids=range(len(ATTRIBUTES)))
def test_an_attribute_that_is_none_is_refused_where_it_stands(attributes: dict[str, Any], pointer: str) -> None:
    event = {**published.created(), **attributes}
    assert pointers({name: value for name, value in event.items() if value is not None}) == {pointer}


def test_what_a_backend_may_say_of_its_event_is_kept() -> None:
    more: dict[str, Any] = {
        "comexampletenant": "north",
        "flagged": True,
        "priority": -5,
        "subject": "s1",
        "dataschema": "https://x/y",
    }
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = published.event(
        "session.created",
        published.created()["data"],
        time="2026-01-15T12:00:00+02:00",
        traceparent=trace,
        partitionkey="M123456",
        **more,
    )
    read = taken({**event, "datacontenttype": "application/json; charset=utf-8"})
    assert read.marks.time == datetime(2026, 1, 15, 10, tzinfo=UTC)
    assert read.marks.traceparent == trace
    assert read.marks.extensions == more
    assert (read.source, read.event_id) == (event["source"], event["id"])


@pytest.mark.parametrize("trace", ["nonsense", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"])
def test_a_trace_that_is_none_holds_up_no_event(trace: str) -> None:
    assert taken({**published.created(), "traceparent": trace}).marks.traceparent is None


def test_the_digest_is_of_type_and_data_however_they_are_written() -> None:
    event = published.created(intent="x")
    turned = {**event, "data": dict(reversed(event["data"].items())), "time": "2026-01-15T10:00:00Z", "ext": "x"}
    assert taken(event).digest == taken(turned).digest
    assert taken(event).digest != taken({**event, "data": {**event["data"], "intent": "y"}}).digest


def test_no_detail_repeats_what_was_submitted() -> None:
    secret = "Zq7secret"
    for event, _ in WRONG:
        marked = {**event, "data": {name: secret if isinstance(value, str) else value for name, value in event["data"].items()}}
        read = understand(raw({**marked, "id": secret + "\x00", "ext": [secret]}))
        assert isinstance(read, list)
        assert not any(secret in each.detail for each in read)
        shaped = understand(raw(marked))
        assert not isinstance(shaped, list) or not any(secret in each.detail for each in shaped)
