"""SIGTERM in mid-check: everybody is sent home, and the next start goes on without counting the interrupted attempt."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.faults.clients import Member, frames, whole_timeline
from tests.faults.promises import assert_each_check_happened_once, assert_sound
from tests.running import Running, receive_until, send

RETRIED = "M200003"
"""Her payer answers the third attempt, and a check has three: if the interrupted one counted, hers would fail."""


async def test_a_check_that_a_stop_interrupted_completes_after_the_next_start_uncounted(tmp_path: Path) -> None:
    async with Running(tmp_path / "data", speed=8) as platform:
        member = Member(RETRIED, await platform.token("--member", RETRIED))
        async with platform.http(member.token) as http, platform.socket(member.token) as socket:
            session = (await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
            await send(socket, {"type": "subscribe", "cursor": session["cursor"], "subscription": member.subscription})
            submitted = await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json={"service": "RTE"})
            heard = await receive_until(socket, "task.in-progress")
            assert await platform.stop() == 0
            with pytest.raises(ConnectionClosed):
                heard += [frame async for frame in frames(socket)]
            assert socket.close_code == 1012
        await platform.start()
        async with platform.socket(member.token) as socket:
            cursor = [frame["cursor"] for frame in heard if frame["type"] == "event"][-1]
            await send(socket, {"type": "subscribe", "cursor": cursor, "subscription": member.subscription})
            await receive_until(socket, "service-request.completed")
        timeline = await whole_timeline(platform, member)
    assert_sound(timeline)
    assert_each_check_happened_once(timeline, [submitted.json()["service_request_id"]], "SUCCESS")
