"""Context and coverage: what is known of a member, and that the context's cursor has no seam."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import httpx2
import pytest

from session_platform import twin
from session_platform.access import Rights
from session_platform.log import Group
from session_platform.store import outbox
from tests.api.stage import DEPENDANT, OWN, Stage, accounts_of, opened, problem, submitted
from tests.ingest.published import BATCH, assigned, body


async def test_a_context_holds_everything_a_screen_starts_from(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        done = await submitted(http, session, subject=DEPENDANT)
        await stage.succeed(done)
        own = await submitted(http, session)
        await stage.succeed(own)
        running = await submitted(http, session)
        context = (await http.get("/v1/members/M123456/context")).json()
    assert context.keys() == {
        "coverage", "tasks", "service_requests", "sessions", "care_plan", "engagement", "cursor", "timelineseq",
    }  # fmt: skip
    assert [each["account_id"] for each in context["coverage"]] == [OWN, DEPENDANT]
    assert [each["task_id"] for each in context["tasks"]] == [running["tasks"][0]["task_id"]]
    assert context["service_requests"][0]["service_request_id"] == running["service_request_id"]
    assert len(context["service_requests"]) == 3
    assert [each["session_id"] for each in context["sessions"]] == [session["session_id"]]
    assert context["care_plan"] is None
    assert len(context["timelineseq"]) == 20
    assert stage.codec.decode(context["cursor"], "M123456").seq == int(context["timelineseq"]) == len(await stage.events())
    assert ("M123456", "context.read", "allowed", "M123456", None) in await stage.audit()


async def test_a_context_of_a_member_without_history_begins_at_the_beginning(stage: Stage) -> None:
    async with stage.http(stage.token("member", member_id="M77", account_ids=("A77",))) as http:
        context = (await http.get("/v1/members/M77/context")).json()
    assert (context["timelineseq"], context["coverage"], context["sessions"]) == ("0" * 20, [], [])
    assert stage.codec.decode(context["cursor"], "M77").seq == 0


async def test_nothing_falls_between_a_context_and_its_cursor_while_others_write(stage: Stage) -> None:
    """Every session and request named by an event up to ``timelineseq`` is in the context, and none of a later event is."""

    writing = {"one", "two"}
    seen: set[int] = set()

    async def write(http: httpx2.AsyncClient, name: str) -> None:
        for _ in range(8):
            session = await opened(http)
            await submitted(http, session)
        writing.remove(name)

    async def look(http: httpx2.AsyncClient) -> None:
        while writing:
            context = (await http.get("/v1/members/M123456/context")).json()
            seq = int(context["timelineseq"])
            seen.add(seq)
            events = await stage.store.read(lambda reader: outbox.page(reader, "M123456", 0, 1000))
            told = [event for event in events if event.seq <= seq]
            created = {event.session_id for event in told if event.name == "session.created"}
            requested = {event.service_request_id for event in told if event.name == "service_request.submitted"}
            assert {each["session_id"] for each in context["sessions"]} == created
            assert {each["service_request_id"] for each in context["service_requests"]} == requested
            assert stage.codec.decode(context["cursor"], "M123456") == (told[-1].position if told else (0, 0, 0))

    async with stage.http(stage.member()) as http:
        await asyncio.gather(write(http, "one"), write(http, "two"), look(http), look(http))
    assert len(seen) > 3


async def test_coverage_is_read_as_known_now_and_as_at_an_event(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        assert (await http.get("/v1/members/M123456/coverage")).json() == {"coverage": []}
        first = await stage.succeed(await submitted(http, session))
        stage.clock.advance(60)
        await stage.succeed(await submitted(http, session))
        now = (await http.get("/v1/members/M123456/coverage")).json()["coverage"]
        then = (await http.get(f"/v1/coverages/{first}")).json()["coverage"]
    assert [(each["account_id"], each["verified_at"]) for each in now] == [(OWN, "2026-01-15T10:01:00Z")]
    assert (then["account_id"], then["verified_at"]) == (OWN, "2026-01-15T10:00:00Z")
    assert [row[2:4] for row in await stage.audit() if row[1] == "coverage.read"] == [("allowed", "M123456")] * 3


async def test_coverage_is_readable_only_while_its_account_is_in_the_asking_token(stage: Stage) -> None:
    async with stage.http(stage.member()) as http, stage.http(stage.member("M123456", OWN)) as narrow:
        kept = await stage.succeed(await submitted(http, await opened(http), subject=DEPENDANT))
        assert (await http.get(f"/v1/coverages/{kept}")).status_code == 200
        foreign, missing = await narrow.get(f"/v1/coverages/{kept}"), await narrow.get("/v1/coverages/cov_none")
        problem(foreign, 404, "forbidden_or_missing")
        assert foreign.content == missing.content
        assert (await narrow.get("/v1/members/M123456/coverage")).json() == {"coverage": []}
        assert (await narrow.get("/v1/members/M123456/context")).json()["coverage"] == []


# ------------------------------------------------------------------------------------------------------ the twin's part of it

PLAN = {"care_plan_id": "cp_1", "status": "ACTIVE", "updated_goals": ["goal_1"], "new_tasks": ["task_9"]}
COVERAGE = {"account_id": OWN, "coverage_status": "ACTIVE", "payer_name": "Aetna", "plan_name": "Gold", "benefits": []}


async def publish(stage: Stage, suffix: str, **data: object) -> None:
    """A backend's event about the member."""
    event = {"specversion": "1.0", "id": f"{suffix}-{stage.clock.now()}", "source": "/plans", "data": data}
    body = {**event, "type": f"com.includedhealth.sessions.{suffix}"}
    async with stage.http(stage.token("service", sub="plans")) as http:
        answer = await http.post("/v1/events", json=body, headers={"Content-Type": "application/cloudevents+json"})
    assert answer.status_code == 202, answer.text


