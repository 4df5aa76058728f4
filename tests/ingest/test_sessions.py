"""Sessions that a backend introduces: there like any other, moved by its events alone, expired when they fall silent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from session_platform.careflow import NewRequest
from session_platform.errors import Conflict
from session_platform.sessions import LifeState, NewSession
from session_platform.store import Tx
from tests.ingest.published import DEPENDANT, MEMBER, OTHER, active, created, ended, submitted
from tests.ingest.room import Room


async def test_a_session_that_is_introduced_is_there(room: Room) -> None:
    event = created(
        intent="second_opinion", metadata={"note": "private"}, device_id="phone-1", initiator_id="C001", account_id=DEPENDANT
    )
    assert await room.publish(event) == ["accepted"]
    session = await room.session()
    assert (session.member_id, session.type, session.channel, session.state) == (MEMBER, "APP", "MX_WEB", "ACTIVE")
    assert (session.intent, session.metadata, session.device_id) == ("second_opinion", {"note": "private"}, "phone-1")
    assert session.account_id == DEPENDANT
    assert [(each.id, each.role) for each in session.participants] == [("C001", "CARE_TEAM"), (MEMBER, "MEMBER")]
    (told,) = await room.events()
    assert (told["id"], told["source"], told["timelineseq"]) == (event["id"], event["source"], "00000000000000000001")
    assert told["data"].keys() == event["data"].keys() - {"intent", "metadata"}, "health data rides no timeline"


async def test_a_staff_member_who_began_it_has_the_right_that_goes_with_it(room: Room) -> None:
    await room.publish(created("s1", initiator_id="C002"), created("s2", initiator_id="somebody"))
    assert await room.rights() == [(MEMBER, "C002", 1)]
    await room.publish(ended("s1"), ended("s2"))
    assert (await room.rights())[1:] == [(MEMBER, "C002", 3)], "the event that ends the right comes before the end of it"


async def test_without_an_account_it_is_about_the_members_own(room: Room) -> None:
    await room.publish(created())
    assert (await room.session()).account_id == "A789012"


async def test_it_began_when_its_backend_says_and_is_alive_from_now(room: Room) -> None:
    began = room.clock.now() - timedelta(hours=2)
    await room.publish(created(created_at=began.isoformat()))
    session = await room.session()
    assert (session.created_at, session.last_activity_at) == (began, room.clock.now())


@pytest.mark.parametrize(
    ("event", "pointer"),
    [
        (created(member_id="M1X"), "/0/data/member_id"),
        (created(account_id="A200001"), "/0/data/account_id"),
        (created(previous_session_id="nowhere"), "/0/data/previous_session_id"),
        (created(intent="x" * 300), "/0/data/intent"),
        (created(device_id=""), "/0/data/device_id"),
        (created(created_at="2030-01-01T00:00:00Z"), "/0/data/created_at"),
        (active(), "/0/data/session_id"),
        (ended(), "/0/data/session_id"),
    ],
    ids=range(8),
)
async def test_an_introduction_that_cannot_be_is_refused(room: Room, event: dict[str, object], pointer: str) -> None:
    assert await room.refused(event) == {pointer}


async def test_a_session_goes_on_from_another_of_the_member(room: Room) -> None:
    await room.publish(created("s1"), created("s2", previous_session_id="s1"), created("o1", OTHER))
    assert (await room.session("s2")).previous_session_id == "s1"
    assert await room.refused(created("s3", previous_session_id="o1")) == {"/0/data/previous_session_id"}


async def test_an_id_is_given_once_whoever_gave_it(room: Room) -> None:
    await room.publish(created("s1"))
    new = NewSession(member_id=MEMBER, initiator_id=MEMBER, type="APP", channel="MX_WEB")
    ours = await room.store.run(lambda tx: room.sessions.create(tx, new), MEMBER)
    assert await room.refused(created("s1"), created("s1", OTHER), created(ours.session_id)) == {
        "/0/data/session_id",
        "/1/data/session_id",
        "/2/data/session_id",
    }
    other_source = {**created("s1"), "source": "/other"}
    assert await room.refused(other_source, by="other") == {"/0/data/session_id"}


async def test_only_who_introduced_it_moves_it(room: Room) -> None:
    await room.publish(created("s1"))
    moves = [{**each, "source": "/other"} for each in (active("s1"), ended("s1"))]
    assert await room.refused(*moves, by="other") == {"/0/data/session_id", "/1/data/session_id"}
    assert await room.refused(ended("s1", OTHER)) == {"/0/data/session_id"}
    new = NewSession(member_id=MEMBER, initiator_id=MEMBER, type="APP", channel="MX_WEB")
    ours = await room.store.run(lambda tx: room.sessions.create(tx, new), MEMBER)
    assert await room.refused(ended(ours.session_id), active(ours.session_id)) == {"/0/data/session_id", "/1/data/session_id"}


async def test_no_command_ends_it(room: Room) -> None:
    await room.publish(created())
    with pytest.raises(Conflict):
        await room.store.run(lambda tx: room.sessions.end(tx, "s1", "USER_CLOSED", "SUCCESS", MEMBER), MEMBER)
    await room.publish(ended())
    with pytest.raises(Conflict):
        await room.store.run(lambda tx: room.sessions.end(tx, "s1", "USER_CLOSED", "SUCCESS", MEMBER), MEMBER)


async def test_the_platform_runs_requests_in_it_and_lets_staff_join(room: Room) -> None:
    await room.publish(created())

    def command(tx: Tx) -> None:
        room.careflow.submit(
            tx, NewRequest(session_id="s1", member_id=MEMBER, initiator_id=MEMBER, service="RTE", subject="A789012")
        )

    await room.store.run(command, MEMBER)
    assert (await room.session()).state is LifeState.WAITING
    room.touches.touch("s1", active=True)
    view = await room.store.run(lambda tx: room.sessions.join(tx, "s1", "C001", "CARE_TEAM"), MEMBER)  # type: ignore[arg-type]
    assert "C001" in {each.id for each in view.participants}


async def test_its_end_is_told_once(room: Room) -> None:
    await room.publish(created(), ended(reason="COMPLETED", outcome="SUCCESS", duration_seconds=5))
    session = await room.session()
    assert (session.state, session.end_reason, session.outcome) == (LifeState.ENDED, "COMPLETED", "SUCCESS")
    assert session.ended_at == room.clock.now()
    assert await room.refused(ended()) == {"/0/data/session_id"}
    assert await room.refused(created()) == {"/0/data/session_id"}
    assert await room.names() == ["session.created", "session.ended"]


async def test_what_it_says_to_have_completed_is_this_members(room: Room) -> None:
    await room.publish(created(), submitted("r1", session_id="s1"), submitted("r2", OTHER))
    refused = await room.refused(ended(completed_service_requests=["r1", "r2"], completed_tasks=["t9"]))
    assert refused == {"/0/data/completed_service_requests/1", "/0/data/completed_tasks/0"}
    assert await room.refused(active(active_service_requests=["r2"])) == {"/0/data/active_service_requests/0"}
    assert await room.publish(ended(completed_service_requests=["r1"])) == ["accepted"]


async def test_presence_goes_to_the_live_listeners_and_to_no_timeline(room: Room) -> None:
    await room.publish(created())
    event = {**active(state="ACTIVE"), "comexampletenant": "north"}
    assert await room.publish(event) == ["accepted"]
    assert await room.names() == ["session.created"]
    (heard,) = room.heard
    assert (heard["id"], heard["source"], heard["comexampletenant"]) == (event["id"], event["source"], "north")
    assert heard["data"] == event["data"]
    assert "timelineseq" not in heard


async def test_completing_is_what_its_backend_says_until_it_says_otherwise(room: Room) -> None:
    await room.publish(created(), submitted(session_id="s1"))
    assert (await room.session()).state is LifeState.WAITING
    await room.publish(active(state="COMPLETING"))
    assert (await room.session()).state is LifeState.COMPLETING
    room.heard.clear()
    await room.leap(31)
    assert [each["data"]["state"] for each in room.heard] == ["COMPLETING"], "and the platform's own word is no other"
    await room.publish(active(state="ACTIVE"))
    assert (await room.session()).state is LifeState.WAITING


@pytest.mark.parametrize(
    ("said", "moved_to_s"),
    [
        ({}, 60),
        ({"state": "ACTIVE"}, 60),
        ({"state": "IDLE"}, 0),
        ({"state": "IDLE", "last_activity_at": 20}, 20),
        ({"last_activity_at": 20}, 20),
        ({"last_activity_at": -20}, 0),
        ({"last_activity_at": 90}, 60),
    ],
    ids=range(7),
)
async def test_activity_is_what_its_backend_says_and_never_goes_back(room: Room, said: dict[str, Any], moved_to_s: int) -> None:
    began = room.clock.now()
    await room.publish(created())
    await room.leap(60)
    if isinstance(said.get("last_activity_at"), int):
        said = {**said, "last_activity_at": (began + timedelta(seconds=int(str(said["last_activity_at"])))).isoformat()}
    await room.publish(active(**said))
    assert (await room.session()).last_activity_at == began + timedelta(seconds=moved_to_s)


async def test_a_silent_one_expires_and_its_backend_may_learn_it_late(room: Room) -> None:
    await room.publish(created(initiator_id="C002"))
    await room.leap(20 * 60)
    await room.publish(active())
    await room.leap(20 * 60)
    assert (await room.session()).state is not LifeState.ENDED, "what keeps it alive is heard"
    await room.leap(31 * 60)
    session = await room.session()
    assert (session.state, session.end_reason, session.outcome) == (LifeState.ENDED, "TIMEOUT", "PARTIAL")
    assert (MEMBER, "C002", 2) in await room.rights()
    assert await room.publish(active(), ended()) == ["unchanged", "unchanged"]
    assert await room.names() == ["session.created", "session.ended"]


async def test_presence_of_an_ended_session_says_nothing(room: Room) -> None:
    await room.publish(created(), ended(reason="TIMEOUT"))
    assert await room.publish(active()) == ["unchanged"]
    assert await room.refused(ended()) == {"/0/data/session_id"}
    assert room.heard == []
