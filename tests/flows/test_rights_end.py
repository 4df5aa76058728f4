"""A staff member follows a member live and loses the stream with the relationship, against the platform in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tests.running import Running, receive, send

WITHIN_S = 2.0
WHOLE = {"type": "member", "member_id": "M123456"}
OPEN = {"type": "APP", "channel": "MX_WEB"}


async def subscribe(socket: ClientConnection, scope: dict[str, Any], **fields: Any) -> None:
    await send(socket, {"type": "subscribe", "subscription": scope, **fields})
    frames = [await receive(socket), await receive(socket)]
    assert [frame["type"] for frame in frames] == ["subscribed", "caught_up"], frames


async def until_unsubscribed(socket: ClientConnection) -> tuple[list[str], dict[str, Any]]:
    """The short names of the durable events before it, and the frame."""
    names: list[str] = []
    while (frame := await receive(socket))["type"] != "unsubscribed":
        if frame["type"] == "event" and "timelineseq" in frame["event"]:
            names.append(frame["event"]["type"].removeprefix("com.includedhealth.sessions."))
    return names, frame


async def test_staff_lose_the_stream_with_the_relationship_and_the_ending_event_is_the_last(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform, httpx2.AsyncClient(base_url=platform.url) as http:
        member, staff, admin, service = await asyncio.gather(
            platform.token("--member", "M123456"),
            platform.token("--staff", "C002", "--role", "clinician"),
            platform.token("--admin"),
            platform.token("--service", "backend"),
        )

        async def call(method: str, path: str, token: str, **options: Any) -> httpx2.Response:
            answer = await http.request(method, path, headers={"Authorization": f"Bearer {token}"}, **options)
            assert answer.status_code < 300, answer.text
            return answer

        # As a participant: the end of the session is the last thing that the specialist hears.
        session = (await call("POST", "/v1/sessions", member, json=OPEN)).json()["session_id"]
        await call("POST", f"/v1/sessions/{session}/participants", service, json={"staff_id": "C002"})
        async with platform.socket(staff) as socket:
            await subscribe(socket, WHOLE)
            await call("POST", "/v1/sessions", member, json=OPEN)
            began = time.monotonic()
            await call("POST", f"/v1/sessions/{session}/end", member, json={})
            await call("POST", "/v1/sessions", member, json=OPEN)
            names, frame = await until_unsubscribed(socket)
            assert time.monotonic() - began < WITHIN_S
            assert names == ["lifecycle.created", "lifecycle.ended"]
            assert frame["reason"] == "right_ended"
            # By the panel: no event tells of it.
            await call("PUT", "/v1/admin/staff/C002/panel/M123456", admin)
            await subscribe(socket, WHOLE)
            began = time.monotonic()
            await call("DELETE", "/v1/admin/staff/C002/panel/M123456", admin)
            names, frame = await until_unsubscribed(socket)
            assert time.monotonic() - began < WITHIN_S
            assert (names, frame["reason"]) == ([], "right_ended")
            # Through the glass, until the token is taken back.
            await subscribe(socket, {"type": "session", "session_id": session}, break_glass="emergency")
            began = time.monotonic()
            await call("POST", "/v1/admin/tokens/revoke", admin, json={"sub": "C002", "issued_before": "2100-01-01T00:00:00Z"})
            refused = await http.get("/v1/services", headers={"Authorization": f"Bearer {staff}"})
            assert (refused.status_code, refused.json()["code"]) == (401, "revoked")
            error = await receive(socket)
            assert (error["code"], error["fatal"]) == ("revoked", True)
            with contextlib.suppress(ConnectionClosed):
                await receive(socket)
            assert socket.close_code == 4403
            assert time.monotonic() - began < WITHIN_S
