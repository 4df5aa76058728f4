"""The simulator as a program: it says where it listens, answers, and ends with whoever started it."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process

import httpx2
import pytest

from tests.simulators.inquiries import body

PROGRAM = (sys.executable, "-m", "session_platform.simulators")
WITHIN_S = 30
PARENT = f"""
import subprocess, sys
subprocess.Popen({PROGRAM!r}, stdin=subprocess.STDIN_KIND)
sys.stdin.read()
"""


async def start(*options: str, stdin: int = PIPE) -> Process:
    return await asyncio.create_subprocess_exec(*PROGRAM, *options, stdin=stdin, stdout=PIPE, stderr=PIPE)


async def url(process: Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        line = (await process.stdout.readline()).decode().split()
    assert line[0] == "listening"
    return line[1]


async def ended(process: Process) -> int:
    async with asyncio.timeout(WITHIN_S):
        await process.communicate()
    assert process.returncode is not None
    return process.returncode


async def check(base_url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=base_url, headers={"Authorization": "Key x"}, timeout=WITHIN_S) as client:
        return await client.post("/2026-06-01/eligibility-check", json=body())


async def test_it_answers_and_ends_when_its_standard_input_closes() -> None:
    process = await start("--speed", "1000", "--seed", "3")
    assert (await check(await url(process))).status_code == 200
    assert process.stdin is not None
    process.stdin.write(b"what comes in means nothing\n")
    process.stdin.close()
    assert await ended(process) == 0


async def test_it_does_not_wait_for_clients_whom_it_will_never_answer() -> None:
    process = await start()
    address = await url(process)
    async with httpx2.AsyncClient(base_url=address, headers={"Authorization": "Key x"}, timeout=WITHIN_S) as client:
        asking = asyncio.create_task(client.post("/2026-06-01/eligibility-check", json=body("W200004")))
        await client.get("/")
        assert process.stdin is not None
        process.stdin.close()
        assert await ended(process) == 0
        with pytest.raises(httpx2.RequestError):
            await asking


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_on_a_signal(number: signal.Signals) -> None:
    process = await start()
    await url(process)
    process.send_signal(number)
    assert await ended(process) == 0


async def test_a_standard_input_that_says_nothing_of_the_parent_is_not_taken_for_its_end() -> None:
    process = await start("--speed", "1000", stdin=DEVNULL)
    assert (await check(await url(process))).status_code == 200
    process.terminate()
    assert await ended(process) == 0


@pytest.mark.parametrize("kind", ["PIPE", "DEVNULL"])
async def test_it_does_not_outlive_a_parent_that_was_killed(kind: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT.replace("STDIN_KIND", kind), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    await url(parent)
    parent.kill()
    assert parent.stdout is not None
    async with asyncio.timeout(WITHIN_S):
        # The simulator holds the other end of this pipe: it closes when the simulator is gone.
        assert await parent.stdout.read() == b""
        await parent.wait()


async def test_a_port_that_is_taken_is_a_sentence() -> None:
    first = await start()
    port = (await url(first)).rpartition(":")[2]
    second = await start("--port", port)
    _, said = await second.communicate()
    assert second.returncode == 1
    assert said.decode().startswith(f"Cannot listen on port {port}: ")
    assert len(said.decode().splitlines()) == 1
    first.terminate()
    await ended(first)


@pytest.mark.parametrize("speed", ["0", "-1", "inf", "nan", "fast"])
async def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    process = await start("--speed", speed)
    await process.communicate()
    assert process.returncode == 2
