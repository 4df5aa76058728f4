"""The outbox against the platform as it is run: relays and the platform are killed again and again, and each member's timeline
is what the backend committed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from digital_session_producer import Event, Producer, RefusedError, SyncProducer
from digital_session_producer.outbox import Relay
from tests.faults.clients import Member, whole_timeline
from tests.producer.backend import OUTBOX, SOURCE, database, event
from tests.running import Running

ROOT = Path(__file__).parents[2]
MEMBERS = ["M123456", "M200001", "M200002"]
ROUNDS = 4
EVENTS_A_ROUND = 30


@contextlib.asynccontextmanager
async def relay(url: str, platform: Running, token: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A relay in a process of its own, killed in the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.producer.relaying", url, platform.endpoint, token),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_relays_and_the_platform_are_killed_and_nothing_is_lost_doubled_or_swapped(tmp_path: Path) -> None:
    path = tmp_path / "backend.db"
    engine, url = database(path), f"sqlite:///{path}"
    dice = random.Random(4)
    committed: dict[str, list[str]] = defaultdict(list)

    def commit() -> None:
        for _ in range(EVENTS_A_ROUND):
            member = dice.choice(MEMBERS)
            said = event_of(member)
            with Session(engine) as session, session.begin():
                OUTBOX.add(session, said)
            committed[member].append(said.id)

    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--service", "backend")
        for number in range(ROUNDS):
            async with relay(url, platform, token), relay(url, platform, token) as second:
                await asyncio.to_thread(commit)
                second.kill()
                await asyncio.to_thread(commit)
                if number % 2:
                    await platform.kill()
                    await asyncio.to_thread(commit)
                    await platform.start()
        with SyncProducer(platform.endpoint, SOURCE, token=token) as producer:
            last = Relay(engine, OUTBOX, producer)
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(all_sent, last, sum(map(len, committed.values()))):
                    pass
        for member_id in MEMBERS:
            member = Member(member_id, await platform.token("--member", member_id))
            timeline = await whole_timeline(platform, member)
            assert [each["id"] for each in timeline] == committed[member_id]
            assert {each["source"] for each in timeline} == {SOURCE}


def event_of(member: str) -> Event:
    return Event("care_plan.updated", {"member_id": member, "care_plan_id": f"plan-{member}", "status": "ACTIVE"})


def all_sent(last: Relay, count: int) -> bool:
    """Do a round of the last relay; whether nothing waits any more."""
    last.run_once()
    with Session(last._engine) as session:
        sent = session.query(OUTBOX.table).where(OUTBOX.table.c.state == "sent").count()
    return sent == count


async def test_the_real_platform_refuses_a_batch_by_event_and_field(tmp_path: Path) -> None:
    async with Running(tmp_path / "data") as platform:
        token = await platform.token("--service", "backend")
        good, bad = event_of("M123456"), event("M123456")
        async with Producer(platform.endpoint, SOURCE, token=token) as producer:
            await producer.publish(good)
            await producer.publish(good)
            with pytest.raises(RefusedError) as error:
                await producer.publish_many([event_of("M123456"), bad])
        assert [(each.event_id, each.pointer) for each in error.value.refusals] == [(bad.id, "/data/note")]
        member = Member("M123456", await platform.token("--member", "M123456"))
        assert [each["id"] for each in await whole_timeline(platform, member)] == [good.id]
