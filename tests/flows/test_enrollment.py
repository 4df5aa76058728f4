"""Enrollment with instant coverage, as a member lives it: a step that fails is tried again, and she sees one enrollment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.running import Running, receive_until, send

FORM = {"first_name": "Ada", "last_name": "Lovelace", "date_of_birth": "1985-04-12"}
STEPS = ["STONE_CREATION", "PDID_RETRIEVAL", "RTE_CHECK"]


async def test_one_step_is_retried_in_sight_and_the_member_sees_one_enrollment_that_succeeds(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--member", "M200006")
        async with platform.http(token) as http, platform.socket(token) as socket:
            services = {each["code"]: each for each in (await http.get("/v1/services")).json()["items"]}
            assert services["ENROLLMENT_INSTANT_COVERAGE"]["task_types"] == STEPS
            assert set(services["ENROLLMENT_INSTANT_COVERAGE"]["data_schema"]["properties"]) == set(FORM)
            session = (await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
            subscription = {"type": "session", "session_id": session["session_id"]}
            await send(socket, {"type": "subscribe", "cursor": session["cursor"], "subscription": subscription})
            asked = {"service": "ENROLLMENT_INSTANT_COVERAGE", "data": FORM}
            address = f"/v1/sessions/{session['session_id']}/service-requests"
            refused = await http.post(address, json={**asked, "data": {**FORM, "date_of_birth": "yesterday"}})
            assert {each["pointer"] for each in refused.json()["errors"]} == {"/data/date_of_birth"}
            submitted = (await http.post(address, json=asked)).json()
            frames = await receive_until(socket, "service-request.completed")
            request = (await http.get(f"/v1/service-requests/{submitted['service_request_id']}")).json()
            result = (await http.get(request["result_ref"])).json()
    events = [frame["event"] for frame in frames if frame["type"] == "event" and "timelineseq" in frame["event"]]
    told = [(event["type"].rpartition("sessions.")[2], event["data"]) for event in events]
    tasks = [(name, data["task_type"]) for name, data in told if name.startswith("task.")]
    assert tasks == [
        ("task.assigned", "STONE_CREATION"),
        ("task.in-progress", "STONE_CREATION"),
        ("task.in-progress", "STONE_CREATION"),
        ("task.completed", "STONE_CREATION"),
        *((name, step) for step in STEPS[1:] for name in ("task.assigned", "task.in-progress", "task.completed")),
    ]
    assert len({data["task_id"] for name, data in told if name.startswith("task.")}) == 3
    assert {data["outcome"] for name, data in told if name == "task.completed"} == {"SUCCESS"}
    the_retry = [statuses_of(data) for name, data in told if name == "service-request.processing"]
    assert ["pending", "pending", "pending"] in the_retry[2:], "between the attempts the step waits again"
    assert the_retry[-1] == ["completed"] * 3
    assert (request["status"], request["percent_complete"], request["error"]) == ("COMPLETED", 100, None)
    assert (result["coverage_status"], result["coverage"]["account_id"]) == ("ACTIVE", "A200006")
    assert result["stone_id"].startswith("STN-")
    assert result["pdid"].startswith("PD")
    assert "Lovelace" not in json.dumps(frames)


def statuses_of(data: dict[str, Any]) -> list[str]:
    return [status["status"] for status in data["task_statuses"]]
