"""Sessions over REST."""

from __future__ import annotations

from typing import Any

import pytest

from session_platform.access import Rights
from session_platform.clock import to_micros
from tests.api.stage import APP, DEPENDANT, OWN, Stage, accounts_of, opened, pointers, problem, submitted

FIELDS = {
    "session_id", "member_id", "account_id", "type", "channel", "state", "intent", "metadata", "participants", "device_id",
    "previous_session_id", "created_at", "last_activity_at", "expires_at", "ended_at", "end_reason", "outcome",
}  # fmt: skip


async def test_an_opened_session_has_every_field_and_the_cursor_just_before_its_first_event(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http, intent="check_coverage", metadata={"a": "b"}, device_id="phone-1")
        again = await opened(http)
        read = await http.get(f"/v1/sessions/{session['session_id']}")
    assert session.keys() == FIELDS | {"cursor"}
    assert session["account_id"] == OWN
    assert session["state"] == "ACTIVE"
    assert session["participants"] == [{"id": "M123456", "role": "MEMBER", "joined_at": "2026-01-15T10:00:00Z"}]
    assert stage.codec.decode(session["cursor"], "M123456").seq == 0
    assert stage.codec.decode(again["cursor"], "M123456").seq == 1
    assert read.status_code == 200
    assert read.json() == {name: value for name, value in session.items() if name != "cursor"}
    assert read.headers["cache-control"] == "no-store"


async def test_a_session_is_about_the_first_account_that_the_token_still_holds(stage: Stage) -> None:
    async with stage.http(stage.member("M123456", DEPENDANT, "A999999")) as http:
        assert (await opened(http))["account_id"] == DEPENDANT


async def test_the_active_session_is_the_callers_own_on_that_device(stage: Stage) -> None:
    async with stage.http(stage.member()) as http, stage.http(stage.member("M200001", "A200001")) as other:
        phone = await opened(http, device_id="phone-1")
        stage.clock.advance(1)
        web = await opened(http, device_id="web-1")
        await opened(other, device_id="phone-2")
        assert (await http.get("/v1/sessions/active?device_id=phone-1")).json()["session_id"] == phone["session_id"]
        assert (await http.get("/v1/sessions/active")).json()["session_id"] == web["session_id"]
        assert (await http.get("/v1/members/M123456/sessions/active")).json()["session_id"] == web["session_id"]
        problem(await http.get("/v1/sessions/active?device_id=phone-2"), 404, "forbidden_or_missing")
        problem(await http.get("/v1/members/M200001/sessions/active"), 404, "forbidden_or_missing")


