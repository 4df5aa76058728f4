"""Snapshot, then subscribe: a context and every event behind its cursor are the member's final state. Nothing falls between.

A thousand screens look while others write: each reads a context at a moment of its own, subscribes from its cursor, and keeps
up by events alone. What it shows in the end must be what a context read in the end says.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import httpx2
import pytest

from session_platform import twin
from session_platform.log import Group
from session_platform.store import outbox
from tests.api.context_client import Live, Screen, Watcher
from tests.api.stage import APP, Stage

ROUNDS = 20
SCREENS_A_ROUND = 50
WRITES_A_ROUND = 40
TYPE = "com.includedhealth.sessions."


class Member:
    """A member of whom others write, and what of theirs is open."""

    def __init__(self, stage: Stage, number: int, own: httpx2.AsyncClient, backend: httpx2.AsyncClient) -> None:
        self.member_id, self.account_id = f"M9{number:05d}", f"A9{number:05d}"
        self.stage = stage
        self.own = own
        self.backend = backend
        self.sessions: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.published = 0

    async def write(self, dice: random.Random) -> None:
        """Any one of the things that change what a screen shows."""
        acts = [self.create, self.create, self.submit, self.submit, self.cancel, self.fail, self.end, self.plan, self.cover]
        await dice.choice(acts)(dice)

    async def create(self, _: random.Random) -> None:
        answer = await self.own.post("/v1/sessions", json=APP)
        assert answer.status_code == 201, answer.text
        self.sessions.append(answer.json()["session_id"])

    async def submit(self, dice: random.Random) -> None:
        if self.sessions:
            session = dice.choice(self.sessions)
            answer = await self.own.post(f"/v1/sessions/{session}/service-requests", json={"service": "RTE"})
            assert answer.status_code == 202, answer.text
            self.requests.append(answer.json())

    async def cancel(self, dice: random.Random) -> None:
        if self.requests:
            request = self.requests.pop(dice.randrange(len(self.requests)))
            answer = await self.own.post(f"/v1/service-requests/{request['service_request_id']}/cancel", json={})
            assert answer.status_code == 200, answer.text

    async def fail(self, dice: random.Random) -> None:
        if self.requests:
            await self.stage.fail(self.requests.pop(dice.randrange(len(self.requests))))

    async def end(self, dice: random.Random) -> None:
        if len(self.sessions) > 2:
            session = self.sessions.pop(dice.randrange(len(self.sessions)))
            answer = await self.own.post(f"/v1/sessions/{session}/end", json={})
            assert answer.status_code == 200, answer.text

    async def plan(self, dice: random.Random) -> None:
        goals = [f"goal_{dice.randrange(100)}"]
        data = {"member_id": self.member_id, "care_plan_id": f"cp_{dice.randrange(3)}", "updated_goals": goals}
        await self.publish("care-plan.updated", {**data, "new_tasks": []})

    async def cover(self, dice: random.Random) -> None:
        coverage = {"account_id": self.account_id, "coverage_status": "ACTIVE", "benefits": []}
        named = {**coverage, "plan_name": f"plan {dice.randrange(10_000)}"}
        data = {"member_id": self.member_id, "account_id": self.account_id, "coverage": named}
        await self.publish("coverage.updated", data)

    async def publish(self, suffix: str, data: dict[str, Any]) -> None:
        self.published += 1
        event = {"specversion": "1.0", "id": f"{self.member_id}-{self.published}", "source": "/plans", "type": TYPE + suffix}
        headers = {"Content-Type": "application/cloudevents+json"}
        answer = await self.backend.post("/v1/events", json={**event, "data": data}, headers=headers)
        assert answer.status_code == 202, answer.text


@asynccontextmanager
async def following(stage: Stage) -> AsyncIterator[Live]:
    live = Live(stage.store, stage.codec)
    await live.follower.start()
    group = Group(stage.store, twin.GROUP, twin.handle, replayable=True)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(live.follower.run()), tasks.create_task(group.run())]
        yield live
        for task in running:
            task.cancel()


async def look(member: Member, live: Live, turn: asyncio.Event, final: asyncio.Future[int]) -> Watcher:
    """Read the context while a write is under way, and watch from there."""
    await turn.wait()
    answer = await member.own.get(f"/v1/members/{member.member_id}/context")
    assert answer.status_code == 200, answer.text
    watcher = Watcher(live, member.member_id, answer.json())
    await watcher.watch(final)
    return watcher


async def one_round(stage: Stage, live: Live, number: int, dice: random.Random) -> list[int]:
    """Where in the history each screen began."""
    member_id = f"M9{number:05d}"
    own, backend = stage.member(member_id, f"A9{number:05d}"), stage.token("service", sub="plans")
    async with stage.http(own) as http, stage.http(backend) as service:
        member = Member(stage, number, http, service)
        turns = [asyncio.Event() for _ in range(WRITES_A_ROUND)]
        final: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            screens = [tasks.create_task(look(member, live, dice.choice(turns), final)) for _ in range(SCREENS_A_ROUND)]
            for turn in turns:
                turn.set()
                await member.write(dice)
            context = (await http.get(f"/v1/members/{member_id}/context")).json()
            final.set_result((await stage.store.read(lambda reader: outbox.head(reader, member_id))).last.seq)
    shown = Screen.of(context)
    for watcher in (screen.result() for screen in screens):
        assert watcher.seq == final.result()
        # Of the requests that ended a context names the last twenty; a screen goes on showing what it has seen.
        assert {each: watcher.screen.requests.get(each) for each in shown.requests} == shown.requests
        watcher.screen.requests = shown.requests
        assert watcher.screen == shown
    return [screen.result().start for screen in screens]


@pytest.mark.parametrize("ahead_max_events", [500, 2], ids=["exact", "lowered"])
async def test_a_context_and_every_event_behind_its_cursor_are_the_final_state(stage: Stage, ahead_max_events: int) -> None:
    dice = random.Random(20260115 + ahead_max_events)
    slow = stage.with_parts(twin=partial(twin.read, ahead_max_events=ahead_max_events))
    rounds = ROUNDS if ahead_max_events == 500 else 2
    starts: list[int] = []
    async with following(slow) as live:
        for number in range(rounds):
            starts += await one_round(slow, live, number, dice)
    assert len(starts) == rounds * SCREENS_A_ROUND
    assert len(set(starts)) > 10, "they looked at many moments"
