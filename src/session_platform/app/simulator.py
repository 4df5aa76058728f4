"""The clearinghouse simulator beside the platform: a process of its own that ends when its standard input closes."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process

from session_platform.errors import StartError

START_WITHIN_S = 20
END_WITHIN_S = 5
ANNOUNCEMENT = "listening "


class Simulator:
    """Start it, read ``url``, close it; it cannot outlive this process, whose end closes its standard input."""

    def __init__(self, process: Process, url: str) -> None:
        self._process = process
        self.url = url

    @classmethod
    async def start(cls, speed: float) -> Simulator:
        """Answers come ``speed`` times as fast as a real clearinghouse's. Raises `StartError`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "session_platform.simulators.clearinghouse", "--port", "0", "--speed", str(speed)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            # A Ctrl-C in the terminal is for the platform: it still needs the simulator while it drains.
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_WITHIN_S):
                line = (await process.stdout.readline()).decode().strip()
        except TimeoutError:
            line = ""
        if not line.startswith(ANNOUNCEMENT):
            if process.returncode is None:
                process.kill()
            await process.wait()
            raise StartError("The clearinghouse simulator did not start: name another in SESSION_PLATFORM_CLEARINGHOUSE_URL.")
        return cls(process, line.removeprefix(ANNOUNCEMENT))

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