async def context_of(stage: Stage, token: str, member_id: str = "M123456") -> dict[str, Any]:
    async with stage.http(token) as http:
        answer = await http.get(f"/v1/members/{member_id}/context")
    assert answer.status_code == 200, answer.text
    context: dict[str, Any] = answer.json()
    return context


async def test_engagement_says_what_the_members_events_add_up_to(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        stage.clock.advance(60)
        await submitted(http, session)
    assert (await context_of(stage, stage.member()))["engagement"] == {
        "last_activity_at": "2026-01-15T10:01:00Z",
        "last_activity_by_channel": {"MX_WEB": "2026-01-15T10:01:00Z"},
        "sessions_last_30_days": 1,
        "last_session": {
            "session_id": session["session_id"],
            "type": "APP",
            "channel": "MX_WEB",
            "created_at": "2026-01-15T10:00:00Z",
        },
        "open_service_requests": 1,
        "open_tasks": 1,
        "overdue_tasks": 0,
    }
    stage.clock.advance(31 * 86_400)
    later = (await context_of(stage, stage.member()))["engagement"]
    assert later["sessions_last_30_days"] == 0
    assert later["last_session"]["session_id"] == session["session_id"]


async def test_engagement_of_a_member_without_history_is_there_and_empty(stage: Stage) -> None:
    token = stage.token("member", member_id="M77", account_ids=("A77",))
    assert (await context_of(stage, token, "M77"))["engagement"] == {
        "last_activity_at": None,
        "last_activity_by_channel": {},
        "sessions_last_30_days": 0,
        "last_session": None,
        "open_service_requests": 0,
        "open_tasks": 0,
        "overdue_tasks": 0,
    }


async def test_a_backends_care_plan_is_in_the_context_and_its_next_update_takes_its_place(stage: Stage) -> None:
    await publish(stage, "care-plan.updated", member_id="M123456", **PLAN)
    context = await context_of(stage, stage.member())
    assert context["care_plan"] == {**PLAN, "updated_at": "2026-01-15T10:00:00Z"}
    stage.clock.advance(60)
    await publish(stage, "care-plan.updated", member_id="M123456", care_plan_id="cp_2", updated_goals=[], new_tasks=[])
    context = await context_of(stage, stage.member())
    assert context["care_plan"] == {
        "care_plan_id": "cp_2",
        "status": None,
        "updated_goals": [],
        "new_tasks": [],
        "updated_at": "2026-01-15T10:01:00Z",
    }
    assert int(context["timelineseq"]) == 2


async def test_a_backends_coverage_is_in_the_context_and_where_its_event_refers_to(stage: Stage) -> None:
    await publish(stage, "coverage.updated", member_id="M123456", account_id=OWN, coverage=COVERAGE)
    stage.clock.advance(60)
    other = {**COVERAGE, "coverage_status": "TERMINATED"}
    await publish(stage, "coverage.updated", member_id="M123456", account_id=OWN, coverage=other)
    async with stage.http(stage.member()) as http:
        known = (await http.get("/v1/members/M123456/coverage")).json()["coverage"]
        events = await stage.store.read(lambda reader: outbox.page(reader, "M123456", 0, 10))
        refs = [json.loads(each.body)["data"]["coverage_ref"] for each in events]
        told = [(await http.get(ref)).json()["coverage"] for ref in refs]
    assert (await context_of(stage, stage.member()))["coverage"] == known == [other]
    assert told == [COVERAGE, other]


# ------------------------------------------------------------------------------------------------------------- who may read it


async def test_staff_read_a_members_context_while_they_care_for_them(stage: Stage) -> None:
    cared_for = {"M123456"}
    caring = stage.with_parts(rights=Rights((lambda _, __, member_id: member_id in cared_for,), accounts_of))
    staff = stage.token("care_team", sub="C001", staff_id="C001", name="Dana Reyes")
    await publish(stage, "coverage.updated", member_id="M123456", account_id=OWN, coverage=COVERAGE)
    context = await context_of(caring, staff)
    assert [each["account_id"] for each in context["coverage"]] == [OWN]
    assert ("C001", "context.read", "allowed", "M123456", None) in await stage.audit()
    cared_for.clear()
    async with caring.http(staff) as http:
        problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
        problem(await http.get("/v1/members/M123456/coverage"), 404, "forbidden_or_missing")
        problem(await http.get("/v1/members/M000/context"), 404, "forbidden_or_missing")


@pytest.mark.parametrize("role", ["service", "admin"])
@pytest.mark.parametrize("path", ["/v1/members/M123456/context", "/v1/members/M123456/coverage", "/v1/coverages/cov_1"])
async def test_services_and_admins_read_no_members_data(stage: Stage, role: str, path: str) -> None:
    async with stage.http(stage.token(role)) as http:
        problem(await http.get(path), 403, "forbidden")


async def test_a_context_shows_what_its_token_may_see(stage: Stage) -> None:
    """A payer's words and the coverage are of the account; the request about it stays the member's."""
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        await stage.fail(await submitted(http, session, subject=DEPENDANT))
        await stage.succeed(await submitted(http, session))
    whole, narrow = await context_of(stage, stage.member()), await context_of(stage, stage.member("M123456", OWN))
    assert [each["account_id"] for each in narrow["coverage"]] == [OWN]
    assert [each["payer_errors"] is None for each in whole["service_requests"]] == [True, False]
    assert [each["payer_errors"] for each in narrow["service_requests"]] == [None, None]
    assert [each["subject"] for each in narrow["service_requests"]] == [OWN, DEPENDANT]


# ---------------------------------------------------------------------------------------------------- how far the context goes


async def test_a_context_holds_every_active_task_however_many_there_are(stage: Stage) -> None:
    """What it left out, no event behind its cursor would tell."""
    count = 501
    tasks = [assigned(f"t{number:04}", assignee_role="MEMBER") for number in range(count)]
    async with stage.http(stage.token("service", sub="claims")) as http:
        answer = await http.post("/v1/events", content=body(*tasks), headers={"Content-Type": BATCH})
    assert answer.status_code == 202, answer.text
    context = await context_of(stage, stage.member())
    assert [each["task_id"] for each in context["tasks"]] == [each["data"]["task_id"] for each in tasks]


async def test_a_context_whose_twin_is_behind_stands_where_the_twin_does(stage: Stage) -> None:
    behind = stage.with_parts(twin=partial(twin.read, ahead_max_events=2))
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        await submitted(http, session)
    context = await context_of(behind, stage.member())
    assert int(context["timelineseq"]) == 2
    assert stage.codec.decode(context["cursor"], "M123456").seq == 2
    assert len(context["service_requests"]) == 1, "the rest may be newer: it is told again"
    await Group(stage.store, twin.GROUP, twin.handle, replayable=True).catch_up()
    context = await context_of(behind, stage.member())
    assert int(context["timelineseq"]) == len(await stage.events())


async def test_the_document_describes_every_field_of_a_context(stage: Stage) -> None:
    schemas = stage.app.openapi()["components"]["schemas"]
    context = await context_of(stage, stage.member())
    assert set(schemas["Context"]["properties"]) == set(schemas["Context"]["required"]) == context.keys()
    engagement = schemas["Engagement"]
    assert set(engagement["properties"]) == set(engagement["required"]) == context["engagement"].keys()
    assert set(schemas["CarePlan"]["required"]) == {*PLAN, "updated_at"}
