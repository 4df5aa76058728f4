"""The platform as a user runs it: ``session-platform up`` in a process of its own, over a directory of the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from tests.contract.published import conforms

COMMAND = str(Path(sys.executable).with_name("session-platform"))
READY_WITHIN_S = 60


class Running:
    """One `up` over ``data``; start it again after `kill` or `stop` and it goes on where it was.

    When it ends by itself inside ``async with``, the test fails at once: clients would wait for it, politely, for minutes.
    ``program`` is what runs in place of the command, ``log`` the file for its standard error, ``environment`` what
    it finds there beside this process's.
    """

    def __init__(
        self,
        data: Path,
        speed: float = 50.0,
        *,
        program: tuple[str, ...] = (COMMAND,),
        log: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.speed = speed
        self.port = 0
        self.banner: list[str] = []
        self._program = program
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process: asyncio.subprocess.Process | None = None
        self._test: asyncio.Task[Any] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._ended_by_itself: int | None = None

    async def __aenter__(self) -> Running:
        self._test = asyncio.current_task()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        test, self._test = self._test, None
        if self._process is not None:
            await self.kill()
        if test is not None and self._ended_by_itself is not None:
            test.uncancel()
            raise AssertionError(f"up ended by itself, with {self._ended_by_itself}") from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1"

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start and wait until it says that it is ready; the second start takes the port of the first."""
        with contextlib.nullcontext() if self._log is None else self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*self._program, "up", "--insecure", "--port", str(self.port), "--data", str(self.data)),
                *("--simulator-speed", str(self.speed)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        async with asyncio.timeout(READY_WITHIN_S):
            self.banner = []
            while not self.banner or not self.banner[-1].startswith("ready "):
                line = (await self._output().readline()).decode()
                assert line, f"up ended with {await self._process.wait()} before it was ready"
                self.banner.append(line.strip())
        self.port = int(self.banner[-1].rsplit(":", 1)[1])
        self._watching = asyncio.create_task(self._watch(self._process))

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if process is self._process and self._test is not None:
            self._ended_by_itself = status
            self._test.cancel()

    def _output(self) -> asyncio.StreamReader:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout

    async def kill(self) -> None:
        """kill -9."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        return await self._end(signal.SIGTERM)

    async def ended(self) -> int:
        """Wait until it ends by itself, as it is meant to; the exit status."""
        return await self._end(None)

    async def _end(self, number: signal.Signals | None) -> int:
        process, self._process = self._process, None
        assert process is not None
        if process.returncode is None and number is not None:
            process.send_signal(number)
        async with asyncio.timeout(READY_WITHIN_S):
            await process.communicate()
        assert process.returncode is not None
        return process.returncode

    async def token(self, *arguments: str) -> str:
        """A development token; ``arguments`` as for ``session-platform token``."""
        status, out, err = await command("token", *arguments, "--data", str(self.data))
        assert status == 0, err
        return out.strip()

    @contextlib.asynccontextmanager
    async def http(self, token: str) -> AsyncIterator[httpx2.AsyncClient]:
        """A REST client with ``token``."""
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client:
            yield client

    @contextlib.asynccontextmanager
    async def socket(self, token: str | None = None, **options: Any) -> AsyncIterator[ClientConnection]:
        """A raw WebSocket; with ``token`` it has sent ``connect`` and read ``connected``."""
        async with connect(self.endpoint, subprotocols=["digital-session.v1"], **options) as socket:  # type: ignore[list-item]
            if token is not None:
                await send(socket, {"type": "connect", "token": token})
                assert (await receive(socket))["type"] == "connected"
            yield socket


async def send(socket: ClientConnection, frame: dict[str, Any]) -> None:
    await socket.send(json.dumps(frame))


async def receive(socket: ClientConnection, within_s: float = 30) -> dict[str, Any]:
    """The next frame, which is what the published contract says."""
    async with asyncio.timeout(within_s):
        frame: dict[str, Any] = json.loads(await socket.recv())
    conforms(frame)
    return frame


async def receive_until(socket: ClientConnection, wanted: str, within_s: float = 60) -> list[dict[str, Any]]:
    """Every frame up to and with the first of type ``wanted``, or the first event of that short suffix."""
    frames: list[dict[str, Any]] = []
    async with asyncio.timeout(within_s):
        while True:
            frames.append(await receive(socket, within_s))
            last = frames[-1]
            if last["type"] == wanted or (last["type"] == "event" and last["event"]["type"].endswith(wanted)):
                return frames


async def command(*arguments: str, stdin: None = None) -> tuple[int, str, str]:
    """Run ``session-platform`` with ``arguments`` as a pipe would: (exit status, stdout, stderr)."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
