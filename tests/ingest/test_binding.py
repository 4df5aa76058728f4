"""The three HTTP bindings, read as the specification and its own library write them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from session_platform.errors import Invalid, UnsupportedMediaType
from session_platform.ingest import binding
from session_platform.ingest.binding import RawEvent
from tests.ingest.published import BATCH, STRUCTURED

DATA = {"session_id": "s1", "member_id": "M123456", "note": "Zoë 🙂"}
JSON = "application/json"
ATTRIBUTES: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/claims/core",
    "type": "com.includedhealth.sessions.lifecycle.created",
    "datacontenttype": JSON,
    "time": datetime(2026, 1, 15, 10, 0, tzinfo=UTC),
    "subject": 'Euro € 😀 "quoted" 100%',
    "comexampleext": "kept",
}


def read(message: Any) -> list[RawEvent]:
    return binding.read(list(message.headers.items()), message.body)


def text(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as JSON writes them."""
    return {name: "2026-01-15T10:00:00Z" if name == "time" else value for name, value in attributes.items()}


def structured(**more: Any) -> bytes:
    return json.dumps({**text(ATTRIBUTES), "data": DATA, **more}).encode()


def refused(content_type: str, body: bytes, *headers: tuple[str, str]) -> set[str]:
    with pytest.raises(Invalid) as refusal:
        binding.read([("Content-Type", content_type), *headers], body)
    return {each.pointer for each in refusal.value.problems}


def test_structured_mode_is_read_as_the_library_writes_it() -> None:
    (event,) = read(to_structured(CloudEvent(dict(ATTRIBUTES), DATA), JSONFormat()))
    assert (dict(event.attributes), event.data) == (text(ATTRIBUTES), DATA)
    assert event.place.attribute("id") == "/id"
    assert event.place.data("/session_id") == "/data/session_id"


def test_binary_mode_is_read_as_the_library_writes_it() -> None:
    (event,) = read(to_binary(CloudEvent(dict(ATTRIBUTES), DATA), JSONFormat()))
    assert dict(event.attributes) == {name: value for name, value in text(ATTRIBUTES).items() if name != "datacontenttype"}
    assert event.data == DATA
    assert event.place.attribute("id") == "/header/ce-id"
    assert event.place.data("/session_id") == "/data/session_id"


def test_a_batch_is_a_list_of_events_each_with_its_place() -> None:
    first, second = (to_structured(CloudEvent({**ATTRIBUTES, "id": each}, DATA), JSONFormat()) for each in ("a", "b"))
    events = binding.read([("content-type", f"{BATCH}; charset=UTF-8")], b"[" + first.body + b"," + second.body + b"]")
    assert [each.attributes["id"] for each in events] == ["a", "b"]
    assert events[1].place.data("/session_id") == "/1/data/session_id"
    assert events[1].place.attribute("id") == "/1/id"


def test_an_empty_batch_holds_nothing() -> None:
    assert binding.read([("Content-Type", BATCH)], b"[]") == []


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_any_text_survives_the_headers_of_binary_mode(value: str) -> None:
    (event,) = read(to_binary(CloudEvent({**ATTRIBUTES, "subject": value}, DATA), JSONFormat()))
    assert event.attributes["subject"] == value


@pytest.mark.parametrize(
    ("header", "value"),
    [
        pytest.param("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀", id="the example of the specification"),
        pytest.param("%65%31", "e1", id="needlessly encoded"),
        pytest.param("%c3%a9", "é", id="lower case digits"),
        pytest.param('"a \\"b\\" c"', 'a "b" c', id="a quoted string of older senders"),
        pytest.param('"a%20b"', "a b", id="quoted and encoded"),
        pytest.param("100%", "100%", id="a percent sign that encodes nothing"),
        pytest.param("%2525", "%25", id="decoded once only"),
    ],
)
def test_a_header_is_unquoted_then_percent_decoded_once(header: str, value: str) -> None:
    (event,) = binding.read([("Content-Type", JSON), ("CE-Subject", header)], b"{}")
    assert event.attributes == {"subject": value}


