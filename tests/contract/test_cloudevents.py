"""The official CloudEvents SDK reads what we write, and writes the same."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings

from session_platform.contract import (
    CATALOGUE,
    EVENT_MAX_BYTES,
    DurableEvent,
    EphemeralEvent,
    ServiceRequestCompletedEvent,
    SessionActiveEvent,
    SessionEndedEvent,
    spec_of,
    tag_of,
)
from tests.contract.events import AT, EPHEMERAL, TRACEPARENT, any_durable, any_event, sealed, sealed_ephemeral

ENDED = SessionEndedEvent(session_id="sess_1", member_id="M1")


@settings(deadline=None)
@given(any_durable())
def test_the_official_sdk_reads_a_durable_event(event: DurableEvent) -> None:
    ours = sealed(event)
    for body in (ours.full, ours.redacted):
        read = JSONFormat().read(None, body)
        assert isinstance(read, CloudEvent)
        assert (read.get_id(), read.get_source(), read.get_time()) == ("evt_1", "/jarvis/sessions", AT)
        assert read.get_specversion() == "1.0"
        assert read.get_type() == spec_of(type(event)).type
        assert read.get_datacontenttype() == "application/json"
        assert read.get_extension("partitionkey") == event.member_id
        assert read.get_extension("timelineseq") == "00000000000000000007"
        assert read.get_extension("timelineepoch") == 1
        assert read.get_extension("traceparent") == TRACEPARENT


@settings(deadline=None)
@given(any_durable())
def test_the_official_sdk_writes_the_same_envelope(event: DurableEvent) -> None:
    ours: dict[str, Any] = json.loads(sealed(event).full)
    attributes = {name: value for name, value in ours.items() if name != "data"}
    theirs = JSONFormat().write(CloudEvent({**attributes, "time": AT}, ours["data"]))
    assert json.loads(theirs) == ours


@settings(deadline=None)
@given(any_event(EPHEMERAL[0]))
def test_the_official_sdk_reads_an_ephemeral_event_which_has_no_number(event: EphemeralEvent) -> None:
    ours = sealed_ephemeral(event)
    read = JSONFormat().read(None, ours.body)
    assert read.get_type() == "com.includedhealth.sessions.lifecycle.active"
    assert read.get_extension("partitionkey") == event.member_id
    assert {"timelineseq", "timelineepoch"}.isdisjoint(read.get_attributes())
    assert (ours.timeline, ours.session_id) == (event.member_id, event.session_id)


def test_only_presence_is_ephemeral() -> None:
    assert [spec.name for spec in EPHEMERAL] == ["session.active"]
    assert CATALOGUE["session.active"].struct is SessionActiveEvent


def test_routing_headers_stand_beside_the_bytes() -> None:
    event = ServiceRequestCompletedEvent(service_request_id="sr_1", session_id="sess_1", member_id="M1")
    got = sealed(event, seq=12, epoch=3)
    assert (got.event_id, got.name, got.timeline, got.epoch, got.seq) == ("evt_1", "service_request.completed", "M1", 3, 12)
    assert (got.session_id, got.service_request_id, got.tag) == ("sess_1", "sr_1", tag_of("evt_1"))
    assert sealed(ENDED).service_request_id is None


def test_time_is_written_in_utc_whatever_zone_it_comes_in() -> None:
    time = datetime(2026, 1, 15, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    event = SessionEndedEvent(session_id="sess_1", member_id="M1", ended_at=time)
    written = json.loads(sealed(event, time=time).full)
    assert (written["time"], written["data"]["ended_at"]) == ("2026-01-15T10:30:00Z", "2026-01-15T10:30:00Z")
    assert event.ended_at == datetime(2026, 1, 15, 10, 30, tzinfo=UTC)


def test_extension_attributes_pass_and_are_kept_in_both_forms() -> None:
    event = SessionEndedEvent(session_id="sess_1", member_id="M1")
    got = sealed(event, extensions={"tenant": "acme", "attempt2": 3, "dryrun": True})
    for body in (got.full, got.redacted):
        read = JSONFormat().read(None, body)
        assert [read.get_extension(name) for name in ("tenant", "attempt2", "dryrun")] == ["acme", 3, True]


@pytest.mark.parametrize(
    "extensions",
    [
        {"timelineseq": "00000000000000000001"},
        {"partitionkey": "M2"},
        {"data": "x"},
        {"id": "evt_2"},
        {"Tenant": "x"},
        {"ten-ant": "x"},
        {"": "x"},
        {"ténant": "x"},
        {"big": 2**31},
        {"small": -(2**31) - 1},
    ],
)
def test_an_extension_cannot_forge_an_attribute_or_break_the_format(extensions: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an extension attribute"):
        sealed(ENDED, extensions=extensions)


def test_an_event_of_exactly_the_limit_passes_and_one_byte_more_does_not() -> None:
    def of(size: int) -> ServiceRequestCompletedEvent:
        return ServiceRequestCompletedEvent(service_request_id="sr_1", member_id="M1", result_data={"x": "x" * size})

    room = EVENT_MAX_BYTES - len(sealed(of(0)).full)
    assert len(sealed(of(room)).full) == EVENT_MAX_BYTES == 524_288
    with pytest.raises(ValueError, match="524289 bytes"):
        sealed(of(room + 1))


def test_what_json_cannot_hold_is_refused_and_not_written_in_part() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"x": deep}
    for data in (deep, {"x": "\ud800"}):
        with pytest.raises(ValueError, match=r"nested too deeply|surrogates"):
            sealed(ServiceRequestCompletedEvent(service_request_id="sr_1", member_id="M1", result_data=data))


def test_an_event_without_health_data_is_serialised_once() -> None:
    got = sealed(ENDED)
    assert got.redacted is got.full


@pytest.mark.parametrize(
    ("event_id", "tag"),
    # By `printf %s ID | b2sum -l 32`.
    [("evt_01", 0xE8B92FF0), ("evt_01jhm2v6q0000000000000000a", 0x350B887B), ("", 0x1271CF25), ("é", 0x954544C2)],
)
def test_the_tag_of_an_id_never_changes(event_id: str, tag: int) -> None:
    assert tag_of(event_id) == tag
