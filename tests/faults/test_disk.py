"""The disk is full, or another program holds the database: what cannot be written is refused, and it works again by itself."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import apsw

from session_platform.store.sqlite.database import DATABASE_FILE
from tests.faults.stage import Stage, readiness, stage
from tests.processes import another_child, children
from tests.running import Running

FILLING = (sys.executable, "-m", "tests.faults.filling_disk")
SPEED = 4.0


async def assert_it_still_reads(on: Stage) -> None:
    """What needs no audit record is answered; health data is not shown without one."""
    for actor in on.actors:
        assert (await actor.http.get(f"/v1/sessions/{actor.session['session_id']}")).status_code == 200
        for request in actor.accepted.values():
            assert (await actor.http.get(f"/v1/service-requests/{request}")).status_code == 200
    first = on.actors[0]
    assert (await first.http.get(f"/v1/members/{first.listener.member.member_id}/context")).status_code == 503


async def test_a_full_disk_refuses_what_cannot_be_written_and_recovers_by_itself(tmp_path: Path) -> None:
    """The platform's own log lies on that disk, too, and there is something to log: the simulator dies."""
    log = tmp_path / "log"
    async with Running(tmp_path / "data", SPEED, program=(*FILLING, "0"), log=log) as platform, stage(platform) as on:
        await asyncio.gather(*(actor.works() for actor in on.actors))
        os.kill(platform.pid, signal.SIGUSR1)
        await asyncio.gather(*(actor.submit_until(503, "full") for actor in on.actors))
        said = await readiness(on.actors[0].http, 503)
        assert "disk" in said["troubles"][0]
        await assert_it_still_reads(on)
        [simulator] = children(platform.pid)
        os.kill(simulator, signal.SIGKILL)
        await another_child(platform.pid, simulator)
        os.kill(platform.pid, signal.SIGUSR2)
        await readiness(on.actors[0].http, 200)
        assert [(await actor.submit("again")).status_code for actor in on.actors] == [202] * len(on.actors)
        await on.assert_nothing_lost()


async def test_a_disk_that_the_database_log_itself_fills_is_worked_on_in_that_space(tmp_path: Path) -> None:
    async with Running(tmp_path / "data", SPEED, program=(*FILLING, "log")) as platform, stage(platform) as on:
        await asyncio.gather(*(actor.works() for actor in on.actors))
        os.kill(platform.pid, signal.SIGUSR1)
        await on.actors[0].submit_until(503, "full")
        await asyncio.gather(*(actor.submit_until(202, "again") for actor in on.actors))
        await on.assert_nothing_lost()


async def test_a_locked_database_refuses_writing_and_recovers_by_itself(tmp_path: Path) -> None:
    async with Running(tmp_path / "data", SPEED) as platform, stage(platform) as on:
        await asyncio.gather(*(actor.works() for actor in on.actors))
        other = apsw.Connection(str(tmp_path / "data" / DATABASE_FILE))
        other.set_busy_timeout(10_000)
        other.execute("BEGIN IMMEDIATE")
        await asyncio.gather(*(actor.submit_until(503, "locked") for actor in on.actors))
        said = await readiness(on.actors[0].http, 503)
        assert "locked" in said["troubles"][0]
        await assert_it_still_reads(on)
        other.execute("ROLLBACK")
        other.close()
        await readiness(on.actors[0].http, 200)
        assert [(await actor.submit("again")).status_code for actor in on.actors] == [202] * len(on.actors)
        await on.assert_nothing_lost()
