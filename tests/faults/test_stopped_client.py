"""A client that takes nothing in disturbs nobody, and finds everything when it goes on. (That it is closed when it stays so is
the gateway's own test: there a clock can be moved.)"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.faults.clients import frames, is_durable, whole_timeline
from tests.faults.promises import Event, assert_followed, number
from tests.faults.stage import stage
from tests.running import Running, receive_until, send

CHECKS = 12


async def test_a_client_that_does_not_read_disturbs_nobody_and_misses_nothing(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform, stage(platform, ["M123456", "M300001"]) as on:
        member = on.actors[0].listener.member
        async with platform.socket(member.token, max_queue=None) as stopped:
            await send(stopped, {"type": "subscribe", "since": "beginning", "subscription": member.subscription})
            before = await receive_until(stopped, "caught_up")
            stopped.transport.pause_reading()
            submitting = [actor.submit(f"{key}") for actor in on.actors for key in range(CHECKS)]
            assert {answer.status_code for answer in await asyncio.gather(*submitting)} == {202}
            await on.assert_nothing_lost()
            timeline = await whole_timeline(platform, member)
            stopped.transport.resume_reading()
            journal, superseded = await read_up_to(stopped, timeline, before)
    assert_followed(journal, superseded, timeline)


async def read_up_to(socket: Any, timeline: list[Event], heard: list[dict[str, Any]]) -> tuple[list[Event], set[int]]:
    journal = [frame["event"] for frame in heard if is_durable(frame)]
    superseded: set[int] = set()
    async for frame in frames(socket):
        if is_durable(frame):
            journal.append(frame["event"])
            superseded.update(frame.get("superseded", ()))
            if number(journal[-1]) == len(timeline):
                break
    return journal, superseded