@pytest.mark.parametrize("header", ["%C0%A0", "%E2%82", "\xe9"])
def test_a_header_that_is_not_utf_8_is_refused(header: str) -> None:
    assert refused(JSON, b"{}", ("ce-subject", header)) == {"/header/ce-subject"}


def test_an_attribute_stands_in_one_header() -> None:
    assert refused(JSON, b"{}", ("ce-id", "a"), ("CE-ID", "a")) == {"/header/ce-id"}


def test_ce_headers_beside_a_structured_event_say_nothing() -> None:
    (event,) = binding.read([("Content-Type", STRUCTURED), ("ce-id", "other")], structured())
    assert event.attributes["id"] == "e-1"


def test_null_is_an_absent_attribute_but_null_data_is_data() -> None:
    (event,) = binding.read([("Content-Type", STRUCTURED)], structured(subject=None, data=None))
    assert "subject" not in event.attributes
    assert event.data is None
    (event,) = binding.read([("Content-Type", STRUCTURED)], b'{"id":"a"}')
    assert event.data is UNSET


def test_base64_data_is_decoded_as_the_json_that_it_is() -> None:
    encoded = base64.b64encode(json.dumps(DATA).encode()).decode()
    whole = json.dumps({**text(ATTRIBUTES), "data_base64": encoded}).encode()
    (event,) = binding.read([("Content-Type", STRUCTURED)], whole)
    assert event.data == DATA
    assert "data_base64" not in event.attributes


@pytest.mark.parametrize("encoded", ["***", "bm8ganNvbg==", 5], ids=["no base64", "no json", "no text"])
def test_base64_that_holds_no_json_is_refused(encoded: Any) -> None:
    whole = json.dumps([{**text(ATTRIBUTES), "data_base64": encoded}]).encode()
    assert refused(BATCH, whole) == {"/0/data_base64"}


def test_data_comes_once() -> None:
    assert refused(STRUCTURED, structured(data_base64="e30=")) == {"/data_base64"}


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/cloudevents+avro",
        "application/xml",
        f"{JSON}; charset=latin-1",
        f"{STRUCTURED}; charset=utf-16",
    ],
)
def test_another_content_type_is_unsupported(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        binding.read([("Content-Type", content_type)], structured())


def test_a_content_type_is_said_once() -> None:
    with pytest.raises(UnsupportedMediaType):
        binding.read([("Content-Type", JSON), ("Content-Type", STRUCTURED)], structured())
    with pytest.raises(UnsupportedMediaType):
        binding.read([], structured())


@pytest.mark.parametrize(
    ("content_type", "body", "pointer"),
    [
        (STRUCTURED, b"", ""),
        (STRUCTURED, b"{", ""),
        (STRUCTURED, b"\xff{}", ""),
        (STRUCTURED, b"[]", ""),
        (STRUCTURED, b'{"id":"a","id":"b"}', ""),
        (STRUCTURED, b'{"data":' + b"[" * 100 + b"]" * 100 + b"}", ""),
        (BATCH, b"{}", ""),
        (BATCH, b"[5]", "/0"),
        (BATCH, b"[" + b"{}," * 1000 + b"{}]", ""),
        (JSON, b"", "/data"),
        (JSON, b"NaN", "/data"),
    ],
    ids=range(11),
)
def test_what_cannot_be_read_is_refused_where_it_stands(content_type: str, body: bytes, pointer: str) -> None:
    assert refused(content_type, body) == {pointer}


def test_a_long_name_is_not_repeated_in_a_pointer() -> None:
    (event,) = binding.read([("Content-Type", STRUCTURED)], structured())
    assert event.place.attribute("x" * 101) == ""
    assert event.place.attribute("a/b~c") == "/a~1b~0c"
