"""A service request's handlers: whoever listens, and however late, hears how it ended, with the result."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

import digital_session as sdk
from tests.sdk.server import COVERAGE, REQUEST, RESULT, WITHIN_S, Inbox, Platform, answer, problem

SR = {"service_request_id": "sr_1", "session_id": "sess_1"}
SUCCESS = {**SR, "outcome": "SUCCESS", "result_ref": "/v1/service-requests/sr_1/result"}
FAILED = {
    **SR,
    "outcome": "FAILED",
    "error": {"code": "payer_timeout", "message": "The payer did not answer.", "retryable": True},
}


async def submitted(client: sdk.DigitalSessionClient) -> sdk.ServiceRequest:
    session = await client.create_session()
    return await session.submit_service_request(service="RTE", subject="A1")


async def run_through(platform: Platform) -> None:
    """Everything that happens to a request that succeeds."""
    task = {**SR, "task_id": "t1", "task_type": "RTE_CHECK", "assignee_role": "SYSTEM"}
    await platform.publish("service_request.submitted", **SR)
    await platform.publish("task.assigned", **task)
    await platform.publish(
        "service_request.processing", **SR, stage="QUEUED", percent_complete=0, estimated_completion_seconds=4
    )
    await platform.publish("task.in_progress", **task)
    await platform.publish(
        "service_request.processing",
        **SR,
        stage="EXECUTING",
        percent_complete=40,
        estimated_completion_seconds=3,
        task_statuses=[task],
    )
    await platform.publish("rte.completed", **SR, coverage_ref="/v1/coverages/cov_1")
    await platform.publish("task.completed", **task, outcome="SUCCESS", task_ref="/v1/tasks/t1")
    await platform.publish("service_request.completed", **SUCCESS)


async def test_a_request_tells_of_progress_tasks_and_the_result_in_order() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        assert request.status == "SUBMITTED"
        story: list[Any] = []
        done = Inbox()
        request.on("progress", lambda now: story.append((now.stage, now.percent_complete, now.estimated_seconds)))
        request.on("task.*", lambda task, envelope: story.append(envelope.name))
        request.on("completed", done)
        platform.rest.standing["GET /v1/tasks/t1"] = answer(200, {"task_id": "t1", "task_result": {"ok": True}})
        finished = Inbox()
        request.on("task.completed", finished)
        await run_through(platform)
        result = await done.next()
        assert result.coverage.payer_name == "Blue Cross Blue Shield"
        assert finished.got[0].task_result.ok is True
        assert story == ["task.assigned", ("QUEUED", 0, 4), "task.in_progress", ("EXECUTING", 40, 3), "task.completed"]
        assert request.status == "COMPLETED"
        async with asyncio.timeout(WITHIN_S):
            assert await request.result() == RESULT
        assert platform.rest.asked("GET /v1/service-requests/sr_1/result") == 1


async def test_what_happened_between_the_submission_and_its_answer_is_heard() -> None:
    async with Platform() as platform, platform.client() as client:

        def accept(request: httpx2.Request) -> httpx2.Response:
            platform.gateway.publish("service_request.processing", {**SR, "percent_complete": 10})
            platform.gateway.publish("service_request.completed", SUCCESS)
            return answer(202, REQUEST)

        platform.rest.standing["POST /v1/sessions/sess_1/service-requests"] = accept
        request = await submitted(client)
        progress, done = Inbox(), Inbox()
        request.on("progress", progress)
        request.on("completed", done)
        assert (await done.next()).coverage == COVERAGE
        assert [now.percent_complete for now in progress.got] == [10]


async def test_a_handler_added_after_the_end_hears_the_tasks_the_newest_progress_and_the_end() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        await run_through(platform)
        async with asyncio.timeout(WITHIN_S):
            await request.result()
        story: list[str] = []
        done = asyncio.Event()
        request.on("*", lambda value, envelope: story.append(envelope.name))
        request.on("completed", done.set)
        async with asyncio.timeout(WITHIN_S):
            await done.wait()
        assert story == [
            "task.assigned",
            "task.in_progress",
            "service_request.processing",
            "task.completed",
            "service_request.completed",
        ]


async def test_the_end_is_acknowledged_and_the_subscription_given_back() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        await run_through(platform)
        async with asyncio.timeout(WITHIN_S):
            await request.result()
        await platform.until(lambda: platform.gateway.acknowledged[-1:] == ["c1.8"] and not platform.gateway.lines[0].live)


async def test_a_failure_says_code_message_and_whether_to_retry() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        failed, completed = Inbox(), Inbox()
        request.on("failed", failed)
        request.on("completed", completed)
        await platform.publish("service_request.completed", **FAILED)
        assert (await failed.next()).error == FAILED["error"]
        assert completed.got == []
        assert request.status == "FAILED"
        with pytest.raises(sdk.ServiceRequestFailedError, match="did not answer") as caught:
            await request.result()
        assert (caught.value.code, caught.value.retryable) == ("payer_timeout", True)


async def test_a_cancellation_is_asked_for_and_heard() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        canceled = Inbox()
        request.on("canceled", canceled)
        platform.rest.standing["POST /v1/service-requests/sr_1/cancel"] = answer(200, {**REQUEST, "status": "CANCELED"})
        await request.cancel()
        await platform.publish("service_request.completed", **SR, outcome="CANCELED")
        await canceled.next()
        with pytest.raises(sdk.ServiceRequestCanceledError):
            await request.result()
        platform.rest.standing["POST /v1/service-requests/sr_1/cancel"] = problem(409, "conflict")
        with pytest.raises(sdk.ConflictError):
            await request.cancel()


async def test_a_result_that_is_not_to_be_seen_is_absent_for_handlers_and_an_error_for_who_asks() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        del platform.rest.standing["GET /v1/service-requests/sr_1/result"]
        done = Inbox()
        request.on("completed", done)
        await platform.publish("service_request.completed", **SUCCESS)
        assert await done.next() == {}
        with pytest.raises(sdk.NotFoundError):
            await request.result()


async def test_the_result_can_be_awaited_inside_a_handler_of_the_same_request() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        got = Inbox()

        async def wait(now: sdk.Progress) -> None:
            got(await request.result())

        request.on("progress", wait)
        await run_through(platform)
        assert (await got.next()).coverage == COVERAGE


async def test_after_lost_continuity_the_state_is_read_instead() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        done, progress = Inbox(), Inbox()
        request.on("completed", done)
        request.on("progress", progress)
        await platform.until(lambda: bool(platform.gateway.lines and platform.gateway.lines[0].live))
        running = {
            **REQUEST,
            "status": "PROCESSING",
            "stage": "EXECUTING",
            "percent_complete": 60,
            "tasks": [],
            "outcome": None,
        }
        ended = {**running, "status": "COMPLETED", "outcome": "SUCCESS", "result_ref": "/v1/service-requests/sr_1/result"}
        platform.rest.queued["GET /v1/service-requests/sr_1"].extend([problem(503, "unavailable"), answer(200, running)])
        reset = {"type": "reset", "subscription_ids": ["sub_1"], "cursor": "c1.0", "reason": "continuity_lost"}
        await platform.say(reset)
        assert (await progress.next()).percent_complete == 60
        platform.rest.standing["GET /v1/service-requests/sr_1"] = answer(200, ended)
        await platform.say(reset)
        assert (await done.next()).coverage == COVERAGE
        async with asyncio.timeout(WITHIN_S):
            assert await request.result() == RESULT


async def test_an_end_that_is_both_heard_and_read_is_told_once() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        done = Inbox()
        request.on("completed", done)
        await platform.until(lambda: bool(platform.gateway.lines and platform.gateway.lines[0].live))
        asked = asyncio.Event()

        def ended(_: httpx2.Request) -> httpx2.Response:
            asked.set()
            return answer(200, {**REQUEST, "status": "COMPLETED", "outcome": "SUCCESS"})

        platform.rest.standing["GET /v1/service-requests/sr_1"] = ended
        line = platform.gateway.lines[0]
        line.send_reset()
        platform.gateway.publish("service_request.completed", SUCCESS)
        await platform.flush()
        async with asyncio.timeout(WITHIN_S):
            await asked.wait()
        await platform.until(lambda: not line.live)
        await done.next()
        assert len(done.got) == 1


async def test_a_late_handler_does_not_make_another_one_run_twice_at_a_time() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        gate, begun, ended = asyncio.Event(), Inbox(), Inbox()

        async def slowly(task: sdk.Record) -> None:
            begun(task.task_id)
            await gate.wait()
            ended(task.task_id)

        request.on("task.assigned", slowly)
        for number in range(2):
            await platform.publish("task.assigned", **SR, task_id=f"t{number}")
        await platform.publish("service_request.completed", **SUCCESS)
        async with asyncio.timeout(WITHIN_S):
            await request.result()
        late = Inbox()
        request.on("task.assigned", late)
        for _ in range(10):
            await asyncio.sleep(0)
        assert begun.got == ["t0"]
        gate.set()
        assert [(await late.next()).task_id, (await late.next()).task_id] == ["t0", "t1"]
        assert [await ended.next(), await ended.next()] == ["t0", "t1"]


async def test_a_request_survives_cuts_and_its_handlers_hear_everything_once() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        story: list[str] = []
        done = Inbox()
        request.on("*", lambda value, envelope: story.append(envelope.id))
        request.on("completed", done)
        await platform.until(lambda: bool(platform.gateway.lines and platform.gateway.lines[0].live))
        await platform.publish("task.assigned", **SR, task_id="t1")
        await platform.cut()
        await platform.publish("service_request.processing", **SR, percent_complete=50)
        await platform.until(lambda: bool(platform.gateway.lines and platform.gateway.lines[0].live))
        await platform.cut()
        await platform.publish("service_request.completed", **SUCCESS)
        await done.next()
        assert story == ["evt_1_1", "evt_1_2", "evt_1_3"]


async def test_a_name_that_a_request_never_tells_of_is_refused() -> None:
    async with Platform() as platform, platform.client() as client:
        request = await submitted(client)
        with pytest.raises(ValueError, match="progress"):
            request.on("complete", lambda: None)


async def test_submitting_says_what_is_not_acceptable() -> None:
    async with Platform() as platform, platform.client() as client:
        session = await client.create_session()
        refused = {
            "status": 422,
            "code": "invalid",
            "title": "Invalid",
            "errors": [{"pointer": "/subject", "detail": "No such account."}],
        }
        platform.rest.standing["POST /v1/sessions/sess_1/service-requests"] = answer(422, refused)
        with pytest.raises(sdk.ValidationError) as caught:
            await session.submit_service_request(service="RTE", subject="A9")
        assert caught.value.errors[0]["pointer"] == "/subject"
