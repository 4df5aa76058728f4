"""Whatever happens in whatever order: a session ends exactly when it should, once, and says of itself what is true."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.errors import Conflict
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore
from tests.sessions.room import Room

HALF_AN_HOUR = timedelta(minutes=30)
A_FLUSH = timedelta(seconds=5)
FIVE_MINUTES = timedelta(minutes=5)
PERIOD = timedelta(seconds=30)
MEMBERS = ("M1", "M2")


@dataclass
class Told:
    """A session as a naive reader of the rules has it."""

    session_id: str
    member_id: str
    created: datetime
    last: datetime
    requests: list[str] = field(default_factory=list)
    ended: bool = False

    def state(self, now: datetime) -> str:
        if self.ended:
            return "ENDED"
        if self.requests:
            return "WAITING"
        return "IDLE" if now - self.last > FIVE_MINUTES else "ACTIVE"


seconds = st.sampled_from(
    [0, 1, 4, 5, 6, 25, 30, 31, 200, 290, 299, 300, 301, 900, 1495, 1799, 1800, 1801, 1804, 1805, 1806, 4000]
)
steps = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(MEMBERS)),
    st.tuples(st.sampled_from(["touch", "beat", "open", "close", "end"]), st.integers(0, 4)),
    st.tuples(st.sampled_from(["wait", "wait", "wait", "pass unseen"]), seconds),
)


class Play:
    """Does each step to the room and to the model, and compares."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.told: list[Told] = []
        self.ticked = room.clock.now()
        self.states_at_tick: dict[str, str] = {}

    @property
    def now(self) -> datetime:
        return self.room.clock.now()

    async def step(self, what: str, argument: Any) -> None:
        self.room.heard.clear()
        if what == "create":
            view = await self.room.create(argument)
            self.told.append(Told(view.session_id, argument, self.now, self.now))
        elif what == "pass unseen":
            self.room.clock.advance(argument)
        elif what == "wait":
            await self.wait(argument)
        elif argument < len(self.told):
            await getattr(self, what)(self.told[argument])
        await self.compare()

    async def touch(self, told: Told) -> None:
        self.room.touches.touch(told.session_id, active=True)
        if not told.ended:
            told.last = self.now

    async def beat(self, told: Told) -> None:
        self.room.touches.touch(told.session_id, active=False)

    async def open(self, told: Told) -> None:
        request_id = f"sr_{len(self.room.work.closed[told.session_id]) + len(told.requests)}"
        if told.ended:
            with pytest.raises(Conflict):
                await self.room.open_request(told.session_id, request_id)
            return
        await self.room.open_request(told.session_id, request_id)
        told.requests.append(request_id)
        told.last = self.now
        if len(told.requests) == 1:
            assert self.announced() == [(told.session_id, "WAITING")]

    async def close(self, told: Told) -> None:
        if not told.requests:
            return
        await self.room.close_request(told.session_id, told.requests.pop(0))
        if not told.requests and not told.ended:
            assert self.announced() == [(told.session_id, told.state(self.now))]

    async def end(self, told: Told) -> None:
        if told.ended:
            with pytest.raises(Conflict):
                await self.room.end(told.session_id, "ERROR", "FAILED", "somebody else")
            return
        await self.room.end(told.session_id, actor=told.member_id)
        told.ended, told.last = True, self.now

    async def wait(self, duration: int) -> None:
        self.room.clock.advance(duration)
        await self.room.monitor.tick()
        for told in self.told:
            if told.ended:
                continue
            silent = self.now - told.last
            view = await self.room.view(told.session_id)
            assert view.ended_at is None or silent >= HALF_AN_HOUR, "ended in the middle of use"
            assert view.ended_at is not None or silent < HALF_AN_HOUR + A_FLUSH, "nobody ended a silent session"
            told.ended = view.ended_at is not None
            if not told.ended:
                self.must_have_announced(told)
        self.ticked = self.now
        self.states_at_tick = {told.session_id: told.state(self.now) for told in self.told}

    def must_have_announced(self, told: Told) -> None:
        whole_periods = (self.now - told.created) // PERIOD
        period_over = told.created <= self.ticked and whole_periods > (self.ticked - told.created) // PERIOD
        fell_idle = self.states_at_tick.get(told.session_id) == "ACTIVE" and told.state(self.now) == "IDLE"
        if period_over or fell_idle:
            assert (told.session_id, told.state(self.now)) in self.announced()

    def announced(self) -> list[tuple[str, str]]:
        return [(heard["session_id"], heard["state"]) for heard in self.room.heard]

    async def compare(self) -> None:
        by_id = {told.session_id: told for told in self.told}
        for heard in self.room.heard:
            told = by_id[heard["session_id"]]
            assert not told.ended, "a session spoke after its end"
            assert heard["state"] == told.state(self.now)
            assert datetime.fromisoformat(heard["last_activity_at"]) == told.last
            assert heard["active_service_requests"] == told.requests
        for told in self.told:
            view = await self.room.view(told.session_id)
            assert (view.state, view.last_activity_at, view.expires_at) == (
                told.state(self.now),
                told.last,
                told.last + HALF_AN_HOUR,
            )
        for member_id in MEMBERS:
            views = await self.room.store.read(partial(self.room.sessions.open_of, member_id=member_id, now=self.now))
            alive = [told for told in self.told if not told.ended and self.now - told.last < HALF_AN_HOUR]
            expected = [told for told in alive if told.member_id == member_id]
            expected.sort(key=lambda told: (told.last, told.session_id), reverse=True)
            assert [view.session_id for view in views] == [told.session_id for told in expected]

    async def finish(self) -> None:
        """Everybody leaves; every session then has had one beginning and one end."""
        await self.step("wait", 31 * 60)
        for member_id in MEMBERS:
            events = await self.room.events(member_id)
            for told in self.told:
                if told.member_id == member_id:
                    names = [name for name, data in events if data["session_id"] == told.session_id]
                    assert names == ["session.created", "session.ended"]


@settings(max_examples=60, deadline=None)
@given(st.lists(steps, max_size=25))
def test_any_sequence_of_commands_touches_and_time(script: list[tuple[str, Any]]) -> None:
    async def play() -> None:
        with TemporaryDirectory() as folder:
            clock = ManualClock()
            store = await SqliteStore.open(Path(folder) / "store", clock, IdMint())
            try:
                playing = Play(Room(store, clock))
                await playing.step("create", "M1")
                for what, argument in script:
                    await playing.step(what, argument)
                await playing.finish()
            finally:
                await store.close()

    asyncio.run(play())
