"""Hours in milliseconds: expiry, idle time, presence."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from session_platform.clock import ManualClock
from session_platform.contract import SessionEndReason, SessionOutcome
from session_platform.errors import Conflict
from session_platform.sessions import LifeState
from session_platform.store.sqlite import SqliteStore
from tests.sessions.room import MEMBER, Room

MINUTES = 60


async def test_a_silent_session_expires_after_half_an_hour(room: Room) -> None:
    opened = await room.create()
    await room.leap(30 * MINUTES - 1)
    assert (await room.view(opened.session_id)).state is LifeState.IDLE
    await room.pass_time(7)
    view = await room.view(opened.session_id)
    assert (view.state, view.end_reason, view.outcome) == (LifeState.ENDED, SessionEndReason.TIMEOUT, SessionOutcome.PARTIAL)
    assert (view.last_activity_at, view.expires_at) == (opened.created_at, opened.expires_at)
    assert view.ended_at is not None
    assert opened.expires_at <= view.ended_at <= opened.expires_at + timedelta(seconds=6)
    name, data = (await room.events())[-1]
    assert (name, data["reason"], data["outcome"]) == ("session.ended", "TIMEOUT", "PARTIAL")
    assert data["duration_seconds"] == 30 * MINUTES + 5


async def test_activity_moves_the_expiry_and_mere_presence_does_not(room: Room) -> None:
    busy, present = await room.create(), await room.create()
    for _ in range(4):
        await room.leap(10 * MINUTES)
        room.touches.touch(busy.session_id, active=True)
        room.touches.touch(present.session_id, active=False)
    await room.pass_time(6)
    view = await room.view(busy.session_id)
    assert view.ended_at is None
    assert view.expires_at == busy.created_at + timedelta(minutes=70)
    assert (await room.view(present.session_id)).end_reason is SessionEndReason.TIMEOUT


async def test_a_waiting_session_expires_too_and_its_request_goes_on(room: Room) -> None:
    opened = await room.create()
    await room.open_request(opened.session_id)
    await room.leap(31 * MINUTES)
    assert (await room.view(opened.session_id)).state is LifeState.ENDED
    room.heard.clear()
    await room.close_request(opened.session_id)
    assert room.heard == []


async def test_a_touch_that_is_not_written_yet_keeps_a_session_from_expiring(room: Room) -> None:
    opened = await room.create()
    room.clock.advance(30 * MINUTES - 1)
    room.touches.touch(opened.session_id, active=True)
    room.clock.advance(10)
    assert await room.store.run(partial(room.sessions.expire, session_id=opened.session_id), MEMBER) is False
    await room.monitor.tick()
    assert (await room.view(opened.session_id)).ended_at is None


async def test_a_touch_that_another_process_wrote_since_the_sweeper_looked_saves_the_session(
    room: Room, store: SqliteStore, clock: ManualClock
) -> None:
    opened = await room.create()
    elsewhere = Room(store, clock)
    clock.advance(30 * MINUTES + 5)
    elsewhere.touches.touch(opened.session_id, active=True)
    await elsewhere.touches.flush()
    assert await store.run(partial(room.sessions.expire, session_id=opened.session_id), MEMBER) is False
    assert (await room.view(opened.session_id)).ended_at is None


async def test_two_sweepers_end_a_session_once(room: Room, store: SqliteStore, clock: ManualClock) -> None:
    await room.create()
    elsewhere = Room(store, clock)
    clock.advance(31 * MINUTES)
    await asyncio.gather(room.monitor.tick(), elsewhere.monitor.tick())
    assert [name for name, _ in await room.events()] == ["session.created", "session.ended"]


async def test_a_touch_of_an_ended_session_changes_nothing(room: Room) -> None:
    opened = await room.create()
    ended = await room.end(opened.session_id)
    room.clock.advance(5)
    room.touches.touch(opened.session_id, active=True)
    assert await room.view(opened.session_id) == ended
    await room.touches.flush()
    assert await room.view(opened.session_id) == ended
    assert room.heard == []


async def test_after_a_long_stop_every_silent_session_ends(room: Room) -> None:
    for _ in range(20):
        await room.create()
    room.clock.advance(8 * 3600)
    room.start()
    await room.monitor.tick()
    assert await room.store.read(lambda reader: room.sessions.open_of(reader, MEMBER, room.clock.now())) == []
    assert [name for name, _ in await room.events()].count("session.ended") == 20
    assert room.heard == []


async def test_a_session_waits_while_a_request_is_open(room: Room) -> None:
    opened = await room.create()
    await room.open_request(opened.session_id, "sr_1")
    await room.open_request(opened.session_id, "sr_2")
    assert (await room.view(opened.session_id)).state is LifeState.WAITING
    await room.close_request(opened.session_id, "sr_1")
    assert (await room.view(opened.session_id)).state is LifeState.WAITING
    await room.close_request(opened.session_id, "sr_2")
    assert (await room.view(opened.session_id)).state is LifeState.ACTIVE
    # The state changed twice, so it was said twice.
    assert [(heard["state"], heard["active_service_requests"], heard["active_tasks"]) for heard in room.heard] == [
        ("WAITING", ["sr_1"], ["task_of_sr_1"]),
        ("ACTIVE", [], []),
    ]


async def test_a_session_falls_idle_after_five_minutes_and_says_so_once(room: Room) -> None:
    opened = await room.create()
    await room.pass_time(5 * MINUTES)
    assert [heard["state"] for heard in room.heard] == ["ACTIVE"] * 10
    room.heard.clear()
    await room.pass_time(1)
    assert [(heard["session_id"], heard["state"]) for heard in room.heard] == [(opened.session_id, "IDLE")]
    await room.pass_time(29)
    assert [heard["state"] for heard in room.heard] == ["IDLE", "IDLE"]


async def test_a_touch_wakes_an_idle_session_within_a_second(room: Room) -> None:
    opened = await room.create()
    await room.leap(5 * MINUTES + 1)
    room.heard.clear()
    room.touches.touch(opened.session_id, active=True)
    at = room.clock.now()
    assert (await room.view(opened.session_id)).state is LifeState.ACTIVE
    await room.pass_time(1)
    assert room.heard == [
        {
            "session_id": opened.session_id,
            "member_id": MEMBER,
            "last_activity_at": at.isoformat().replace("+00:00", "Z"),
            "state": "ACTIVE",
            "active_service_requests": [],
            "active_tasks": [],
        }
    ]


async def test_an_idle_session_whose_request_ends_is_idle_again(room: Room) -> None:
    opened = await room.create()
    await room.open_request(opened.session_id)
    await room.leap(6 * MINUTES)
    assert (await room.view(opened.session_id)).state is LifeState.WAITING
    room.heard.clear()
    await room.close_request(opened.session_id)
    assert [heard["state"] for heard in room.heard] == ["IDLE"]


async def test_presence_comes_every_thirty_seconds_from_the_creation(room: Room) -> None:
    first = await room.create()
    await room.pass_time(10)
    second = await room.create("M200001")
    await room.end((await room.create("M200002")).session_id, actor="M200002")
    heard: list[tuple[int, str]] = []
    for second_of_test in range(11, 101):
        room.heard.clear()
        await room.pass_time(1)
        heard += [(second_of_test, event["session_id"]) for event in room.heard]
    assert heard == [
        (30, first.session_id),
        (40, second.session_id),
        (60, first.session_id),
        (70, second.session_id),
        (90, first.session_id),
        (100, second.session_id),
    ]


async def test_a_session_that_ended_since_the_monitor_looked_is_not_announced(room: Room) -> None:
    opened = await room.create()
    await room.end(opened.session_id)
    await room.store.run(partial(room.sessions.announce, session_id=opened.session_id), MEMBER)
    assert room.heard == []


async def test_one_presence_stands_for_all_that_a_late_monitor_missed(room: Room) -> None:
    await room.create()
    await room.leap(200)
    assert len(room.heard) == 1
    await room.leap(9)
    assert len(room.heard) == 1
    await room.leap(1)
    assert len(room.heard) == 2


async def test_a_clock_that_steps_back_silences_nobody_and_ends_nothing(room: Room) -> None:
    opened = await room.create()
    await room.leap(40)
    await room.leap(-3600)
    room.heard.clear()
    await room.pass_time(30)
    assert {heard["state"] for heard in room.heard} == {"ACTIVE"}
    assert (await room.view(opened.session_id)).last_activity_at == opened.created_at
    assert (await room.end(opened.session_id)).last_activity_at == opened.created_at
    assert (await room.events())[-1][1]["duration_seconds"] == 0


async def test_many_sessions_of_many_members_are_all_heard(room: Room) -> None:
    ids = {(await room.create(f"M{number}")).session_id for number in range(120)}
    await room.leap(30)
    assert {heard["session_id"] for heard in room.heard} == ids
    assert len(room.heard) == 120


async def test_nobody_is_given_a_session_that_only_waits_for_the_sweeper(room: Room) -> None:
    await room.create(device_id="phone")
    room.clock.advance(30 * MINUTES - 1)
    active = partial(room.sessions.active_on_device, member_id=MEMBER, device_id="phone")
    assert await room.store.read(partial(active, now=room.clock.now())) is not None
    room.clock.advance(1)
    assert await room.store.read(partial(active, now=room.clock.now())) is None


async def test_a_sweeper_with_more_than_it_takes_at_once_goes_on_at_the_next_tick_and_the_rest_is_silent(room: Room) -> None:
    for number in range(501):
        await room.create(f"M{number % 7}")
    await room.leap(8 * 3600)

    async def still_open() -> int:
        row = await room.store.read(lambda reader: reader.one("SELECT count(*) FROM session WHERE ended_at IS NULL"))
        assert row is not None
        return int(row[0])

    assert await still_open() == 1
    assert room.heard == []
    await room.pass_time(1)
    assert await still_open() == 0


async def test_a_request_in_an_expired_session_that_nobody_swept_yet_is_activity(room: Room) -> None:
    opened = await room.create()
    room.clock.advance(30 * MINUTES + 3)
    await room.open_request(opened.session_id)
    await room.monitor.tick()
    assert (await room.view(opened.session_id)).state is LifeState.WAITING
    await room.leap(30 * MINUTES + 5)
    with pytest.raises(Conflict):
        await room.open_request(opened.session_id, "sr_2")


async def test_the_monitor_runs_until_it_is_cancelled(room: Room) -> None:
    opened = await room.create()
    room.clock.advance(6 * MINUTES)
    written = asyncio.Event()
    room.store.on_commit(lambda _: written.set())
    running = asyncio.create_task(room.monitor.run())
    room.touches.touch(opened.session_id, active=True)
    touched = room.clock.now()
    async with asyncio.timeout(30):
        await written.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    room.start()
    assert (await room.view(opened.session_id)).last_activity_at == touched
