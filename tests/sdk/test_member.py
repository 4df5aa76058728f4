"""What staff and members see of a member: the active session, tasks that can be worked on, and the context."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

import digital_session as sdk
from tests.sdk.server import COVERAGE, MEMBER_TOKEN, SESSION, WITHIN_S, Inbox, Platform, answer, problem, token

STAFF_TOKEN = token(sub="C001", staff_id="C001", roles=["care_team"])
TO_DO = {
    "task_id": "t1",
    "task_type": "CLAIM_FORM",
    "title": "Fill in the form",
    "status": "pending",
    "assignee_role": "MEMBER",
    "attempt": 2,
    "form": {"type": "object"},
}
CONTEXT = {
    "coverage": [COVERAGE],
    "tasks": [TO_DO],
    "service_requests": [{"service_request_id": "sr_1", "status": "COMPLETED"}],
    "sessions": [SESSION],
    "care_plan": None,
    "engagement": {"sessions_30_days": 3},
    "cursor": "c1.2",
    "timelineseq": "00000000000000000002",
}


def bodies(platform: Platform, call: str) -> list[Any]:
    return [json.loads(request.content) for request in platform.rest.requests if f"{request.method} {request.url.path}" == call]


# The member's session, as staff see it.


async def test_staff_hear_the_members_active_session_from_the_moment_they_ask() -> None:
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client, asyncio.timeout(WITHIN_S):
        platform.rest.standing["GET /v1/members/M1/sessions/active"] = answer(200, SESSION)
        await platform.publish("task.completed", session_id="sess_1", task_id="old")
        session = await client.get_active_member_session("M1")
        await platform.publish("task.completed", session_id="sess_9", task_id="t1", assignee_role="SYSTEM")
        await platform.publish("service_request.completed", session_id="sess_9", service_request_id="sr_9")
        await platform.publish("service_request.completed", session_id="sess_1", service_request_id="sr_1")
        await platform.publish("care_plan.updated", session_id="sess_9", care_plan_id="cp_1")
        seen, plans = Inbox(), Inbox()
        session.on("*", seen)
        session.on("care_plan.updated", plans)
        await plans.next()
        assert session.id == "sess_1"
        assert [each.get("task_id") or each.get("service_request_id") for each in seen.got] == ["t1", "sr_1", None]


async def test_looking_at_a_members_session_does_not_keep_it_alive() -> None:
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client, asyncio.timeout(WITHIN_S):
        platform.rest.standing["GET /v1/members/M1/sessions/active"] = answer(200, SESSION)
        session = await client.get_active_member_session("M1")
        session.in_use = True
        await client.subscribe(member_id="M1")
        assert [frame["type"] for frame in platform.gateway.lines[0].frames if frame["type"] == "heartbeat"] == []


async def test_a_member_without_a_session_and_a_foreign_one_are_alike() -> None:
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client:
        with pytest.raises(sdk.NoActiveSessionError):
            await client.get_active_member_session("M1")


async def test_a_right_that_ends_before_the_first_event_is_told_to_who_asked() -> None:
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client:
        platform.rest.standing["GET /v1/members/M9/sessions/active"] = answer(200, {**SESSION, "member_id": "M9"})
        with pytest.raises(sdk.NotFoundError):
            await client.get_active_member_session("M9")


async def test_staff_open_a_session_for_a_member() -> None:
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client:
        await client.create_session("VOICE", "PHONE_INBOUND", member_id="M1", participants=["C001"])
        assert bodies(platform, "POST /v1/sessions") == [
            {"type": "VOICE", "channel": "PHONE_INBOUND", "member_id": "M1", "participants": ["C001"]}
        ]


# Tasks.


async def test_the_to_do_list_has_all_pages_and_only_what_is_the_members_to_do() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        others = {**TO_DO, "task_id": "t2", "assignee_role": "CLINICIAN"}
        path = "GET /v1/members/M1/tasks?status=active"
        platform.rest.standing[path] = answer(200, {"items": [TO_DO, others], "next_page_token": "p/2"})
        platform.rest.standing[f"{path}&page_token=p%2F2"] = answer(
            200, {"items": [{**TO_DO, "task_id": "t3"}], "next_page_token": None}
        )
        assert [task.task_id for task in await session.get_active_tasks()] == ["t1", "t3"]


async def test_staff_see_every_active_task_of_the_member() -> None:
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client:
        session = await client.create_session(member_id="M1")
        others = {**TO_DO, "task_id": "t2", "assignee_role": "CLINICIAN"}
        platform.rest.standing["GET /v1/members/M1/tasks?status=active"] = answer(
            200, {"items": [TO_DO, others], "next_page_token": None}
        )
        assert [task.task_id for task in await session.get_active_tasks()] == ["t1", "t2"]


async def test_a_task_is_worked_on_with_the_attempt_that_was_read() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        platform.rest.standing["GET /v1/members/M1/tasks?status=active"] = answer(200, {"items": [TO_DO]})
        (task,) = await session.get_active_tasks()
        platform.rest.standing |= {
            "POST /v1/tasks/t1/claim": answer(200, {**TO_DO, "assignee_id": "C001"}),
            "POST /v1/tasks/t1/release": answer(200, {**TO_DO, "assignee_id": None}),
            "POST /v1/tasks/t1/start": answer(200, {**TO_DO, "status": "in_progress", "attempt": 3}),
            "POST /v1/tasks/t1/complete": answer(200, {**TO_DO, "status": "completed", "attempt": 3}),
        }
        assert (await task.claim()).assignee_id == "C001"
        assert (await task.release()).assignee_id is None
        assert (await task.start()).status == task.status == "in_progress"
        await task.complete({"amount": 5})
        await task.complete(outcome=sdk.TaskOutcome.FAILED)
        assert task.status == "completed"
        assert bodies(platform, "POST /v1/tasks/t1/complete") == [
            {"outcome": "SUCCESS", "result": {"amount": 5}, "attempt": 3},
            {"outcome": "FAILED", "result": {}, "attempt": 3},
        ]


@pytest.mark.parametrize(
    ("status", "code", "kind"), [(409, "conflict", sdk.ConflictError), (403, "forbidden", sdk.ForbiddenError)]
)
async def test_what_may_not_be_done_with_a_task_is_told_and_changes_nothing(
    status: int, code: str, kind: type[sdk.DigitalSessionError]
) -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        platform.rest.standing["GET /v1/members/M1/tasks?status=active"] = answer(200, {"items": [TO_DO]})
        (task,) = await session.get_active_tasks()
        platform.rest.standing["POST /v1/tasks/t1/complete"] = problem(status, code)
        with pytest.raises(kind):
            await task.complete({})
        assert task == TO_DO


# The context.


async def test_the_context_says_what_is_known_and_its_tasks_can_be_worked_on() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        platform.rest.standing |= {
            "GET /v1/members/M1/context": answer(200, CONTEXT),
            "POST /v1/tasks/t1/start": answer(200, {**TO_DO, "status": "in_progress"}),
        }
        context = await session.get_member_context()
        assert context.coverage[0].payer_name == "Blue Cross Blue Shield"
        assert (await context.tasks[0].start()).status == "in_progress"
        assert context.service_requests[0].status == "COMPLETED"
        assert context.sessions[0].session_id == "sess_1"
        assert context.care_plan is None
        assert context.engagement == {"sessions_30_days": 3}
        assert (context.cursor, context.timelineseq) == ("c1.2", 2)


async def test_handlers_added_after_the_context_hear_what_comes_after_it() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        for number in range(1, 4):
            await platform.publish("coverage.updated", account_id=f"A{number}")
        platform.rest.standing["GET /v1/members/M1/context"] = answer(200, CONTEXT)
        await session.get_member_context()
        seen = Inbox()
        session.on("coverage.updated", seen)
        assert (await seen.next()).account_id == "A3"
        assert len(seen.got) == 1


async def test_after_the_context_no_handler_sees_an_event_that_it_contains() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        begun, gate, late, seen = Inbox(), asyncio.Event(), Inbox(), Inbox()

        async def slowly(event: sdk.Record) -> None:
            begun(event.account_id)
            await gate.wait()

        session.on("coverage.updated", slowly)
        session.on("coverage.updated", seen)
        session.on("coverage.updated", late)
        for number in range(1, 4):
            await platform.publish("coverage.updated", account_id=f"A{number}")
        assert await begun.next() == "A1"
        platform.rest.standing["GET /v1/members/M1/context"] = answer(200, CONTEXT)
        await session.get_member_context()
        gate.set()
        assert (await late.next()).account_id == "A3"
        assert begun.got == ["A1", "A3"]
        assert [event.account_id for event in seen.got] == ["A3"]


async def test_an_event_that_is_being_fetched_when_the_context_comes_is_not_told_any_more() -> None:
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        asked, gate = asyncio.Event(), asyncio.Event()

        async def rest(request: httpx2.Request) -> httpx2.Response:
            if "coverages" in request.url.path:
                asked.set()
                await gate.wait()
            return platform.rest(request)

        async with platform.client(http_transport=httpx2.MockTransport(rest)) as client:
            session = await client.create_session()
            seen = Inbox()
            session.on("coverage.updated", seen)
            await platform.publish("coverage.updated", account_id="A1", coverage_ref="/v1/coverages/cov_1")
            await asked.wait()
            platform.rest.standing["GET /v1/members/M1/context"] = answer(200, CONTEXT)
            await session.get_member_context()
            gate.set()
            for number in (2, 3):
                await platform.publish("coverage.updated", account_id=f"A{number}")
            assert (await seen.next()).account_id == "A3"


async def test_after_lost_continuity_numbers_begin_anew_and_nothing_is_held_back() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        seen = Inbox()
        session.on("coverage.updated", seen)
        for number in range(1, 4):
            await platform.publish("coverage.updated", account_id=f"A{number}")
            await seen.next()
        platform.rest.standing["GET /v1/members/M1/context"] = answer(200, CONTEXT)
        await session.get_member_context()
        platform.gateway.events.clear()
        platform.gateway.epoch = 2
        await platform.cut()
        await platform.until(lambda: any(line.live for line in platform.gateway.lines))
        await platform.publish("coverage.updated", account_id="B1")
        assert (await seen.next()).account_id == "B1"


# A session as a context manager.


async def test_a_session_ends_with_its_block_and_says_how() -> None:
    async with Platform() as platform, platform.client(token=MEMBER_TOKEN) as client:
        platform.rest.standing["POST /v1/sessions/sess_1/end"] = answer(200, SESSION)
        async with await client.create_session():
            pass
        with pytest.raises(KeyError):
            async with await client.create_session():
                raise KeyError("mine")
        assert bodies(platform, "POST /v1/sessions/sess_1/end") == [
            {"reason": "USER_CLOSED", "outcome": "SUCCESS"},
            {"reason": "ERROR", "outcome": "FAILED"},
        ]


async def test_a_session_that_is_left_gives_its_subscription_back_and_a_later_handler_goes_on_from_there() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        seen = Inbox()
        session.on("*", seen)
        await platform.publish("session.created", session_id="sess_1")
        await seen.next()
        await session.leave()
        await session.leave()
        await platform.until(lambda: not platform.gateway.lines[0].live)
        await platform.publish("session.ended", session_id="sess_1")
        later = Inbox()
        session.on("*", later)
        assert len(seen.got) == 1
        assert (await later.next()).session_id == "sess_1"
        assert len(later.got) == 1


async def test_what_went_wrong_inside_is_told_and_not_that_the_session_had_ended() -> None:
    async with Platform() as platform, platform.client(token=MEMBER_TOKEN) as client:
        platform.rest.standing["POST /v1/sessions/sess_1/end"] = problem(409, "conflict")
        with pytest.raises(KeyError):
            async with await client.create_session():
                raise KeyError("mine")
