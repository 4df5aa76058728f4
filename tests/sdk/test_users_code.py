"""The code that front-end developers write, use case by use case, as it stands in the platform's specification, in Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import digital_session as sdk
from digital_session import ServiceRequestPriority, SessionChannel, SessionEndReason, SessionOutcome, SessionType
from tests.sdk.server import COVERAGE, MEMBER_TOKEN, SESSION, WITHIN_S, Platform, answer
from tests.sdk.test_member import CONTEXT, STAFF_TOKEN, TO_DO
from tests.sdk.test_service_request import FAILED, SR, SUCCESS, run_through


class Screen:
    """What the user sees: every call is a line; ``shows`` waits for one."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self._changed = asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*what: Any) -> None:
            self.lines.append((name, *what))
            self._changed.set()

        return note

    async def shows(self, *line: Any) -> None:
        async with asyncio.timeout(WITHIN_S):
            while line not in self.lines:
                self._changed.clear()
                await self._changed.wait()


async def test_the_core_interface_from_creating_the_client_to_ending_the_session() -> None:
    screen = Screen()
    async with Platform() as platform, asyncio.timeout(WITHIN_S):
        platform.rest.standing["POST /v1/sessions/sess_1/end"] = answer(200, SESSION)
        async with platform.client(
            token=MEMBER_TOKEN,
            reconnect=sdk.Reconnect(enabled=True, max_attempts=10, backoff="exponential"),
        ) as client:
            session = await client.create_session(
                type=SessionType.APP,
                channel=SessionChannel.MX_WEB,
                intent="check_coverage",
                metadata={"screen": "coverage_screen", "version": "2.5.0"},
            )
            session.on("service_request.completed", lambda event: screen.completed(event.result_data.payer_name))
            session.on("task.assigned", lambda event: screen.new_task(event.task_id))
            session.on("rte.completed", lambda event: screen.rte(event.coverage.coverage_status))

            service_request = await session.submit_service_request(
                service="RTE",
                subject="A1",
                reason="verify_coverage",
                priority=ServiceRequestPriority.INTERACTIVE,
            )
            service_request.on("progress", lambda update: screen.remaining(update.stage, update.estimated_seconds))
            service_request.on("completed", lambda result: screen.done(result.payer_name))

            await run_through(platform)
            await screen.shows("remaining", "EXECUTING", 3)
            await screen.shows("done", "Blue Cross Blue Shield")
            await screen.shows("rte", "ACTIVE")
            await screen.shows("completed", "Blue Cross Blue Shield")
            assert ("new_task", "t1") not in screen.lines, "a system's task is nothing to do"
            await session.end(reason=SessionEndReason.USER_CLOSED, outcome=SessionOutcome.SUCCESS)


async def test_the_coverage_check_screen() -> None:
    screen = Screen()
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.get_active_session()
        sr = await session.submit_service_request(service="RTE", subject="A1")
        screen.show_loading_indicator("Checking coverage...")

        def completed(result: sdk.Record) -> None:
            screen.hide_loading_indicator()
            screen.display_coverage(result.coverage)

        sr.on("completed", completed)
        sr.on("failed", lambda event: screen.show_error(event.error.code))
        sr.on("progress", lambda update: screen.update_progress_bar(update.percent_complete))
        await run_through(platform)
        await screen.shows("display_coverage", COVERAGE)
        assert screen.lines == [
            ("show_loading_indicator", "Checking coverage..."),
            ("update_progress_bar", 0),
            ("update_progress_bar", 40),
            ("hide_loading_indicator",),
            ("display_coverage", COVERAGE),
        ]


async def test_the_coverage_screen_shows_why_there_is_none() -> None:
    screen = Screen()
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.get_active_session()
        sr = await session.submit_service_request(service="RTE", subject="A1")
        sr.on("failed", lambda event: screen.show_error(event.error.code, event.error.retryable))
        await platform.publish("service_request.completed", **FAILED)
        await screen.shows("show_error", "payer_timeout", True)


async def test_the_enrollment_flow() -> None:
    screen = Screen()
    steps = {
        "STONE_CREATION": "Step 1/3: Records created",
        "PDID_RETRIEVAL": "Step 2/3: Identity verified",
        "RTE_CHECK": "Step 3/3: Coverage confirmed",
    }
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.get_active_session()
        enrollment_form = {"first_name": "Ada", "last_name": "Lovelace", "date_of_birth": "1990-12-10"}
        enrollment = await session.submit_service_request(
            service="ENROLLMENT_INSTANT_COVERAGE",
            subject="A1",
            data=enrollment_form,
        )
        screen.show_enrollment_processing()
        enrollment.on("task.completed", lambda task: screen.show_message(steps[task.task_type]))
        enrollment.on("completed", lambda result: screen.show_enrollment_success(result.coverage_status))
        for number, step in enumerate(steps):
            task = {**SR, "task_id": f"t{number}", "task_type": step, "assignee_role": "SYSTEM"}
            await platform.publish("task.in_progress", **task)
            await platform.publish("task.completed", **task, outcome="SUCCESS")
        await platform.publish("service_request.completed", **SUCCESS)
        await screen.shows("show_enrollment_success", "ACTIVE")
        assert [line[1] for line in screen.lines if line[0] == "show_message"] == list(steps.values())


