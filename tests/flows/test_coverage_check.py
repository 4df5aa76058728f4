"""The main job, as a user runs it: a coverage check in a terminal, against the platform in a process of its own."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.running import Running, command, receive, receive_until, send


async def check(platform: Running, member: str, account: str, *options: str) -> tuple[int, str, str]:
    token = await platform.token("--member", member)
    return await command(
        "check-coverage", "--member", member, "--account", account, "--endpoint", platform.endpoint, "--token", token, *options
    )


def numbers(frames: list[dict[str, Any]]) -> list[int]:
    return [int(f["event"]["timelineseq"]) for f in frames if f["type"] == "event" and "timelineseq" in f["event"]]


def names(frames: list[dict[str, Any]]) -> list[str]:
    return [f["event"]["type"].removeprefix("com.includedhealth.sessions.") for f in frames if f["type"] == "event"]


async def test_a_coverage_check_in_a_terminal_ends_with_the_coverage(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        status, out, err = await check(platform, "M123456", "A789012")
        assert status == 0, err
        assert "Blue Cross Blue Shield" in out
        assert "ACTIVE" in out.upper()
        status, out, err = await check(platform, "M123456", "A789012", "--json")
        assert status == 0, err
        lines = [json.loads(line) for line in out.splitlines()]
        assert "A789012" in json.dumps(lines[-1])


@pytest.mark.parametrize(
    ("member", "account", "status", "said"),
    [
        ("M123456", "A789013", 0, "ACTIVE"),
        ("M200001", "A200001", 0, "TERMINATED"),
        ("M200002", "A200002", 1, ""),
        ("M200003", "A200003", 0, "ACTIVE"),
        ("M300007", "A300007", 0, "ACTIVE"),
    ],
)
async def test_each_demo_member_ends_as_promised(tmp_path: Path, member: str, account: str, status: int, said: str) -> None:
    async with Running(tmp_path / "data") as platform:
        ended, out, err = await check(platform, member, account)
        assert ended == status, out + err
        assert said in out.upper()
        assert "Traceback" not in out + err


async def test_a_member_cannot_check_an_account_that_is_not_hers(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        ended, out, err = await check(platform, "M123456", "A200001")
        assert ended == 1
        assert "Traceback" not in out + err


async def test_the_events_of_a_check_arrive_in_order_without_a_gap_and_carry_no_health_data(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--member", "M123456")
        async with platform.http(token) as http, platform.socket(token) as socket:
            created = await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB", "intent": "check_coverage"})
            assert created.status_code == 201
            session = created.json()
            await send(
                socket,
                {"type": "subscribe", "cursor": session["cursor"], "subscription": {"type": "member", "member_id": "M123456"}},
            )
            submitted = await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json={"service": "RTE"})
            assert submitted.status_code == 202
            frames = await receive_until(socket, "service-request.completed")
            request = (await http.get(f"/v1/service-requests/{submitted.json()['service_request_id']}")).json()
            result = await http.get(request["result_ref"])
    seen = [name for name in names(frames) if name not in {"service-request.processing", "lifecycle.active"}]
    assert seen == [
        "lifecycle.created",
        "service-request.submitted",
        "task.assigned",
        "task.in-progress",
        "rte.completed",
        "coverage.updated",
        "task.completed",
        "service-request.completed",
    ]
    assert numbers(frames) == list(range(1, len(numbers(frames)) + 1))
    assert "Blue Cross" not in json.dumps(frames)
    assert request["status"] == "COMPLETED"
    assert request["percent_complete"] == 100
    assert result.json()["payer_name"] == "Blue Cross Blue Shield"
    assert result.json()["coverage"]["account_id"] == "A789012"


async def test_kill_9_in_mid_check_loses_nothing_and_the_check_completes_after_the_next_start(tmp_path: Path) -> None:
    async with Running(tmp_path / "data", speed=4) as platform:
        token = await platform.token("--member", "M123456")
        async with platform.http(token) as http:
            session = (await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
        subscription = {"type": "member", "member_id": "M123456"}
        async with platform.http(token) as http, platform.socket(token) as socket:
            await send(socket, {"type": "subscribe", "cursor": session["cursor"], "subscription": subscription})
            await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json={"service": "RTE"})
            before = await receive_until(socket, "task.in-progress")
            await platform.kill()
        cursor = [f["cursor"] for f in before if f["type"] == "event"][-1]
        await platform.start()
        async with platform.socket(token) as socket:
            await send(socket, {"type": "subscribe", "cursor": cursor, "subscription": subscription})
            assert (await receive(socket))["recovered"] is True
            after = await receive_until(socket, "service-request.completed")
    got = numbers(before) + numbers(after)
    assert got == list(range(1, len(got) + 1))
    assert names(after)[-1] == "service-request.completed"
    assert names(before + after).count("rte.completed") == 1


async def test_a_check_in_a_terminal_survives_kill_9_of_the_platform_and_says_so(tmp_path: Path) -> None:
    async with Running(tmp_path / "data", speed=4) as platform:
        token = await platform.token("--member", "M123456")
        async with platform.http(token) as http:
            terminal = asyncio.create_task(check(platform, "M123456", "A789012"))
            active = await http.get("/v1/members/M123456/context")
            while not active.json()["service_requests"]:
                active = await http.get("/v1/members/M123456/context")
        await platform.kill()
        await platform.start()
        status, out, err = await terminal
    assert status == 0, out + err
    assert "Blue Cross Blue Shield" in out
    assert "reconnect" in (out + err).lower()


async def test_a_stopped_platform_says_goodbye_and_ends_with_zero(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--member", "M123456")
        async with platform.socket(token) as socket:
            stopping = platform.stop()
            status = await stopping
            goodbye = await receive(socket)
            assert goodbye["type"] == "goodbye"
            assert goodbye["reconnect_after_ms"] >= 0
            await socket.wait_closed()
            assert socket.close_code == 1012
        assert status == 0


async def test_a_second_up_on_the_same_directory_says_so_in_one_sentence(tmp_path: Path) -> None:
    async with Running(tmp_path / "data"):
        status, _, err = await command("up", "--insecure", "--port", "0", "--data", str(tmp_path / "data"))
        assert status == 1
        assert len(err.strip().splitlines()) == 1
        assert str(tmp_path / "data") in err
