"""Heartbeats: few writes, none lost but what a dying process held for five seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.errors import Unavailable
from session_platform.ids import IdMint
from session_platform.sessions import Touches
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore
from tests.sessions.room import Room


class Recording:
    """A store that counts its commands, and can be away."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.commands = 0
        self.away = False
        self.before: Callable[[], None] = lambda: None
        self.refused: Callable[[], None] = lambda: None

    async def run(self, command: Callable[[Tx], Any], /, *timelines: str, traceparent: str | None = None) -> Any:
        self.commands += 1
        if self.away:
            self.refused()
            raise Unavailable
        self.before()
        return await self._store.run(command, *timelines, traceparent=traceparent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
def recording(store: SqliteStore) -> Recording:
    return Recording(store)


@pytest.fixture
def room(recording: Recording, clock: ManualClock) -> Room:
    return Room(recording, clock)


async def stored(room: Room, session_id: str) -> datetime:
    sql = "SELECT last_activity_at FROM session WHERE session_id = :session_id"
    row = await room.store.read(lambda reader: reader.one(sql, session_id=session_id))
    assert row is not None
    return datetime.fromtimestamp(row[0] / 1_000_000, tz=room.clock.now().tzinfo)


async def test_a_session_in_constant_use_is_written_every_five_seconds(room: Room, recording: Recording) -> None:
    opened = await room.create()
    room.touches.touch(opened.session_id, active=True)
    await room.pass_time(1)
    recording.commands = 0
    for _ in range(20):
        room.touches.touch(opened.session_id, active=True)
        await room.pass_time(1)
    assert recording.commands == 4


async def test_the_first_touch_of_a_process_is_written_at_the_next_tick(room: Room) -> None:
    opened = await room.create()
    room.clock.advance(29 * 60)
    room.start()
    room.touches.touch(opened.session_id, active=True)
    await room.pass_time(1)
    assert await stored(room, opened.session_id) == opened.created_at + timedelta(minutes=29)


async def test_a_touch_after_a_long_silence_is_written_at_the_next_tick_again(room: Room) -> None:
    opened = await room.create()
    room.touches.touch(opened.session_id, active=True)
    await room.pass_time(1)
    room.clock.advance(295)
    await room.pass_time(1)
    room.touches.touch(opened.session_id, active=True)
    await room.pass_time(1)
    assert await stored(room, opened.session_id) == opened.created_at + timedelta(seconds=297)


async def test_a_touch_that_changes_no_state_is_not_announced(room: Room) -> None:
    active, waiting = await room.create(), await room.create()
    await room.open_request(waiting.session_id)
    room.clock.advance(200)
    room.heard.clear()
    room.touches.touch(active.session_id, active=True)
    await room.touches.flush()
    room.clock.advance(301)
    room.touches.touch(waiting.session_id, active=True)
    await room.touches.flush()
    assert room.heard == []


async def test_all_touches_of_a_moment_are_one_command(room: Room, recording: Recording) -> None:
    opened = [await room.create(f"M{number}") for number in range(50)]
    recording.commands = 0
    room.clock.advance(1)
    for view in opened:
        room.touches.touch(view.session_id, active=True)
    await room.touches.flush()
    assert recording.commands == 1
    assert {await stored(room, view.session_id) for view in opened} == {room.clock.now()}


async def test_more_touches_than_a_command_takes_are_several(room: Room, recording: Recording) -> None:
    opened = [await room.create(f"M{number}") for number in range(201)]
    recording.commands = 0
    room.clock.advance(1)
    for view in opened:
        room.touches.touch(view.session_id, active=True)
    await room.touches.flush()
    assert recording.commands == 2
    assert {await stored(room, view.session_id) for view in opened} == {room.clock.now()}


async def test_a_store_that_is_away_costs_no_touch(room: Room, recording: Recording) -> None:
    opened = await room.create()
    room.clock.advance(60)
    room.touches.touch(opened.session_id, active=True)
    touched = room.clock.now()
    recording.away = True
    with pytest.raises(Unavailable):
        await room.touches.flush()
    assert room.touches.pending(opened.session_id) == touched
    recording.away = False
    await room.pass_time(1)
    assert room.touches.pending(opened.session_id) is None
    assert await stored(room, opened.session_id) == touched


async def test_a_monitor_whose_store_is_away_goes_on_when_it_is_back(room: Room, recording: Recording) -> None:
    opened = await room.create()
    recording.away = True
    room.clock.advance(60)
    with pytest.raises(Unavailable):
        await room.monitor.tick()
    recording.away = False
    await room.monitor.tick()
    assert [heard["session_id"] for heard in room.heard] == [opened.session_id]


async def test_a_running_monitor_outlives_a_store_that_is_away(room: Room, recording: Recording) -> None:
    opened = await room.create()
    recording.away = True
    room.clock.advance(60)
    refused, heard = asyncio.Event(), asyncio.Event()
    recording.refused = refused.set
    room.store.on_commit(lambda _: heard.set())
    running = asyncio.create_task(room.monitor.run(tick_s=0))
    async with asyncio.timeout(30):
        await refused.wait()
        recording.away = False
        await heard.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [event["session_id"] for event in room.heard] == [opened.session_id]


async def test_a_touch_that_comes_while_another_is_written_stays_for_the_next_flush(room: Room, recording: Recording) -> None:
    opened = await room.create()
    room.clock.advance(1)
    room.touches.touch(opened.session_id, active=True)
    first = room.clock.now()

    def meanwhile() -> None:
        room.clock.advance(1)
        room.touches.touch(opened.session_id, active=True)

    recording.before = meanwhile
    await room.touches.flush()
    recording.before = lambda: None
    assert await stored(room, opened.session_id) == first
    assert room.touches.pending(opened.session_id) == first + timedelta(seconds=1)
    await room.touches.flush()
    assert await stored(room, opened.session_id) == first + timedelta(seconds=1)


async def test_an_urgent_touch_that_comes_while_others_are_written_does_not_wait(room: Room, recording: Recording) -> None:
    first, second = await room.create(), await room.create("M200001")
    room.clock.advance(1)
    room.touches.touch(first.session_id, active=True)
    recording.before = lambda: room.touches.touch(second.session_id, active=True)
    await room.touches.flush()
    recording.before = lambda: None
    await room.pass_time(1)
    assert await stored(room, second.session_id) == second.created_at + timedelta(seconds=1)


async def test_a_late_touch_never_moves_activity_back(room: Room) -> None:
    opened = await room.create()
    room.clock.advance(10)
    room.touches.touch(opened.session_id, active=True)
    room.clock.advance(10)
    await room.open_request(opened.session_id)
    moved = room.clock.now()
    await room.touches.flush()
    assert await stored(room, opened.session_id) == moved


async def test_touches_of_what_is_no_session_are_forgotten(room: Room) -> None:
    room.touches.touch("sess_nowhere", active=True)
    await room.touches.flush()
    assert room.touches.pending("sess_nowhere") is None


async def test_without_a_touch_a_flush_asks_nothing_of_the_store(room: Room, recording: Recording) -> None:
    recording.commands = 0
    await room.touches.flush()
    await room.pass_time(20)
    assert recording.commands == 0


async def test_an_urgent_touch_is_waited_for_no_longer_than_asked(store: SqliteStore, clock: ManualClock) -> None:
    touches = Touches(store, clock, Room(store, clock).work.active_work)
    async with asyncio.timeout(30):
        await touches.urgent(0)
        touches.touch("sess_1", active=True)
        await touches.urgent(3600)


@given(beats=st.lists(st.integers(0, 3), max_size=15))
@settings(max_examples=50, deadline=None)
def test_a_process_that_dies_loses_at_most_five_seconds_of_activity(beats: list[int], tmp_path_factory: Any) -> None:
    """``beats``: seconds between the heartbeats of a person who never stops, until the process dies."""

    async def life() -> None:
        clock = ManualClock()
        store = await SqliteStore.open(tmp_path_factory.mktemp("store"), clock, IdMint())
        try:
            room = Room(store, clock)
            opened = await room.create()
            touched = [opened.created_at]
            for pause in beats:
                room.touches.touch(opened.session_id, active=True)
                touched.append(clock.now())
                await room.pass_time(pause)
            room.start()
            must_be_kept = max(at for at in touched if at == touched[0] or at <= clock.now() - timedelta(seconds=5))
            assert must_be_kept <= (await room.view(opened.session_id)).last_activity_at <= touched[-1]
        finally:
            await store.close()

    asyncio.run(life())
