"""Staff in a session: the relationship lasts as long as the session, and every change of it is said."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from session_platform.contract import AssigneeRole
from session_platform.errors import Conflict, ForbiddenOrMissing
from session_platform.sessions import IDLE_AFTER, NewParticipant, SessionView, participates
from tests.sessions.room import MEMBER, Room

DANA = NewParticipant("C001", AssigneeRole.CARE_TEAM)


async def sees(room: Room, staff_id: str, member_id: str = MEMBER) -> bool:
    return await room.store.read(partial(participates, staff_id=staff_id, member_id=member_id))


async def changes(room: Room) -> list[tuple[Any, ...]]:
    sql = "SELECT member_id, staff_id, seq FROM right_change ORDER BY number"
    return await room.store.read(lambda reader: reader.all(sql))


async def join(room: Room, session: SessionView, staff_id: str) -> SessionView:
    command = partial(room.sessions.join, session_id=session.session_id, staff_id=staff_id, role=AssigneeRole.CLINICIAN)
    return await room.store.run(command, session.member_id)


async def act(room: Room, session_id: str, member_id: str = MEMBER) -> None:
    await room.store.run(partial(room.sessions.activity, session_id=session_id), member_id)


async def test_a_participant_of_an_open_session_has_a_relationship_with_its_member_and_no_other(room: Room) -> None:
    session = await room.create(participants=(DANA,))
    assert await sees(room, "C001")
    assert not await sees(room, "C002")
    assert not await sees(room, "C001", "M200001")
    await room.end(session.session_id)
    assert not await sees(room, "C001")


async def test_one_of_several_sessions_is_enough(room: Room) -> None:
    first, second = await room.create(participants=(DANA,)), await room.create(participants=(DANA,))
    await room.end(first.session_id)
    assert await sees(room, "C001")
    await room.end(second.session_id)
    assert not await sees(room, "C001")


async def test_the_member_who_takes_part_in_their_own_session_is_no_staff(room: Room) -> None:
    await room.create()
    assert not await sees(room, MEMBER)


async def test_a_silent_session_ends_the_relationship_when_it_expires(room: Room) -> None:
    await room.create(participants=(DANA,))
    await room.leap(1800)
    assert await sees(room, "C001")
    await room.leap(6)
    assert not await sees(room, "C001")


async def test_each_beginning_and_end_of_a_relationship_is_said_behind_its_event(room: Room) -> None:
    opened = await room.create(participants=(DANA,))
    await join(room, opened, "C002")
    await join(room, opened, "C002")
    await room.end(opened.session_id)
    expiring = await room.create(participants=(DANA,))
    await room.leap(1806)
    assert (await room.view(expiring.session_id)).ended_at is not None
    await room.create()
    assert await changes(room) == [
        (MEMBER, "C001", 1),
        (MEMBER, "C002", 1),
        (MEMBER, "C001", 2),
        (MEMBER, "C002", 2),
        (MEMBER, "C001", 3),
        (MEMBER, "C001", 4),
    ]


async def test_of_the_open_sessions_the_one_joined_last_is_told(room: Room) -> None:
    async def joined_last() -> str | None:
        view = await room.store.read(partial(room.sessions.joined_last, staff_id="C002", now=room.clock.now()))
        return None if view is None else view.session_id

    assert await joined_last() is None
    early, late = await room.create(), await room.create("M200001")
    await join(room, late, "C002")
    room.clock.advance(1)
    await join(room, early, "C002")
    assert await joined_last() == early.session_id
    await room.end(early.session_id)
    assert await joined_last() == late.session_id
    room.clock.advance(1800)
    # It only waits for the sweeper.
    assert await joined_last() is None


async def test_activity_keeps_a_session_alive_and_is_announced_only_where_the_state_changes(room: Room) -> None:
    session = await room.create()
    room.clock.advance(60)
    await act(room, session.session_id)
    assert (await room.view(session.session_id)).last_activity_at == room.clock.now()
    assert room.heard == []
    room.clock.advance(IDLE_AFTER.total_seconds() + 1)
    await act(room, session.session_id)
    assert [each["state"] for each in room.heard] == ["ACTIVE"]


async def test_a_request_submitted_in_an_idle_session_is_announced_once_as_waiting(room: Room) -> None:
    session = await room.create()
    room.clock.advance(IDLE_AFTER.total_seconds() + 1)
    await room.open_request(session.session_id)
    assert [each["state"] for each in room.heard] == ["WAITING"]


async def test_there_is_no_activity_in_a_session_that_has_ended_or_never_was(room: Room) -> None:
    session = await room.create()
    await room.end(session.session_id)
    with pytest.raises(Conflict):
        await act(room, session.session_id)
    with pytest.raises(ForbiddenOrMissing):
        await act(room, "sess_none")


async def test_relationships_are_looked_up_along_an_index(room: Room) -> None:
    from session_platform.sessions import record

    plan = "EXPLAIN QUERY PLAN " + record._PARTICIPATES
    rows = await room.store.read(lambda reader: reader.all(plan, staff_id="C001", member_id=MEMBER))
    steps = [row[3] for row in rows]
    assert not any(step.startswith("SCAN") and "session" in step and "USING" not in step for step in steps), steps
    assert any("session_open_by_member" in step for step in steps), steps
