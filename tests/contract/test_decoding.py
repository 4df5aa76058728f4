"""What somebody else wrote is taken at its word or refused with a path; never guessed at."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import digital_session._generated as sdk
from session_platform.contract import (
    CATALOGUE,
    AssigneeRole,
    DurableEvent,
    ServiceRequestSubmittedEvent,
    SessionCreatedEvent,
    TaskAssignedEvent,
    decode_data,
    spec_of,
)
from tests.contract.events import any_durable, sealed

ENUM_FIELDS = [
    ("session.created", "session_type"),
    ("session.created", "channel"),
    ("session.active", "state"),
    ("session.ended", "reason"),
    ("session.ended", "outcome"),
    ("service_request.submitted", "priority"),
    ("service_request.submitted", "target_role"),
    ("service_request.processing", "stage"),
    ("service_request.completed", "outcome"),
    ("task.assigned", "assignee_role"),
    ("task.completed", "outcome"),
    ("rte.completed", "coverage_status"),
    ("coverage.updated", "change_type"),
    ("care_plan.updated", "status"),
]
IDS = {
    "session_id": "sess_1",
    "service_request_id": "sr_1",
    "task_id": "task_1",
    "member_id": "M1",
    "account_id": "A1",
    "care_plan_id": "cp_1",
    "percent_complete": 0,
}


def decode(name: str, **fields: Any) -> Any:
    return decode_data(name, json.dumps(IDS | fields).encode())


@settings(deadline=None)
@given(any_durable())
def test_what_was_written_reads_back_equal(event: DurableEvent) -> None:
    data = json.loads(sealed(event).full)["data"]
    assert decode_data(spec_of(type(event)).name, json.dumps(data).encode()) == event


@settings(deadline=None)
@given(any_durable())
def test_unset_fields_are_absent_lists_are_there_and_nothing_is_null(event: DurableEvent) -> None:
    data = json.loads(sealed(event).full)["data"]
    free = {"result_data", "task_result"}
    assert all(value is not None for value in data.values())
    for field in msgspec.structs.fields(type(event)):
        is_list = str(field.type).startswith("tuple[")
        unset = getattr(event, field.name) is msgspec.UNSET
        assert (field.name in data) == (is_list or not unset)
        if field.name not in free and is_list:
            assert isinstance(data[field.name], list)


@pytest.mark.parametrize(("name", "field"), ENUM_FIELDS)
@pytest.mark.parametrize("value", ["UNSPECIFIED", "unspecified", "SESSION_TYPE_APP", "", 0, 1, None, ["APP"]])
def test_an_enum_takes_only_its_short_names(name: str, field: str, value: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match=field):
        decode(name, **{field: value})


@pytest.mark.parametrize("written", ["clinician", "CLINICIAN", "Clinician"])
def test_a_role_is_taken_in_any_case_and_written_in_upper_case(written: str) -> None:
    event = decode("task.assigned", assignee_role=written)
    assert event == TaskAssignedEvent(
        task_id="task_1",
        session_id="sess_1",
        member_id="M1",
        service_request_id="sr_1",
        assignee_role=AssigneeRole.CLINICIAN,
    )
    assert json.loads(sealed(event).full)["data"]["assignee_role"] == "CLINICIAN"


def test_only_a_role_is_taken_in_any_case() -> None:
    with pytest.raises(msgspec.ValidationError, match="session_type"):
        decode("session.created", session_type="app")


@settings(deadline=None)
@given(st.sampled_from(sorted(CATALOGUE)), st.data())
def test_null_is_refused_wherever_it_stands(name: str, data: st.DataObject) -> None:
    field = data.draw(st.sampled_from(msgspec.structs.fields(CATALOGUE[name].struct)))
    with pytest.raises(msgspec.ValidationError, match=field.name):
        decode(name, **{field.name: None})


@settings(deadline=None)
@given(st.sampled_from(sorted(CATALOGUE)), st.data())
def test_a_missing_required_field_is_refused_by_name(name: str, data: st.DataObject) -> None:
    required = [field.name for field in msgspec.structs.fields(CATALOGUE[name].struct) if field.required]
    missing = data.draw(st.sampled_from(required))
    given_data = {key: value for key, value in IDS.items() if key != missing}
    with pytest.raises(msgspec.ValidationError, match=missing):
        decode_data(name, json.dumps(given_data).encode())


@settings(deadline=None)
@given(st.sampled_from(sorted(CATALOGUE)))
def test_an_unknown_field_is_ignored(name: str) -> None:
    assert decode(name, field_of_the_future={"x": [None]}) == decode(name)


def test_set_is_not_unset_for_zero_false_and_empty_text() -> None:
    event = decode("service_request.submitted", reason="")
    assert isinstance(event, ServiceRequestSubmittedEvent)
    assert json.loads(sealed(event).full)["data"]["reason"] == ""
    processing = json.loads(sealed(decode("service_request.processing", percent_complete=0)).full)
    assert processing["data"]["percent_complete"] == 0
    assert processing["data"]["task_statuses"] == []


def test_a_time_is_read_in_utc_whatever_its_offset() -> None:
    event = decode("session.created", created_at="2026-01-15T12:30:00+02:00")
    assert isinstance(event, SessionCreatedEvent)
    assert event.created_at == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)
    assert json.loads(sealed(event).full)["data"]["created_at"] == "2026-01-15T10:30:00Z"


@pytest.mark.parametrize(
    "time",
    ["2026-01-15T10:30:00", "2026-01-15", 1768473000, "yesterday", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"],
)
def test_a_time_without_a_zone_or_outside_utc_is_refused(time: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="created_at"):
        decode("session.created", created_at=time)


def test_a_struct_made_in_code_refuses_a_time_without_a_zone_too() -> None:
    with pytest.raises(ValueError, match="created_at has no time zone"):
        SessionCreatedEvent(session_id="s", member_id="M1", created_at=datetime(2026, 1, 15))  # noqa: DTZ001


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.5, "1", True])
def test_a_number_outside_its_type_is_refused(value: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="percent_complete"):
        decode("service_request.processing", percent_complete=value)


@pytest.mark.parametrize("value", ["text", 1, ["list"], True])
def test_a_result_is_an_object(value: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="result_data"):
        decode("service_request.completed", result_data=value)


def test_data_nested_without_end_is_refused_like_any_other_bad_data() -> None:
    data = b'{"service_request_id":"sr_1","member_id":"M1","result_data":{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    with pytest.raises(msgspec.ValidationError, match="nested too deeply"):
        decode_data("service_request.completed", data)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'"x"', b"{", b"\xff"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_data("session.created", data)


def test_a_name_that_the_contract_does_not_know_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        decode_data("session.imagined", b"{}")


def test_an_sdk_takes_an_enum_value_of_a_newer_server_as_it_is() -> None:
    raw = b'{"session_id":"s","member_id":"M1","state":"PONDERING","active_tasks":[]}'
    event = msgspec.json.decode(raw, type=sdk.SessionActiveEvent)
    assert isinstance(event.state, sdk.SessionState)
    assert (event.state, event.state.value) == ("PONDERING", "PONDERING")
    assert b'"state":"PONDERING"' in msgspec.json.encode(event)
    known = msgspec.json.decode(raw.replace(b"PONDERING", b"IDLE"), type=sdk.SessionActiveEvent)
    assert known.state is sdk.SessionState.IDLE
