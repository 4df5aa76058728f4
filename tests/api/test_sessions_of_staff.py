"""Sessions as staff and services open, join and find them."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.api.cared import cared, dana, ito, novak
from tests.api.stage import APP, Stage, opened, pointers, problem, submitted

CHANGES = "SELECT member_id, staff_id, seq FROM right_change ORDER BY number"


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return cared(stage)


async def changes(stage: Stage) -> list[tuple[Any, ...]]:
    return await stage.store.read(lambda reader: reader.all(CHANGES))


async def join(http: httpx2.AsyncClient, session: dict[str, Any], staff_id: str) -> httpx2.Response:
    return await http.post(f"/v1/sessions/{session['session_id']}/participants", json={"staff_id": staff_id})


async def test_staff_open_sessions_of_members_in_their_care_and_nobody_elses(stage: Stage) -> None:
    async with stage.http(dana(stage)) as related, stage.http(ito(stage)) as stranger:
        session = await opened(related, member_id="M200001", intent="check_coverage")
        assert {each["id"] for each in session["participants"]} == {"M200001", "C001"}
        foreign = await stranger.post("/v1/sessions", json={**APP, "member_id": "M200001"})
        missing = await stranger.post("/v1/sessions", json={**APP, "member_id": "nobody"})
        assert foreign.content == missing.content
        assert pointers(foreign) == {"/member_id"}
        assert pointers(await related.post("/v1/sessions", json={**APP, "member_id": "nobody"})) == {"/member_id"}
    assert await changes(stage) == [("M200001", "C001", 1)]


async def test_the_active_session_of_staff_is_the_open_one_that_they_joined_last(stage: Stage) -> None:
    async with stage.http(dana(stage)) as http, stage.http(stage.member()) as member:
        problem(await http.get("/v1/sessions/active"), 404, "forbidden_or_missing")
        first = await opened(http, member_id="M200001")
        stage.clock.advance(1)
        second = await opened(member, device_id="phone-1")
        stage.clock.advance(1)
        assert (await join(http, second, "C001")).status_code == 200
        stage.clock.advance(1)
        await http.post(f"/v1/sessions/{first['session_id']}/heartbeat", json={"active": True})
        assert (await http.get("/v1/sessions/active")).json()["session_id"] == second["session_id"]
        assert (await http.get("/v1/sessions/active?device_id=mine")).json()["session_id"] == second["session_id"]
        await member.post(f"/v1/sessions/{second['session_id']}/end")
        assert (await http.get("/v1/sessions/active")).json()["session_id"] == first["session_id"]
        stage.clock.advance(3600)
        problem(await http.get("/v1/sessions/active"), 404, "forbidden_or_missing")


async def test_staff_find_the_active_session_of_a_member_in_their_care(stage: Stage) -> None:
    async with stage.http(dana(stage)) as http, stage.http(ito(stage)) as stranger, stage.http(stage.member()) as member:
        problem(await http.get("/v1/members/M123456/sessions/active"), 404, "forbidden_or_missing")
        session = await opened(member)
        found = await http.get("/v1/members/M123456/sessions/active")
        assert found.json()["session_id"] == session["session_id"]
        problem(await stranger.get("/v1/members/M123456/sessions/active"), 404, "forbidden_or_missing")


async def test_joining_never_creates_the_right_that_it_needs(stage: Stage) -> None:
    async with stage.http(stage.member()) as member, stage.http(ito(stage)) as http:
        session = await opened(member)
        problem(await join(http, session, "C002"), 404, "forbidden_or_missing")
        problem(await join(http, {"session_id": "sess_none"}, "C002"), 404, "forbidden_or_missing")
        problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
    assert (await changes(stage), (await stage.audit())[-1][1:3]) == ([], ("context.read", "refused"))


async def test_a_member_a_participant_a_service_and_whoever_reaches_the_member_let_others_join(stage: Stage) -> None:
    async with (
        stage.http(stage.member()) as member,
        stage.http(dana(stage)) as related,
        stage.http(ito(stage)) as invited,
        stage.http(stage.token("service", sub="jarvis")) as service,
    ):
        session = await opened(member)
        assert (await join(related, session, "C001")).status_code == 200
        assert (await join(member, session, "C002")).status_code == 200
        # Taking part gave her the right.
        assert (await invited.get("/v1/members/M123456/context")).status_code == 200
        assert (await join(invited, session, "C003")).status_code == 200
        other = await opened(member)
        joined = await join(service, other, "C003")
        assert {each["id"] for each in joined.json()["participants"]} == {"M123456", "C003"}
        assert pointers(await join(invited, session, "C999")) == {"/staff_id"}
    assert [row[:2] for row in await changes(stage)] == [("M123456", each) for each in ("C001", "C002", "C003", "C003")]


async def test_a_participant_who_joins_once_more_changes_nothing_but_the_activity(stage: Stage) -> None:
    async with stage.http(stage.member()) as member:
        session = await opened(member)
        first = await join(member, session, "C002")
        stage.clock.advance(60)
        again = await join(member, session, "C002")
    assert again.json()["participants"] == first.json()["participants"]
    assert again.json()["last_activity_at"] > first.json()["last_activity_at"]
    assert len(await changes(stage)) == 1


async def test_the_right_of_a_participant_ends_with_the_session(stage: Stage) -> None:
    async with stage.http(stage.member()) as member, stage.http(ito(stage)) as http:
        session = await opened(member)
        await join(member, session, "C002")
        await submitted(http, session)
        assert (await http.get(f"/v1/sessions/{session['session_id']}")).status_code == 200
        await member.post(f"/v1/sessions/{session['session_id']}/end")
        problem(await http.get(f"/v1/sessions/{session['session_id']}"), 404, "forbidden_or_missing")
        problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
        problem(await join(http, session, "C002"), 404, "forbidden_or_missing")
    head = (await stage.store.read(lambda reader: reader.one("SELECT last_seq FROM timeline_head")))[0]  # type: ignore[index]
    # Behind the event that ended it, which is still delivered.
    assert (await changes(stage))[-1] == ("M123456", "C002", head)


async def test_who_ended_a_session_may_say_so_again_although_the_right_ended_with_it(stage: Stage) -> None:
    async with stage.http(stage.member()) as member, stage.http(ito(stage)) as http, stage.http(novak(stage)) as other:
        session = await opened(member)
        await join(member, session, "C002")
        await join(member, session, "C003")
        path = f"/v1/sessions/{session['session_id']}/end"
        first = await http.post(path, json={"outcome": "SUCCESS"})
        stage.clock.advance(3)
        again = await http.post(path, json={"outcome": "SUCCESS"})
        assert (first.status_code, first.content) == (again.status_code, again.content)
        problem(await http.post(path, json={"outcome": "FAILED"}), 409, "conflict")
        problem(await other.post(path, json={"outcome": "SUCCESS"}), 404, "forbidden_or_missing")
    assert (await stage.events()).count("session.ended") == 1


@pytest.mark.parametrize("kind", ["staff", "member"])
async def test_that_somebody_of_the_same_sub_ended_it_opens_nothing(stage: Stage, kind: str) -> None:
    """Issuers may give two persons one ``sub``: one as staff and one as a member, or in two issuers."""
    foreign = {
        "staff": stage.token("clinician", sub="shared", staff_id="C003", name="Dr. Novak"),
        "member": stage.token("member", sub="shared", member_id="M200001", account_ids=["A200001"]),
    }[kind]
    async with stage.http(stage.token("service", sub="shared")) as service, stage.http(foreign) as http:
        session = await opened(service, member_id="M123456")
        path = f"/v1/sessions/{session['session_id']}/end"
        assert (await service.post(path)).status_code == 200
        assert (await service.post(path)).status_code == 200
        problem(await http.post(path), 404, "forbidden_or_missing")


async def test_an_ended_session_cannot_be_joined(stage: Stage) -> None:
    async with stage.http(dana(stage)) as http, stage.http(stage.token("service")) as service:
        session = await opened(http, member_id="M123456")
        await http.post(f"/v1/sessions/{session['session_id']}/end")
        problem(await join(http, session, "C002"), 409, "conflict")
        problem(await join(service, session, "C002"), 409, "conflict")
        problem(await http.post(f"/v1/sessions/{session['session_id']}/heartbeat", json={"active": True}), 409, "conflict")


async def test_staff_who_open_a_session_by_right_of_a_panel_name_others_who_then_see_the_member(stage: Stage) -> None:
    async with stage.http(dana(stage)) as http, stage.http(ito(stage)) as named:
        await opened(http, member_id="M123456", participants=["C002"])
        assert (await named.get("/v1/members/M123456/context")).status_code == 200
        problem(await named.get("/v1/members/M200001/context"), 404, "forbidden_or_missing")
