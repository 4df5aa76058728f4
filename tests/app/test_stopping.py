"""SIGTERM: whoever is connected is sent home, whoever hangs is cut off, and the status is 0 without a word of trouble."""

from __future__ import annotations

import asyncio
from pathlib import Path

from digital_session import DigitalSessionClient, Reconnect
from session_platform.app import serve
from tests.running import Running

HANGING = """POST /v1/sessions HTTP/1.1\r
Host: 127.0.0.1\r
Authorization: Bearer {token}\r
Content-Type: application/json\r
Content-Length: 1000\r
\r
{{"type": "APP","""


def trouble(log: Path) -> list[str]:
    """What the log says that is no mere information; a line that is no JSON is trouble too."""
    return [line for line in log.read_text().splitlines() if '"level": "info"' not in line]


async def test_a_request_that_never_ends_is_cut_off_and_leaves_no_traceback(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with Running(tmp_path / "data", log=log) as platform:
        token = await platform.token("--member", "M123456")
        reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
        writer.write(HANGING.format(token=token).encode())
        await writer.drain()
        async with platform.http(token) as http:  # the platform has met the first request by the time it answers another
            assert (await http.get("/v1/flags")).status_code == 200
        async with asyncio.timeout(serve.GRACE_S + 10):
            assert await platform.stop() == 0
        await reader.read()
        writer.close()
    assert trouble(log) == []


async def test_a_connected_sdk_is_drained_and_goes_on_after_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with Running(tmp_path / "data", log=log) as platform:
        token = await platform.token("--member", "M123456")
        soon = Reconnect(base_s=0.05, cap_s=0.2)
        async with DigitalSessionClient(platform.endpoint, token=token, reconnect=soon) as client:
            session = await client.create_session("APP", "MX_WEB")
            async with await client.subscribe(member_id="M123456", since="beginning") as timeline:
                assert (await anext(aiter(timeline))).name == "session.created"
                assert await platform.stop() == 0
                await platform.start()
                await session.end()
                assert (await anext(aiter(timeline))).name == "session.ended"
    assert trouble(log) == []


STUBBORN = """
import asyncio

async def work(_):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""
SERVICE = """
code = "STUBBORN"
title = "Never ends"
[[tasks]]
type = "STUBBORN_WORK"
title = "Takes no notice"
executor = "system"
function = "stubborn:work"
usual_s = 1
"""


async def test_a_function_that_takes_no_notice_of_being_stopped_does_not_keep_the_process(tmp_path: Path) -> None:
    services, log = tmp_path / "services", tmp_path / "log"
    services.mkdir()
    (services / "stubborn.toml").write_text(SERVICE)
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    environment = {"SESSION_PLATFORM_SERVICES": str(services), "PYTHONPATH": str(tmp_path)}
    async with Running(tmp_path / "data", log=log, environment=environment) as platform:
        token = await platform.token("--member", "M123456")
        async with DigitalSessionClient(platform.endpoint, token=token) as client:
            session = await client.create_session("APP", "MX_WEB")
            request = await session.submit_service_request(service="STUBBORN")
            began = asyncio.Event()
            request.on("task.in_progress", lambda *_: began.set())
            await began.wait()
        assert await platform.stop() == 0
    assert "Traceback" not in log.read_text()
