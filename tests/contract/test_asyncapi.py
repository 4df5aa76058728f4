"""The AsyncAPI document is valid, whole and true."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, ValidationError

from session_platform.contract import CATALOGUE, TIMELINE_TOPIC, TOPICS, TaskAssignedEvent
from session_platform.errors import BadRequest
from session_platform.gateway import frames
from tests.contract.events import sealed
from tests.contract.published import contract, message
from tests.protocol_page import blocks

OFFICIAL = Path(__file__).with_name("asyncapi-3.0.0") / "schema.json"
EVENT = json.loads(sealed(TaskAssignedEvent(task_id="task_1", member_id="M1")).redacted)
NOW = datetime(2026, 1, 15, tzinfo=UTC)

# What an example leaves open with an ellipsis, by the name of its field.
ANY: dict[str, Any] = {
    "expires_at": "2026-01-15T10:00:00Z",
    "heartbeat_seconds": 20,
    "flags": {"enable-digital-sessions": True},
    "features": [],
    "time": "2026-01-15T10:00:00Z",
    "created_at": "2026-01-15T10:00:00Z",
    "timelineseq": "00000000000000000007",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "event": EVENT,
}

SERVER_FRAMES: list[frames.ServerFrame] = [
    frames.Connected(
        id="1", connection_id="c", subject="s", expires_at=NOW, heartbeat_seconds=20, flags={"f": True}, features=("a",)
    ),
    frames.Subscribed(id=msgspec.UNSET, subscription_id="s", timeline="t", cursor="c", recovered=None),
    frames.Subscribed(id="1", subscription_id="s", timeline="t", cursor="c", recovered=False),
    frames.Unsubscribed(id=msgspec.UNSET, subscription_id="s", reason="right_ended"),
    frames.CaughtUp(subscription_id="s", cursor="c"),
    frames.Position(positions=(frames.At("s", "c"),)),
    frames.Reset(subscription_ids=("s",), cursor="c", reason="continuity_lost"),
    frames.Refreshed(id="1", expires_at=NOW),
    frames.Pong(id="1"),
    frames.Goodbye(reason="draining", reconnect_after_ms=700),
    frames.Error(code="too_slow", message="m", retryable=True, fatal=True, retry_after_ms=1000),
    frames.Error(id="1", code="bad_request", message="m", retryable=False, fatal=False),
]


def test_the_document_is_what_the_official_schema_calls_asyncapi_3() -> None:
    Draft7Validator(json.loads(OFFICIAL.read_text())).validate(contract("asyncapi"))


def test_every_frame_that_a_client_may_send_and_every_one_that_it_may_get_is_in_it() -> None:
    messages = set(contract("asyncapi")["channels"]["gateway"]["messages"])
    assert {name.removeprefix("client.") for name in messages if name.startswith("client.")} == frames.KINDS
    assert {name.removeprefix("server.") for name in messages if name.startswith("server.")} == {
        *(json.loads(frames.encode(frame))["type"] for frame in SERVER_FRAMES), "event",
    }  # fmt: skip


def test_every_topic_is_in_it_with_key_partitions_and_retention() -> None:
    channels = contract("asyncapi")["channels"]
    assert set(channels) == {"gateway", *(topic.topic for topic in TOPICS)}
    for topic in TOPICS:
        channel, kafka = channels[topic.topic], channels[topic.topic]["bindings"]["kafka"]
        assert (channel["x-key"], kafka["partitions"]) == (topic.key, topic.partitions)
        assert kafka["topicConfiguration"]["retention.ms"] == topic.retention_days * 86_400_000
    durable = {f"{spec.name}.delivered" for spec in CATALOGUE.values() if spec.event_class != "EPHEMERAL"}
    assert set(channels[TIMELINE_TOPIC]["messages"]) == durable


@pytest.mark.parametrize("frame", SERVER_FRAMES, ids=lambda frame: type(frame).__name__)
def test_what_the_gateway_writes_fits(frame: frames.ServerFrame) -> None:
    written = json.loads(frames.encode(frame))
    validator = message(f"server.{written['type']}")
    validator.validate(written)
    required = [name for name in written if name not in {"id", "retry_after_ms"}]
    for name in required:
        assert not validator.is_valid({key: value for key, value in written.items() if key != name}), name


def test_an_event_frame_fits_with_what_gave_way_and_without() -> None:
    for superseded in ((), (6, 7)):
        written = json.loads(frames.event(["s1", "s2"], "c", json.dumps(EVENT).encode(), superseded))
        message("server.event").validate(written)
        assert not message("server.event").is_valid({**written, "subscription_ids": []})
        assert not message("server.event").is_valid({**written, "event": {**EVENT, "type": "com.example.other"}})


def opened(example: Any, name: str = "") -> Any:
    """The example, what it leaves open filled in."""
    match example:
        case "…":
            return ANY.get(name, "anything")
        case dict():
            return {key: opened(value, key) for key, value in example.items()}
        case list():
            return [opened(each) for each in example]
        case _:
            return example


def test_every_example_on_the_protocol_page_fits_unless_it_is_refused_as_malformed() -> None:
    examples = blocks("json client", "json server", "json unasked")
    assert len(examples) > 25
    for place, (kind, text) in enumerate(examples):
        frame = opened(json.loads(text))
        if kind != "json client":
            message(f"server.{frame['type']}").validate(frame)
        elif frame["type"] in frames.KINDS:
            answer = json.loads(examples[place + 1][1])
            assert message(f"client.{frame['type']}").is_valid(frame) == (answer.get("code") != "bad_request"), frame


@pytest.mark.parametrize(
    ("kind", "frame"),
    [
        ("connect", {}),
        ("connect", {"token": 1}),
        ("connect", {"token": "t", "device_id": ""}),
        ("subscribe", {"subscription": {"type": "nobody"}}),
        ("subscribe", {"subscription": {"type": "service_request", "service_request_ids": []}}),
        ("subscribe", {"subscription": {"type": "member", "member_id": "m"}, "since": "yesterday"}),
        ("subscribe", {"subscription": {"type": "member", "member_id": "m"}, "since": "beginning", "cursor": "c"}),
        ("unsubscribe", {}),
        ("ack", {"cursors": "c"}),
        ("heartbeat", {"session_id": "s", "active": 1}),
        ("refresh", {"token": None}),
        ("ping", {"id": 7}),
    ],
    ids=str,
)
def test_a_frame_that_the_gateway_refuses_does_not_fit(kind: str, frame: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        frames.decode(kind, json.dumps(frame))
    with pytest.raises(ValidationError):
        message(f"client.{kind}").validate({"type": kind, **frame})
