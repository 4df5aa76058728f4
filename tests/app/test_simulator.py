"""The simulator is started again on its port, however often it dies, and ends with its platform."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from session_platform.app.serve import listen
from session_platform.app.simulator import Simulator
from tests.processes import another_child, children

WITHIN_S = 60


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    started = await Simulator.start(speed=1000)
    yield started
    await started.close()
    assert children(os.getpid()) == []


@asynccontextmanager
async def kept(simulator: Simulator) -> AsyncIterator[None]:
    """While inside it is started again; from then on no more."""
    keeping = asyncio.create_task(simulator.keep())
    yield
    assert not keeping.done()
    keeping.cancel()
    await asyncio.wait({keeping})


def kill() -> int:
    [simulator] = children(os.getpid())
    os.kill(simulator, signal.SIGKILL)
    return simulator


async def until_it_listens(simulator: Simulator) -> None:
    host, port = simulator.url.removeprefix("http://").split(":")
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, int(port))
            except OSError:
                continue
            writer.close()
            return


async def test_one_that_dies_again_and_again_is_there_again_on_its_port(simulator: Simulator) -> None:
    url = simulator.url
    async with kept(simulator):
        for _ in range(3):
            await another_child(os.getpid(), kill())
            await until_it_listens(simulator)
    assert simulator.url == url


async def test_a_port_that_somebody_took_meanwhile_is_tried_until_it_is_free(simulator: Simulator) -> None:
    kill()
    while await asyncio.to_thread(children, os.getpid()):
        pass
    port = int(simulator.url.rpartition(":")[2])
    failed = asyncio.Event()

    def note(_logger: Any, _method: str, entry: EventDict) -> EventDict:
        if entry["event"] == "simulator.did_not_start":
            failed.set()
        return entry

    with closing(listen("127.0.0.1", port)), capture_logs(processors=[note]):
        async with kept(simulator), asyncio.timeout(WITHIN_S):
            await failed.wait()
    async with kept(simulator):
        await until_it_listens(simulator)


async def test_a_keeping_that_ends_in_mid_start_leaves_no_process(simulator: Simulator) -> None:
    async with kept(simulator):
        await another_child(os.getpid(), kill())
