"""What an administrator takes back reaches streams that are open, within two seconds."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.running import Running, receive, receive_until, send

WITHIN_S = 2.5
"""Two seconds of the contract, and the time of this test's own process."""


async def test_a_panel_a_member_and_a_token_are_taken_back_while_streams_are_open(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as up:
        dana = await up.token("--staff", "C001", "--role", "care_team")
        member = await up.token("--member", "M123456")
        async with up.http(await up.token("--admin")) as ops, up.http(member) as own, up.socket(dana) as stream:
            await send(stream, {"type": "subscribe", "subscription": {"type": "member", "member_id": "M123456"}})
            await receive_until(stream, "caught_up")
            session = (await own.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
            frames = await receive_until(stream, "lifecycle.created", WITHIN_S)
            assert frames[-1]["event"]["data"]["session_id"] == session["session_id"]

            since = time.monotonic()
            assert (await ops.delete("/v1/admin/staff/C001/panel/M123456")).status_code == 204
            ended = (await receive_until(stream, "unsubscribed", WITHIN_S))[-1]
            assert ended["reason"]
            assert time.monotonic() - since < WITHIN_S
            await own.post(f"/v1/sessions/{session['session_id']}/end")
            await send(stream, {"type": "ping", "id": "1"})
            assert (await receive(stream))["type"] == "pong", "nothing of the member comes any more"

            async with up.socket(member) as phone:
                assert (await ops.post("/v1/admin/members/M123456/disconnect")).status_code == 204
                await closed(phone)
            async with up.socket(member) as phone:
                moment = "2999-01-01T00:00:00Z"
                body = {"sub": "M123456", "issued_before": moment}
                assert (await ops.post("/v1/admin/tokens/revoke", json=body)).status_code == 204
                assert (await own.get("/v1/flags")).status_code == 401
                await closed(phone)


async def closed(socket: ClientConnection) -> None:
    """The connection ends as revoked."""
    frames = await receive_until(socket, "error", WITHIN_S)
    assert (frames[-1]["code"], frames[-1]["fatal"]) == ("revoked", True)
    with pytest.raises(ConnectionClosed) as end:
        await receive(socket, WITHIN_S)
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 4403
