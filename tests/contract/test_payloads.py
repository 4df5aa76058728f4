"""Events that systems around the platform already publish keep their content through it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from session_platform.contract import decode_data, seal, spec_of_type
from tests.contract.events import TRACEPARENT

PAYLOADS = sorted(Path(__file__).with_name("payloads").glob("*.json"))


def test_there_are_payloads() -> None:
    assert [path.stem for path in PAYLOADS] == ["service_request_completed", "session_created"]


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_a_payload_round_trips_in_content(path: Path) -> None:
    given: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    spec = spec_of_type(given["type"])
    assert spec is not None

    event = decode_data(spec.name, json.dumps(given["data"]).encode())
    sealed = seal(
        event,  # type: ignore[arg-type]  # both payloads are durable events
        event_id=given["id"],
        source=given["source"],
        time=datetime.fromisoformat(given["time"]),
        seq=1,
        epoch=1,
        traceparent=TRACEPARENT,
    )

    ours = {
        "partitionkey": "M123456",
        "timelineseq": "00000000000000000001",
        "timelineepoch": 1,
        "traceparent": TRACEPARENT,
    }
    assert json.loads(sealed.full) == given | ours
    assert given["source"] == spec.source


def test_json_bytes_stand_as_json_and_not_as_base64() -> None:
    given = json.loads(
        Path(__file__).with_name("payloads").joinpath("service_request_completed.json").read_text(encoding="utf-8")
    )
    event = decode_data("service_request.completed", json.dumps(given["data"]).encode())
    assert event.result_data == given["data"]["result_data"]  # type: ignore[union-attr]
