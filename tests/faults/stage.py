"""Members who submit and listen, over one platform, and what must hold for them at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2

from tests.faults.clients import PATIENCE_S, Listener, Member, Moments, whole_timeline
from tests.faults.promises import assert_each_check_happened_once, assert_followed, assert_sound
from tests.running import Running

MEMBERS = ("M123456", "M300001", "M300002")


class Actor:
    """A member with a session who submits checks, each under a key, and hears of them."""

    def __init__(self, http: httpx2.AsyncClient, session: dict[str, Any], listener: Listener) -> None:
        self.http = http
        self.session = session
        self.listener = listener
        self.accepted: dict[str, str] = {}

    async def submit(self, key: str) -> httpx2.Response:
        """One try: accepted, or refused as unavailable."""
        path = f"/v1/sessions/{self.session['session_id']}/service-requests"
        answer = await self.http.post(path, json={"service": "RTE"}, headers={"Idempotency-Key": key})
        if answer.status_code == 202:
            self.accepted[key] = answer.json()["service_request_id"]
        else:
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] == "unavailable"
            assert int(answer.headers["Retry-After"]) >= 1
        return answer

    async def submit_until(self, status: int, key: str) -> None:
        """Submit one after the other until one is answered so."""
        number = 0
        async with asyncio.timeout(PATIENCE_S):
            while (await self.submit(f"{key}-{number}")).status_code != status:
                number += 1

    async def works(self) -> None:
        """Until a check is asked of the payer."""
        assert (await self.submit("first")).status_code == 202
        await self.listener.journal.heard("task.in-progress")


class Stage:
    """`actors`, one a member."""

    def __init__(self, platform: Running, actors: Sequence[Actor]) -> None:
        self.platform = platform
        self.actors = actors

    async def assert_nothing_lost(self) -> None:
        """What was accepted is there and came to its end, once; nobody lost the connection, and all heard everything."""
        for actor in self.actors:
            listener = actor.listener
            await listener.journal.ended(actor.accepted.values())
            timeline = await whole_timeline(self.platform, listener.member)
            await listener.journal.reached(len(timeline))
            assert_sound(timeline)
            assert_each_check_happened_once(timeline, actor.accepted.values(), "SUCCESS")
            assert_followed(listener.journal.events, listener.journal.superseded, timeline)
            assert listener.connections == 1


@asynccontextmanager
async def stage(platform: Running, members: Sequence[str] = MEMBERS) -> AsyncIterator[Stage]:
    """Everybody has a session and listens."""
    moments = Moments()
    moments.reachable.set()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as listening:
        actors, tasks = [], []
        for name in members:
            member = Member(name, await platform.token("--member", name))
            http = await stack.enter_async_context(platform.http(member.token))
            session = (await http.post("/v1/sessions", json={"type": "APP", "channel": "MX_WEB"})).json()
            actors.append(Actor(http, session, Listener(platform, moments, member)))
            tasks.append(listening.create_task(actors[-1].listener.run()))
        yield Stage(platform, actors)
        for task in tasks:
            task.cancel()


async def readiness(http: httpx2.AsyncClient, status: int) -> dict[str, Any]:
    """What /readyz says once it answers so."""
    async with asyncio.timeout(PATIENCE_S):
        while (answer := await http.get("/readyz")).status_code != status:
            pass
    body: dict[str, Any] = answer.json()
    return body
