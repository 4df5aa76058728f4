"""Where a page is followed: a folder that looks like a fresh clone, a shell that remembers, and the platform that the page
starts (or, when it starts none, one that is there already)."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Collection, Mapping
from contextlib import AsyncExitStack, redirect_stdout
from pathlib import Path
from typing import Any, Final

from digital_session import DigitalSessionClient
from tests.pages.page import ROOT, Block, Kind, same_text
from tests.pages.toolchain import node_environment, program
from tests.protocol_page import matches
from tests.running import Running

NOT_IN_A_CLONE: Final = frozenset({"data", ".git", ".venv"})
STAMP: Final = ".installed"
SPEED: Final = "50"
READY_WITHIN_S: Final = 60
RUNS_WITHIN_S: Final = 180
ADDRESS: Final = "127.0.0.1:8080"
SOMEWHERE: Final = "wss://sessions.example.org/v1"
REMEMBERED: Final = ".shell"
PROGRAMS: Final = ("node", "curl", "jq")


class Stage:
    """Follows one page; ``async with`` ends everything that the page started.

    A ``python`` block finds ``client`` (a connected member's), ``session`` (hers, new), ``staff`` (a connected staff member's),
    ``token`` and ``fetch_token`` (hers), ``fetch_service_token``; one that calls ``asyncio.run`` is a whole program.
    """

    def __init__(self, folder: Path, starts_the_platform: bool) -> None:
        self._folder = folder
        self._starts_the_platform = starts_the_platform
        self._port = _free_port()
        self._background: list[Process] = []
        self._standing: Running | None = None
        self._names: dict[str, Any] = {}
        self._placeholders: dict[str, Any] = {}
        self._said = ""
        self._stack = AsyncExitStack()
        self._environment: Mapping[str, str] = {}

    async def __aenter__(self) -> Stage:
        _resemble(self._folder, ROOT, NOT_IN_A_CLONE)
        # Set up already, whatever changed since: what a page says must not install anything into the environment of the tests.
        environment = self._folder / ".venv"
        environment.mkdir()
        _resemble(environment, Path(sys.prefix), {STAMP})
        (environment / STAMP).touch()
        return self

    async def __aexit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            await self._stack.aclose()
        for process in reversed(self._background):
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        if self._standing is not None:
            await self._standing.kill()

    async def follow(self, block: Block) -> None:
        """Do what the page says. Raises AssertionError where it is not as the page says."""
        match block.kind:
            case Kind.SAVE:
                path = self._folder / block.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self._here(block.text))
            case Kind.BACKGROUND:
                await self._start(block)
            case Kind.RUN:
                await self._platform()
                self._said = await self._run(block)
            case Kind.FRAGMENT:
                await self._platform()
                self._said = await self._execute(block)
            case Kind.LIVE:
                await self._platform()
                await (self._begin(block) if block.language == "sh" else self._listen(block))
            case Kind.OUTPUT:
                self._compare(block)
            case _:
                pass

    def _here(self, text: str) -> str:
        return text.replace(ADDRESS, f"127.0.0.1:{self._port}").replace(SOMEWHERE, f"ws://127.0.0.1:{self._port}/v1")

    async def _platform(self) -> None:
        """A page that starts none itself finds one there."""
        if self._starts_the_platform or self._standing is not None:
            return
        self._standing = Running(self._folder / "data", speed=float(SPEED))
        self._standing.port = self._port
        await self._standing.start()

    async def _variables(self) -> Mapping[str, str]:
        if not self._environment:
            await asyncio.to_thread(lambda: [program(name) for name in PROGRAMS])
            own = {"PORT": str(self._port), "SPEED": SPEED, "SESSION_PLATFORM_PORT": str(self._port), "COLUMNS": "200"}
            own["SESSION_PLATFORM_SIMULATOR_SPEED"] = SPEED
            own["SESSION_PLATFORM_ENDPOINT"] = f"ws://127.0.0.1:{self._port}/v1"
            own["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_PLATFORM_")}
            self._environment = {**kept, **own, **await asyncio.to_thread(node_environment)}
        return self._environment

    async def _bash(self, text: str, **streams: Any) -> Process:
        return await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", text),
            cwd=self._folder,
            env=await self._variables(),
            stdin=DEVNULL,
            start_new_session=True,
            **streams,
        )

    async def _start(self, block: Block) -> None:
        # The shell makes way for what it starts, so that a signal reaches it.
        process = await self._bash(f"{self._remembering()}{self._here(block.text)}", stdout=PIPE, stderr=None)
        self._background.append(process)
        assert process.stdout is not None
        async with asyncio.timeout(READY_WITHIN_S):
            async for line in process.stdout:
                if line.startswith(b"ready "):
                    break
            else:
                raise AssertionError(f"{block.place} ended before it was ready")
        self._draining = asyncio.create_task(_drain(process.stdout))

    async def _begin(self, block: Block) -> None:
        process = await self._bash(f"{self._remembering()}{self._here(block.text)}", stdout=PIPE, stderr=PIPE)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(RUNS_WITHIN_S):
                assert await process.stdout.read(1), f"{block.place} said nothing"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            await process.communicate()

    async def _listen(self, block: Block) -> None:
        await self._variables()
        said = io.StringIO()
        with redirect_stdout(said):
            listening = asyncio.create_task(self._body(block, await self._own_names()))
            async with asyncio.timeout(RUNS_WITHIN_S):
                while not said.getvalue() and not listening.done():  # noqa: ASYNC110 (what is printed wakes nobody)
                    await asyncio.sleep(0.01)
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def _run(self, block: Block) -> str:
        remember = f"\nexport -p > {REMEMBERED}\n"
        process = await self._bash(f"{self._remembering()}{self._here(block.text)}{remember}", stdout=PIPE, stderr=PIPE)
        try:
            async with asyncio.timeout(RUNS_WITHIN_S):
                out, err = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode == 0, f"{block.place} ended with {process.returncode}: {out.decode()}{err.decode()}"
        return out.decode()

    def _remembering(self) -> str:
        return f"if [ -f {REMEMBERED} ]; then . ./{REMEMBERED}; fi; set -a\n"

    async def _execute(self, block: Block) -> str:
        await self._variables()
        names = await self._own_names()
        said = io.StringIO()
        with redirect_stdout(said):
            async with asyncio.timeout(RUNS_WITHIN_S):
                if "asyncio.run(" in block.text:
                    await asyncio.to_thread(exec, compile(self._here(block.text), block.place, "exec"), dict(names))
                else:
                    await self._body(block, names)
        return said.getvalue()

    async def _body(self, block: Block, names: Mapping[str, Any]) -> None:
        scope: dict[str, Any] = {}
        source = f"async def page({', '.join(names)}):\n{textwrap.indent(self._here(block.text), '    ')}"
        exec(compile(source, block.place, "exec"), scope)
        function = scope["page"]
        assert inspect.iscoroutinefunction(function)
        await function(**names)

    async def _own_names(self) -> dict[str, Any]:
        if not self._names:
            token = await asyncio.to_thread(self._token, "--member", "M123456")
            client = await self._connected(token)
            self._names = {
                "client": client,
                "session": await client.create_session("APP", "MX_WEB", intent="check_coverage"),
                "staff": await self._connected(await asyncio.to_thread(self._token, "--staff", "C001", "--role", "care_team")),
                "token": token,
                "fetch_token": lambda: self._token("--member", "M123456"),
                "fetch_service_token": lambda: self._token("--service", "plans"),
            }
        return self._names

    async def _connected(self, token: str) -> DigitalSessionClient:
        client = DigitalSessionClient(f"ws://127.0.0.1:{self._port}/v1", token=token)
        return await self._stack.enter_async_context(client)

    def _token(self, *arguments: str) -> str:
        command = str(Path(sys.executable).with_name("session-platform"))
        done = subprocess.run(
            [command, "token", *arguments],
            cwd=self._folder,
            env=dict(self._environment),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def _compare(self, block: Block) -> None:
        if block.language == "json":
            expected, actual = json.loads(block.text), json.loads(self._said)
            assert matches(expected, actual, self._placeholders), f"{block.place} says otherwise: {self._said}"
        else:
            assert same_text(self._here(block.text), self._said), f"{block.place} says otherwise:\n{self._said}"


def _resemble(folder: Path, original: Path, without: Collection[str]) -> None:
    for each in original.iterdir():
        if each.name not in without:
            (folder / each.name).symlink_to(each)


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
