"""kill -9 of the platform at random moments, while members check their coverage and listen: every accepted check happens once,
and every client's journal is its timeline.

``CHAOS_ROUNDS`` says how often; a failure names its ``CHAOS_SEED``, which rolls the same dice again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx2

from tests.faults.clients import (
    Listener,
    Member,
    Moments,
    SdkListener,
    insist,
    sdk,
    whole_timeline,
)
from tests.faults.promises import assert_each_check_happened_once, assert_followed, assert_sound
from tests.running import Running

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "3"))
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(2**32))
MEMBERS = ("M123456", "M200001", "M300001")
FAILING = "M200002"
RETRIED = "M200003"
"""Her payer answers a check's third attempt: one check at a time, for what joins another's attempts may end before that."""
RETRIED_EVERY = 10
CHECKS_A_ROUND = 3
MOMENTS_A_ROUND = (len(MEMBERS) + 1) * CHECKS_A_ROUND * 8
KILLED_WHILE_STARTING = 0.25
START_S = 3.0
SPEED = 20.0


class Checks:
    """What a member asks for, and what she was promised: every request that was accepted, by its key."""

    def __init__(self, http: httpx2.AsyncClient, moments: Moments, listener: Listener) -> None:
        self.member = listener.member
        self.accepted: dict[str, str] = {}
        self.http = http
        self._moments = moments
        self._journal = listener.journal
        self._session: asyncio.Task[Any] | None = None

    async def submit(self, key: str) -> None:
        if self._session is None:
            self._session = asyncio.create_task(self._insist("/v1/sessions", "session", {"type": "APP", "channel": "MX_WEB"}))
        session = await self._session
        answer = await self._insist(f"/v1/sessions/{session['session_id']}/service-requests", key, {"service": "RTE"})
        request = answer["service_request_id"]
        assert self.accepted.setdefault(key, request) == request

    async def ask(self, key: str) -> None:
        """Submit, and wait until the member hears of its end."""
        await self.submit(key)
        await self._journal.ended([self.accepted[key]])

    def in_round(self, played: int) -> int:
        """How many checks she asks for at once."""
        if self.member.member_id == RETRIED:
            return 1 if played % RETRIED_EVERY == 0 else 0
        return CHECKS_A_ROUND

    async def _insist(self, path: str, key: str, body: dict[str, Any]) -> Any:
        return await insist(self.http, self._moments, path, key, body)


async def kill_and_start(platform: Running, moments: Moments, dice: random.Random) -> None:
    """Now, and sometimes again while it starts."""
    moments.reachable.clear()
    await platform.kill()
    while dice.random() < KILLED_WHILE_STARTING:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(dice.uniform(0, START_S)):
                await platform.start()
        if platform.runs:
            await platform.kill()
    await platform.start()
    moments.reachable.set()


async def first_of(*waiting: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(each) for each in waiting]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def rounds(platform: Running, moments: Moments, everybody: Sequence[Checks], dice: random.Random) -> None:
    """In each, every member submits some checks at once, and until they all have ended the platform is killed once or twice:
    after a random number of the answers and events that this brings."""
    for played in range(ROUNDS):
        async with asyncio.TaskGroup() as asking:
            asked = [
                asking.create_task(checks.ask(f"{played}.{number}"))
                for checks in everybody
                for number in range(checks.in_round(played))
            ]
            for _ in range(dice.randint(1, 2)):
                await first_of(moments.until(moments.count + dice.randint(1, MOMENTS_A_ROUND)), asyncio.wait(asked))
                await kill_and_start(platform, moments, dice)


async def head(checks: Checks) -> int:
    """The number of the timeline's last event, as REST knows it."""
    return int((await checks.http.get(f"/v1/members/{checks.member.member_id}/context")).json()["timelineseq"])


async def assert_promises_kept(
    platform: Running, checks: Checks, head: int, listeners: Sequence[Listener | SdkListener]
) -> None:
    timeline = await whole_timeline(platform, checks.member)
    assert len(timeline) == head
    assert_sound(timeline)
    failing = checks.member.member_id == FAILING
    requests = set(checks.accepted.values())
    assert len(requests) == sum(checks.in_round(played) for played in range(ROUNDS))
    assert_each_check_happened_once(timeline, requests, "FAILED" if failing else "SUCCESS")
    for listener in listeners:
        if listener.member is checks.member:
            assert_followed(listener.journal.events, listener.journal.superseded, timeline)
    for key, request in list(checks.accepted.items()):
        await checks.submit(key)
        answer = await checks.http.get(f"/v1/service-requests/{request}")
        assert answer.json()["status"] == ("FAILED" if failing else "COMPLETED")


async def test_kill_9_at_random_moments_loses_and_doubles_nothing_for_anybody(tmp_path: Path) -> None:
    print(f"CHAOS_SEED={SEED} CHAOS_ROUNDS={ROUNDS}")
    dice, moments = random.Random(SEED), Moments()
    async with Running(tmp_path / "data", speed=SPEED) as platform, contextlib.AsyncExitStack() as stack:
        moments.reachable.set()
        members = [Member(name, await platform.token("--member", name)) for name in (*MEMBERS, FAILING, RETRIED)]
        raw = [Listener(platform, moments, member) for member in members]
        second = Listener(platform, moments, members[0])
        sdks = [SdkListener(moments, member) for member in members[:2]]
        everybody = [
            Checks(await stack.enter_async_context(platform.http(listener.member.token)), moments, listener) for listener in raw
        ]
        async with asyncio.TaskGroup() as listening:
            tasks = [listening.create_task(listener.run()) for listener in (*raw, second)]
            for each in sdks:
                client = await stack.enter_async_context(sdk(platform, each.member))
                tasks.append(listening.create_task(each.run(client)))
            await rounds(platform, moments, everybody, dice)
            heads = [await head(checks) for checks in everybody]
            everyone: list[Listener | SdkListener] = [*raw, second, *sdks]
            for listener in everyone:
                await listener.journal.reached(heads[members.index(listener.member)])
            for task in tasks:
                task.cancel()
        for checks, last in zip(everybody, heads, strict=True):
            await assert_promises_kept(platform, checks, last, everyone)
        assert min(listener.connections for listener in raw) > 1
