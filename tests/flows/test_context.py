"""What a screen starts from: the context of a member after a check, and a subscription that goes on from its cursor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from tests.running import Running, receive, receive_until, send

MEMBER = {"type": "member", "member_id": "M123456"}


async def context(http: httpx2.AsyncClient) -> dict[str, Any]:
    answer = await http.get("/v1/members/M123456/context")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_context_shows_what_a_check_found_and_its_cursor_goes_on_from_there(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--member", "M123456")
        async with platform.http(token) as http, platform.socket(token) as socket:
            before = await context(http)
            assert (before["coverage"], before["care_plan"], int(before["timelineseq"])) == ([], None, 0)
            assert before["engagement"]["last_session"] is None
            await send(socket, {"type": "subscribe", "cursor": before["cursor"], "subscription": MEMBER})
            session = (await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
            await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json={"service": "RTE"})
            frames = await receive_until(socket, "service-request.completed")
            after = await context(http)

        numbers = [int(each["event"]["timelineseq"]) for each in frames if "timelineseq" in each.get("event", {})]
        assert numbers == list(range(1, int(after["timelineseq"]) + 1)), "all that it stands for, and nothing else"
        assert [(each["account_id"], each["coverage_status"]) for each in after["coverage"]] == [("A789012", "ACTIVE")]
        assert [each["status"] for each in after["service_requests"]] == ["COMPLETED"]
        assert [each["session_id"] for each in after["sessions"]] == [session["session_id"]]
        engagement = after["engagement"]
        assert engagement["last_session"]["session_id"] == session["session_id"]
        assert engagement["last_activity_by_channel"].keys() == {"MX_WEB"}
        assert (engagement["sessions_last_30_days"], engagement["open_tasks"]) == (1, 0)

        await platform.kill()
        await platform.start()
        async with platform.http(token) as http, platform.socket(token) as socket:
            assert (await http.get("/readyz")).json() == {"status": "ready", "notes": []}
            assert (await context(http))["engagement"] == engagement
            await send(socket, {"type": "subscribe", "cursor": after["cursor"], "subscription": MEMBER})
            assert (await receive(socket))["recovered"] is True
            assert (await receive(socket))["type"] == "caught_up"
            await http.post(f"/v1/sessions/{session['session_id']}/end", json={})
            (ended,) = await receive_until(socket, "lifecycle.ended")
            assert int(ended["event"]["timelineseq"]) == int(after["timelineseq"]) + 1
            now = await context(http)
    assert (now["sessions"], now["timelineseq"]) == ([], ended["event"]["timelineseq"])