async def test_having_no_active_session_is_no_refusal_on_record(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        problem(await http.get("/v1/sessions/active"), 404, "forbidden_or_missing")
    assert await stage.audit() == []


async def test_a_heartbeat_keeps_a_session_alive_and_is_seen_at_once(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        path = f"/v1/sessions/{session['session_id']}"
        stage.clock.advance(600)
        assert (await http.get(path)).json()["state"] == "IDLE"
        assert (await http.post(f"{path}/heartbeat", json={"active": False})).status_code == 204
        assert (await http.get(path)).json()["state"] == "IDLE"
        beat = await http.post(f"{path}/heartbeat", json={"active": True})
        assert (beat.status_code, beat.content) == (204, b"")
        assert (await http.get(path)).json()["state"] == "ACTIVE"


@pytest.mark.parametrize("body", [None, {}, {"reason": "USER_CLOSED", "outcome": "SUCCESS"}])
async def test_ending_defaults_and_may_be_repeated_but_not_otherwise(stage: Stage, body: Any) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        path = f"/v1/sessions/{session['session_id']}"
        first = await http.post(f"{path}/end", json=body)
        stage.clock.advance(5)
        again = await http.post(f"{path}/end", json={"outcome": "SUCCESS"})
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()
        assert (first.json()["state"], first.json()["end_reason"], first.json()["outcome"]) == (
            "ENDED",
            "USER_CLOSED",
            "SUCCESS",
        )
        problem(await http.post(f"{path}/end", json={"outcome": "FAILED"}), 409, "conflict")
        problem(await http.post(f"{path}/heartbeat", json={"active": True}), 409, "conflict")
        problem(await http.post(f"{path}/participants", json={"staff_id": "C001"}), 409, "conflict")
        problem(await http.post(f"{path}/service-requests", json={"service": "RTE"}), 409, "conflict")
    assert (await stage.events()).count("session.ended") == 1


async def test_a_member_lets_staff_take_part_once(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        path = f"/v1/sessions/{session['session_id']}/participants"
        for _ in range(2):
            joined = await http.post(path, json={"staff_id": "C002"})
            assert joined.status_code == 200
            assert roles(joined.json()) == {"M123456": "MEMBER", "C002": "CLINICIAN"}
            assert len(joined.json()["participants"]) == 2
        assert pointers(await http.post(path, json={"staff_id": "C999"})) == {"/staff_id"}


async def test_a_service_opens_keeps_alive_and_ends_any_members_session_but_reads_none(stage: Stage) -> None:
    async with stage.http(stage.token("service", sub="jarvis")) as http:
        session = await opened(http, member_id="M123456", participants=["C001"])
        path = f"/v1/sessions/{session['session_id']}"
        assert session["account_id"] == OWN
        assert roles(session) == {"M123456": "MEMBER", "C001": "CARE_TEAM"}
        assert (await http.post(f"{path}/heartbeat", json={"active": True})).status_code == 204
        assert (await http.post(f"{path}/participants", json={"staff_id": "C002"})).status_code == 200
        assert (await http.post(f"{path}/end", json={})).status_code == 200
        for read in (path, "/v1/members/M123456/context", "/v1/members/M123456/coverage", "/v1/members/M123456/tasks"):
            problem(await http.get(read), 403, "forbidden")
        problem(await http.post(f"{path}/service-requests", json={"service": "RTE"}), 403, "forbidden")
        for missing in ("heartbeat", "end", "participants"):
            body = {"heartbeat": {"active": True}, "end": {}, "participants": {"staff_id": "C001"}}[missing]
            problem(await http.post(f"/v1/sessions/sess_none/{missing}", json=body), 404, "forbidden_or_missing")


async def test_an_admin_reads_and_does_nothing_of_a_members(stage: Stage) -> None:
    async with stage.http(stage.token("admin")) as http:
        problem(await http.post("/v1/sessions", json={**APP, "member_id": "M123456"}), 403, "forbidden")
        problem(await http.get("/v1/members/M123456/context"), 403, "forbidden")


async def test_foreign_and_missing_ids_in_a_body_are_refused_alike_at_their_pointer(stage: Stage) -> None:
    async with (
        stage.http(stage.member()) as member,
        stage.http(stage.token("service")) as service,
        stage.http(stage.token("care_team", staff_id="C001", name="Dana")) as staff,
    ):
        foreign = await member.post("/v1/sessions", json={**APP, "member_id": "M200001"})
        missing = await member.post("/v1/sessions", json={**APP, "member_id": "nobody"})
        assert foreign.content == missing.content
        assert pointers(foreign) == {"/member_id"}
        assert [row[1:] for row in await stage.audit()] == [("session.create", "refused", None, "forbidden_or_missing")] * 2
        assert (await member.post("/v1/sessions", json={**APP, "member_id": "M123456"})).status_code == 201
        assert pointers(await member.post("/v1/sessions", json={**APP, "participants": ["C001"]})) == {"/participants"}
        assert pointers(await service.post("/v1/sessions", json={**APP, "member_id": "nobody"})) == {"/member_id"}
        assert pointers(await service.post("/v1/sessions", json=APP)) == {"/member_id"}
        unknown_staff = {**APP, "member_id": "M123456", "participants": ["C001", "C999"]}
        assert pointers(await service.post("/v1/sessions", json=unknown_staff)) == {"/participants/1"}
        foreign = await staff.post("/v1/sessions", json={**APP, "member_id": "M200001"})
        missing = await staff.post("/v1/sessions", json={**APP, "member_id": "nobody"})
        assert foreign.content == missing.content
        assert pointers(foreign) == {"/member_id"}


async def test_staff_with_a_relation_open_and_read_a_session_and_take_part_in_it(stage: Stage) -> None:
    related = stage.with_parts(rights=Rights([lambda _, staff_id, member_id: member_id == "M123456"], accounts_of))
    async with related.http(related.token("care_team", "clinician", staff_id="C002", name="Ito")) as staff:
        session = await opened(staff, member_id="M123456", participants=["C002", "C001"])
        assert roles(session) == {"M123456": "MEMBER", "C002": "CLINICIAN", "C001": "CARE_TEAM"}
        assert (await staff.get(f"/v1/sessions/{session['session_id']}")).status_code == 200
        request = await submitted(staff, session, subject=DEPENDANT)
        assert request["initiator_id"] == "C002"


async def test_sessions_switched_off_cannot_be_opened(stage: Stage) -> None:
    stage.flags["enable-digital-sessions"] = False
    async with stage.http(stage.member()) as http:
        problem(await http.post("/v1/sessions", json=APP), 403, "disabled_by_flag")
        assert (await http.get("/v1/flags")).json() == {"enable-digital-sessions": False}
    assert await stage.events() == []


async def test_a_valid_trace_is_carried_into_the_events_and_an_invalid_one_is_replaced(stage: Stage) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with stage.http(stage.member()) as http:
        for traceparent in (given, "00-00000000000000000000000000000000-b7ad6b7169203331-01", "ff" + given[2:], "x"):
            await http.post("/v1/sessions", json=APP, headers={"traceparent": traceparent})
    bodies = await stage.store.read(lambda reader: reader.all("SELECT full_body FROM outbox ORDER BY id"))
    assert [given.encode() in body for (body,) in bodies] == [True, False, False, False]


async def test_what_was_done_is_on_record(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        await http.post(f"/v1/sessions/{session['session_id']}/end")
        await http.get("/v1/sessions/sess_none")
    assert await stage.audit() == [
        ("M123456", "session.create", "allowed", "M123456", None),
        ("M123456", "session.end", "allowed", "M123456", None),
        ("M123456", "session.read", "refused", None, "forbidden_or_missing"),
    ]
    rows = await stage.store.read(lambda reader: reader.all("SELECT DISTINCT at FROM audit"))
    assert rows == [(to_micros(stage.clock.now()),)]


def roles(session: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each["role"] for each in session["participants"]}
