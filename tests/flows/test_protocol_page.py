"""docs/protocol.md is true: every conversation on it is replayed against the running platform."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.running import Running, receive, send

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
BLOCK = re.compile(r"^```(json client|json server|close)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def matches(expected: Any, actual: Any, names: dict[str, Any]) -> bool:
    """Equal, where ``$name`` binds once and ``…`` is anything; objects have exactly the same fields."""
    match expected:
        case "…":
            return True
        case str() if expected.startswith("$"):
            return bool(names.setdefault(expected, actual) == actual)
        case dict():
            return (
                isinstance(actual, dict)
                and expected.keys() == actual.keys()
                and all(matches(value, actual[key], names) for key, value in expected.items())
            )
        case list():
            return (
                isinstance(actual, list)
                and len(expected) == len(actual)
                and all(matches(one, other, names) for one, other in zip(expected, actual, strict=True))
            )
        case _:
            return bool(expected == actual)


def filled(frame: Any, names: dict[str, Any]) -> Any:
    match frame:
        case str() if frame.startswith("$"):
            return names[frame]
        case dict():
            return {key: filled(value, names) for key, value in frame.items()}
        case list():
            return [filled(value, names) for value in frame]
        case _:
            return frame


async def test_every_conversation_on_the_protocol_page_happens_as_written(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 20
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--member", "M123456")
        async with platform.http(token) as http:
            body = {"type": "APP", "channel": "MX_WEB", "intent": "check_coverage"}
            session = (await http.post("/v1/sessions", json=body)).json()
        names: dict[str, Any] = {"$token": token, "$session": session["session_id"], "$member": "M123456"}
        async with platform.socket() as socket:
            for kind, text in blocks:
                match kind:
                    case "json client":
                        await send(socket, filled(json.loads(text), names))
                    case "json server":
                        frame = await receive(socket)
                        assert matches(json.loads(text), frame, names), (
                            f"the page says {text}the platform says {frame} ({names})"
                        )
                    case _:
                        try:
                            await receive(socket)
                        except ConnectionClosed:
                            assert socket.close_code == int(text)
