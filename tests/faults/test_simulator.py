"""The clearinghouse beside the platform stands still or dies in mid-check: the checks complete, and nobody else notices."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from tests.faults.promises import suffix
from tests.faults.stage import stage
from tests.processes import another_child, children
from tests.running import Running


async def test_checks_complete_when_a_simulator_that_stood_still_goes_on(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform, stage(platform) as on:
        [simulator] = children(platform.pid)
        os.kill(simulator, signal.SIGSTOP)
        try:
            await asyncio.gather(*(actor.works() for actor in on.actors))
            assert (await on.actors[0].http.get("/readyz")).status_code == 200
        finally:
            os.kill(simulator, signal.SIGCONT)
        await on.assert_nothing_lost()
        for actor in on.actors:
            attempts = [event for event in actor.listener.journal.events if suffix(event) == "task.in-progress"]
            assert len(attempts) == 1


async def test_a_killed_simulator_is_started_again_and_the_checks_in_flight_complete(tmp_path: Path) -> None:
    async with Running(tmp_path / "data", speed=4) as platform, stage(platform) as on:
        await asyncio.gather(*(actor.works() for actor in on.actors))
        [simulator] = children(platform.pid)
        os.kill(simulator, signal.SIGKILL)
        await another_child(platform.pid, simulator)
        assert [(await actor.submit("after")).status_code for actor in on.actors] == [202] * len(on.actors)
        await on.assert_nothing_lost()
