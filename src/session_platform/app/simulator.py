"""The simulators beside the platform: a process of its own that ends when its standard input closes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Final

import structlog

from session_platform.errors import StartError

START_WITHIN_S: Final = 20
END_WITHIN_S: Final = 5
FIRST_BACK_OFF_S: Final = 0.1
LAST_BACK_OFF_S: Final = 5.0
"""One that lived longer than this works: its next end is a first one again."""
ANNOUNCEMENT: Final = "listening "

_log = structlog.get_logger(__name__)


class Simulator:
    """Start it, let `keep` run, close it; it cannot outlive this process, whose end closes its standard input. ``url`` stays
    the same however often it dies."""

    def __init__(self, speed: float, process: Process, url: str) -> None:
        """Use `start`."""
        self._speed = speed
        self._process = process
        self.url = url

    @classmethod
    async def start(cls, speed: float) -> Simulator:
        """Answers come ``speed`` times as fast as a real clearinghouse's. Raises `StartError`."""
        return cls(speed, *await _spawn(speed, port="0"))

    async def keep(self) -> None:
        """Start it again whenever it ends, until cancelled. Meanwhile checks fail to reach it, and are tried again."""
        loop = asyncio.get_running_loop()
        back_off_s = FIRST_BACK_OFF_S
        while True:
            began_s = loop.time()
            status = await self._process.wait()
            _log.warning("simulator.ended", status=status)
            if loop.time() - began_s > LAST_BACK_OFF_S:
                back_off_s = FIRST_BACK_OFF_S
            await asyncio.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, LAST_BACK_OFF_S)
            try:
                self._process, _ = await _spawn(self._speed, port=self.url.rpartition(":")[2])
            except StartError as error:
                _log.warning("simulator.did_not_start", why=str(error))

    async def close(self) -> None:
        """End it and wait for its end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_WITHIN_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def _spawn(speed: float, port: str) -> tuple[Process, str]:
    """A simulator that listens, and its address. Raises `StartError`; then, and when cancelled, nothing is left of it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "session_platform.simulators", "--port", port, "--speed", str(speed)),
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        # A Ctrl-C in the terminal is for the platform: it still needs the simulator while it drains.
        start_new_session=True,
    )
    try:
        return process, await _address(process)
    except BaseException:
        if process.returncode is None:
            process.kill()
        await process.wait()
        raise


async def _address(process: Process) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_WITHIN_S):
            line = (await process.stdout.readline()).decode().strip()
    except TimeoutError:
        line = ""
    if not line.startswith(ANNOUNCEMENT):
        raise StartError("The clearinghouse simulator did not start: name another in SESSION_PLATFORM_CLEARINGHOUSE_URL.")
    return line.removeprefix(ANNOUNCEMENT)
