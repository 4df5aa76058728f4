"""Context and coverage: what is known of a member, and that the context's cursor has no seam."""

from __future__ import annotations

import asyncio

import httpx2

from session_platform.store import outbox
from tests.api.stage import DEPENDANT, OWN, Stage, opened, problem, submitted


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
