"""Opening, joining and ending a session: what the caller sees, what the timeline says, what is refused."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
import pytest

from session_platform.contract import AssigneeRole, SessionEndReason, SessionOutcome
from session_platform.errors import Conflict, ForbiddenOrMissing, Invalid
from session_platform.sessions import LifeState, NewParticipant, Participant
from tests.sessions.room import MEMBER, Room

FIELDS = (
    "session_id, member_id, account_id, type, channel, state, intent, metadata, participants, device_id, "
    "previous_session_id, created_at, last_activity_at, expires_at, ended_at, end_reason, outcome"
)


async def test_a_view_has_every_field_and_null_where_there_is_no_value(room: Room) -> None:
    view = await room.create()
    raw = msgspec.to_builtins(view)
    assert set(raw) == set(FIELDS.split(", "))
    absent = {"account_id", "intent", "metadata", "device_id", "previous_session_id", "ended_at", "end_reason", "outcome"}
    assert {name for name, value in raw.items() if value is None} == absent


async def test_a_session_opens_with_everything_it_was_given(room: Room) -> None:
    now = room.clock.now()
    view = await room.create(
        account_id="A789012",
        intent="check_coverage",
        metadata={"screen": "coverage_screen"},
        device_id="phone-1",
        previous_session_id="sess_before",
        initiator_id="C001",
        participants=(NewParticipant("C001", AssigneeRole.CARE_TEAM),),
    )
    assert view.session_id.startswith("sess_")
    assert (view.member_id, view.account_id, view.device_id, view.previous_session_id) == (
        MEMBER,
        "A789012",
        "phone-1",
        "sess_before",
    )
    assert (view.state, view.intent, view.metadata) == (LifeState.ACTIVE, "check_coverage", {"screen": "coverage_screen"})
    assert view.participants == (
        Participant("C001", AssigneeRole.CARE_TEAM, now),
        Participant(MEMBER, AssigneeRole.MEMBER, now),
    )
    assert (view.created_at, view.last_activity_at, view.expires_at) == (now, now, now + timedelta(minutes=30))
    assert await room.view(view.session_id) == view

    [(name, data)] = await room.events()
    assert name == "session.created"
    assert data == {
        "session_id": view.session_id,
        "member_id": MEMBER,
        "account_id": "A789012",
        "session_type": "APP",
        "channel": "MX_WEB",
        "created_at": "2026-01-15T10:00:00Z",
        "initiator_id": "C001",
        "intent": "check_coverage",
        "previous_session_id": "sess_before",
        "device_id": "phone-1",
    }


async def test_what_was_not_given_is_absent_from_the_event(room: Room) -> None:
    view = await room.create()
    [(_, data)] = await room.events()
    assert data == {
        "session_id": view.session_id,
        "member_id": MEMBER,
        "session_type": "APP",
        "channel": "MX_WEB",
        "created_at": "2026-01-15T10:00:00Z",
        "initiator_id": MEMBER,
    }


async def test_a_session_of_bad_parts_is_refused_and_leaves_nothing(room: Room) -> None:
    with pytest.raises(Invalid):
        await room.create(channel="FAX")
    assert await room.events() == []
    assert await room.store.read(lambda reader: room.sessions.open_of(reader, MEMBER, room.clock.now())) == []


async def test_a_session_ends_with_its_duration_and_what_was_done_in_it(room: Room) -> None:
    opened = await room.create()
    await room.open_request(opened.session_id, "sr_1")
    await room.close_request(opened.session_id, "sr_1")
    await room.open_request(opened.session_id, "sr_2")
    room.clock.advance(90.9)

    view = await room.end(opened.session_id, "COMPLETED", "PARTIAL")

    assert (view.state, view.end_reason, view.outcome) == (LifeState.ENDED, SessionEndReason.COMPLETED, SessionOutcome.PARTIAL)
    assert (view.ended_at, view.last_activity_at) == (room.clock.now(), room.clock.now())
    name, data = (await room.events())[-1]
    assert name == "session.ended"
    assert data == {
        "session_id": opened.session_id,
        "member_id": MEMBER,
        "ended_at": "2026-01-15T10:01:30.900000Z",
        "duration_seconds": 90,
        "reason": "COMPLETED",
        "outcome": "PARTIAL",
        "completed_service_requests": ["sr_1"],
        "completed_tasks": ["task_of_sr_1"],
    }


async def test_the_same_end_again_answers_as_the_first_time(room: Room) -> None:
    opened = await room.create()
    first = await room.end(opened.session_id)
    room.clock.advance(3600)
    room.touches.touch(opened.session_id, active=True)
    assert await room.end(opened.session_id) == first
    assert [name for name, _ in await room.events()] == ["session.created", "session.ended"]


@pytest.mark.parametrize(
    "other", [{"reason": "COMPLETED"}, {"outcome": "PARTIAL"}, {"actor": "C001"}], ids=["reason", "outcome", "caller"]
)
async def test_another_end_of_an_ended_session_is_refused(room: Room, other: dict[str, str]) -> None:
    opened = await room.create()
    first = await room.end(opened.session_id)
    with pytest.raises(Conflict):
        await room.end(opened.session_id, **other)
    assert await room.view(opened.session_id) == first


async def test_a_session_that_expired_cannot_be_ended_once_more(room: Room) -> None:
    opened = await room.create()
    await room.leap(31 * 60)
    with pytest.raises(Conflict):
        await room.end(opened.session_id, "TIMEOUT", "PARTIAL")


async def test_an_end_that_is_none_is_refused(room: Room) -> None:
    opened = await room.create()
    with pytest.raises(Invalid):
        await room.end(opened.session_id, "BORED")
    assert (await room.view(opened.session_id)).ended_at is None


async def test_an_ended_session_takes_no_request_and_nobody_in(room: Room) -> None:
    opened = await room.create()
    ended = await room.end(opened.session_id)
    with pytest.raises(Conflict):
        await room.open_request(opened.session_id)
    with pytest.raises(Conflict):
        await join(room, opened.session_id)
    with pytest.raises(Conflict):
        await room.store.read(lambda reader: room.sessions.require_open(reader, opened.session_id))
    assert await room.view(opened.session_id) == ended


@pytest.mark.parametrize("call", ["end", "open_request"])
async def test_a_session_that_does_not_exist_is_missing(room: Room, call: str) -> None:
    with pytest.raises(ForbiddenOrMissing):
        await getattr(room, call)("sess_nowhere")
    with pytest.raises(ForbiddenOrMissing):
        await join(room, "sess_nowhere")
    assert await room.store.read(lambda reader: room.sessions.view(reader, "sess_nowhere", room.clock.now())) is None
    assert await room.store.read(lambda reader: room.sessions.owner(reader, "sess_nowhere")) is None


async def join(room: Room, session_id: str, staff_id: str = "C001") -> Any:
    command = partial(room.sessions.join, session_id=session_id, staff_id=staff_id, role=AssigneeRole.CARE_TEAM)
    return await room.store.run(command, MEMBER)


async def test_whoever_joins_takes_part_once_and_that_is_activity(room: Room) -> None:
    opened = await room.create()
    room.clock.advance(60)
    joined = room.clock.now()
    first = await join(room, opened.session_id)
    assert first.participants[-1] == Participant("C001", AssigneeRole.CARE_TEAM, joined)
    assert first.last_activity_at == joined
    room.clock.advance(60)
    assert (await join(room, opened.session_id)).participants == first.participants


async def test_joining_wakes_an_idle_session_and_says_so(room: Room) -> None:
    opened = await room.create()
    await room.leap(301)
    room.heard.clear()
    await join(room, opened.session_id)
    assert [(heard["session_id"], heard["state"]) for heard in room.heard] == [(opened.session_id, "ACTIVE")]
    room.heard.clear()
    await join(room, opened.session_id, "C002")
    assert room.heard == []


async def test_several_sessions_are_open_side_by_side_the_most_recently_active_first(room: Room) -> None:
    phone = await room.create(device_id="phone")
    room.clock.advance(1)
    older_web = await room.create(device_id="web")
    room.clock.advance(1)
    web = await room.create(device_id="web")
    other = await room.create("M200001", device_id="web")
    room.clock.advance(1)

    async def most_recent() -> str | None:
        found = await room.store.read(lambda reader: room.sessions.most_recent(reader, MEMBER, room.clock.now()))
        return None if found is None else found.session_id

    async def on(device_id: str) -> str | None:
        found = await room.store.read(
            lambda reader: room.sessions.active_on_device(reader, MEMBER, device_id, room.clock.now())
        )
        return None if found is None else found.session_id

    async def all_open() -> list[str]:
        found = await room.store.read(lambda reader: room.sessions.open_of(reader, MEMBER, room.clock.now()))
        return [view.session_id for view in found]

    assert await all_open() == [web.session_id, older_web.session_id, phone.session_id]
    assert (await most_recent(), await on("phone"), await on("web")) == (web.session_id, phone.session_id, web.session_id)
    assert await on("tablet") is None

    # A touch counts before it is written.
    room.touches.touch(older_web.session_id, active=True)
    assert (await most_recent(), await on("web")) == (older_web.session_id, older_web.session_id)
    await room.touches.flush()
    assert (await most_recent(), await on("web")) == (older_web.session_id, older_web.session_id)

    await room.end(older_web.session_id)
    assert await all_open() == [web.session_id, phone.session_id]
    await room.end(web.session_id)
    assert await on("web") is None
    assert (await room.view(other.session_id)).member_id == "M200001"
