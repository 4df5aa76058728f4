"""How everybody is sent home."""

from __future__ import annotations

import asyncio

from session_platform.clock import ManualClock
from session_platform.gateway import Limits
from session_platform.store import Store
from tests.gateway.raw import Raw, raw_client
from tests.gateway.stage import (
    Stage,
    closed_with,
    token,
    until,
)
from tests.gateway.test_messages import CLOSE, frame


async def test_a_drain_says_goodbye_to_everybody_with_spread_delays_and_closes_with_1012(stage: Stage) -> None:
    async with stage.client(token()) as one, stage.client(token("M2")) as two, stage.client() as unconnected:
        draining = asyncio.create_task(stage.hub.drain(1.0))
        delays = []
        for socket in (one, two, unconnected):
            frames, close = await closed_with(socket)
            assert close == 1012
            assert frames[-1].keys() == {"type", "reason", "reconnect_after_ms"}
            assert frames[-1]["type"] == "goodbye"
            delays.append(frames[-1]["reconnect_after_ms"])
        await draining
        assert all(0 <= delay <= 2000 for delay in delays)
        assert len(set(delays)) > 1
        async with stage.client() as late:
            frames, close = await closed_with(late)
            assert (frames[-1]["type"], close) == ("goodbye", 1012)


async def test_a_drain_cuts_off_who_does_not_answer(store: Store, clock: ManualClock) -> None:
    async with Stage(store, clock, Limits(close_timeout_s=0.2)).serving() as stage, raw_client(stage) as raw:
        raw.say(type="connect", token=token())
        assert (await raw.hear())["type"] == "connected"
        draining = asyncio.create_task(stage.hub.drain(0))
        assert (await raw.hear())["type"] == "goodbye"
        assert await raw.read() == (CLOSE, (1012).to_bytes(2))
        await draining
        await until(lambda: stage.hub.counts().connections == 0)


async def test_many_goodbyes_are_spread_over_the_time_given(store: Store, clock: ManualClock) -> None:
    async with Stage(store, clock, Limits(goodbyes_per_s=8)).serving() as stage:
        opened = [await Raw.open(stage) for _ in range(6)]
        loop = asyncio.get_running_loop()
        started = loop.time()
        draining = asyncio.create_task(stage.hub.drain(0.5))
        for raw in opened:
            assert (await raw.hear())["type"] == "goodbye"
            raw.writer.write(frame(CLOSE, (await raw.read())[1]))
        await draining
        assert 0.2 < loop.time() - started < 5
        for raw in opened:
            raw.abort()
