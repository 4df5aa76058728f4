"""A server that belongs to one test, which may stop, kill, stall and empty it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from tests.processes import children
from tests.servers import kept
from tests.servers.locks import Hold

S = TypeVar("S")


class Private(Generic[S]):
    """``server`` is used like the shared one; its address stays the same over every fault."""

    def __init__(self, recipe: kept.Recipe[S], directory: Path) -> None:
        self._recipe = recipe
        self._directory = directory

    @property
    def server(self) -> S:
        return self._recipe.server

    @property
    def runs(self) -> bool:
        return kept.is_kept(self._directory)

    @property
    def pid(self) -> int:
        """The server's process, or its first one."""
        return kept.pid(self._directory)

    @property
    def log(self) -> str:
        """The last lines that it printed."""
        return kept.log(self._directory)

    async def start(self) -> None:
        """After `stop` or `kill`: run again over what is left of the data, and wait until it answers."""
        await asyncio.to_thread(kept.start, self._recipe, self._directory)

    async def stop(self) -> None:
        """Ask it to end in good order, and wait for that."""
        os.kill(self.pid, self._recipe.program(self._directory).stop)
        await asyncio.to_thread(kept.wait_until_gone, self._directory)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def kill(self) -> None:
        """kill -9 of all its processes at one moment, as if the machine had lost power (but its page cache)."""
        killed = self._signal_all(signal.SIGKILL)
        await asyncio.to_thread(kept.wait_until_gone, self._directory)
        await asyncio.to_thread(wait_until_dead, killed)

    @contextlib.asynccontextmanager
    async def stop_signal(self) -> AsyncIterator[None]:
        """Inside, it stands still (SIGSTOP): connections stay open, nothing answers. SIGCONT at the end."""
        self._signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            if self.runs:
                self._signal_all(signal.SIGCONT)

    async def wipe(self) -> None:
        """End it at once, lose all its data, and start it empty, with the same address and password."""
        if self.runs:
            os.kill(self.pid, self._recipe.program(self._directory).end)
            self._signal_all(signal.SIGCONT)
            await asyncio.to_thread(kept.wait_until_gone, self._directory)
        await asyncio.to_thread(self._recipe.prepare, self._directory)
        await self.start()

    def _signal_all(self, number: signal.Signals) -> list[int]:
        """Whom it reached. A process that stands still starts no other one, so nobody is forgotten."""
        waiting = [self.pid]
        for process in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
                waiting += children(process)
        for process in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
        return waiting


def wait_until_dead(processes: Sequence[int]) -> None:
    """PostgreSQL's processes outlive its first one by a moment, and hold on to its memory. A dead one that its parent has not
    noticed yet holds nothing."""
    asked = ["ps", "-o", "stat=", "-p", ",".join(map(str, processes))]
    deadline = time.monotonic() + kept.GONE_WITHIN_S
    while time.monotonic() < deadline:
        states = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        if all(state.startswith("Z") for state in states):
            return
        time.sleep(kept.LOOK_EVERY_S)
    raise TimeoutError(f"of {processes}, killed, some still run")


@contextlib.asynccontextmanager
async def private(name: str, make: Callable[[], kept.Recipe[S]]) -> AsyncIterator[Private[S]]:
    """A server of one's own, gone with its data at the end of the block or of this process."""
    run = await asyncio.to_thread(kept.new_run)
    directory = run / name
    hold = Hold(directory)
    try:
        recipe = await asyncio.to_thread(kept.start_on_a_free_port, make, directory)
        yield Private(recipe, directory)
    finally:
        hold.release()
        await asyncio.to_thread(kept.wait_until_gone, directory)
        await asyncio.to_thread(shutil.rmtree, run, ignore_errors=True)
