"""docs/protocol.md is true: every conversation on it is replayed against the running platform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.protocol_page import blocks, filled, matches
from tests.running import Running, receive, send


async def test_every_conversation_on_the_protocol_page_happens_as_written(tmp_path: Path) -> None:
    conversation = blocks("json client", "json server", "close")
    assert len(conversation) > 20
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--member", "M123456")
        async with platform.http(token) as http:
            body = {"type": "APP", "channel": "MX_WEB", "intent": "check_coverage"}
            session = (await http.post("/v1/sessions", json=body)).json()
        names: dict[str, Any] = {"$token": token, "$session": session["session_id"], "$member": "M123456"}
        async with platform.socket() as socket:
            for kind, text in conversation:
                match kind:
                    case "json client":
                        await send(socket, filled(json.loads(text), names))
                    case "json server":
                        frame = await receive(socket)
                        assert matches(json.loads(text), frame, names), f"the page says {text}and it was {frame} ({names})"
                    case _:
                        with pytest.raises(ConnectionClosed):
                            await receive(socket)
                        assert socket.close_code == int(text)