async def test_the_to_do_list_of_the_home_screen() -> None:
    screen = Screen()
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        platform.rest.standing["GET /v1/members/M1/tasks?status=active"] = answer(200, {"items": [TO_DO]})
        session = await client.get_active_session()
        session.on("task.assigned", lambda task: screen.add_task_to_list(task.task_id))
        session.on("task.completed", lambda task: screen.remove_task_from_list(task.task_id))
        tasks = await session.get_active_tasks()
        screen.render_to_do_list([task.title for task in tasks])
        await platform.publish("task.assigned", task_id="t2", assignee_role="MEMBER", session_id="sess_other")
        await platform.publish("task.assigned", task_id="t3", assignee_role="CARE_TEAM", session_id="sess_1")
        await platform.publish("task.completed", task_id="t2", assignee_role="MEMBER", session_id="sess_other")
        await screen.shows("remove_task_from_list", "t2")
        assert screen.lines == [
            ("render_to_do_list", ["Fill in the form"]),
            ("add_task_to_list", "t2"),
            ("remove_task_from_list", "t2"),
        ]


async def test_the_member_context_panel_of_the_care_app() -> None:
    screen = Screen()
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client, asyncio.timeout(WITHIN_S):
        platform.rest.standing |= {
            "GET /v1/members/M1/sessions/active": answer(200, SESSION),
            "GET /v1/members/M1/context": answer(200, {**CONTEXT, "timelineseq": "0" * 20}),
        }
        session = await client.get_active_member_session("M1")
        session.on("coverage.updated", lambda event: screen.refresh_member_context(event.coverage))
        session.on("task.completed", lambda event: screen.add_to_activity_feed(event.task_id))
        session.on("service_request.completed", lambda event: screen.update_member_history(event.service_request_id))
        context = await session.get_member_context()
        screen.render_member_panel(len(context.coverage), len(context.tasks), len(context.service_requests))
        await platform.publish("coverage.updated", account_id="A1", coverage_ref="/v1/coverages/cov_1")
        await platform.publish("task.completed", **SR, task_id="t1")
        await platform.publish("service_request.completed", **SUCCESS)
        await screen.shows("update_member_history", "sr_1")
        assert screen.lines == [
            ("render_member_panel", 1, 1, 1),
            ("refresh_member_context", COVERAGE),
            ("add_to_activity_feed", "t1"),
            ("update_member_history", "sr_1"),
        ]


async def test_a_warm_transfer() -> None:
    screen = Screen()
    async with Platform() as platform, platform.client(token=STAFF_TOKEN) as client, asyncio.timeout(WITHIN_S):
        platform.rest.standing |= {
            "GET /v1/sessions/active": answer(200, SESSION),
            "POST /v1/sessions/sess_1/end": answer(200, SESSION),
        }
        current_session = await client.get_active_session()
        transfer = await current_session.submit_service_request(
            service="WARM_TRANSFER",
            target_role="CLINICIAN",
            target_speciality="PSYCHIATRY",
            reason="member_needs_psych_eval",
            current_call_id=current_session.id,
        )

        def assigned(task: sdk.Record) -> None:
            if task.assignee_role == "CLINICIAN":
                screen.show_message(f"Connecting to {task.assignee_name}...")

        async def transferred(result: sdk.Record) -> None:
            await current_session.end()
            screen.show_message("Member transferred to specialist")

        transfer.on("task.assigned", assigned)
        transfer.on("completed", transferred)
        await platform.publish("task.assigned", **SR, task_id="t1", assignee_role="CLINICIAN", assignee_name="Dr. Ito")
        await platform.publish("service_request.completed", **SUCCESS)
        await screen.shows("show_message", "Member transferred to specialist")
        assert screen.lines[0] == ("show_message", "Connecting to Dr. Ito...")
        assert platform.rest.asked("POST /v1/sessions/sess_1/end") == 1


async def test_the_three_kinds_of_subscription() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        await client.subscribe(type="session", session_id="sess_1", events=["*"])
        await client.subscribe(
            type="member", member_id="M1", events=["service_request.completed", "task.assigned", "coverage.updated"]
        )
        await client.subscribe(type="service_request", service_request_ids=["sr_1", "sr_2", "sr_3"], events=["*"])
        asked = [frame for frame in platform.gateway.lines[0].frames if frame["type"] == "subscribe"]
        assert [frame["subscription"] for frame in asked] == [
            {"type": "session", "session_id": "sess_1", "events": ["*"]},
            {"type": "member", "member_id": "M1", "events": ["service_request.completed", "task.assigned", "coverage.updated"]},
            {"type": "service_request", "service_request_ids": ["sr_1", "sr_2", "sr_3"], "events": ["*"]},
        ]
        assert [frame.get("since") for frame in asked] == [None, None, "beginning"]
