"""The two commands, as a program of their own: lines for a pipe, one sentence for an error, a clean end."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from rich.console import Console

import digital_session as sdk
from session_platform.app.coverage_screen import show_coverage
from session_platform.app.request_screen import Screen
from session_platform.app.steps import Steps
from tests.sdk.server import MEMBER_TOKEN, RESULT, WITHIN_S, Front, Platform, answer, token
from tests.sdk.test_service_request import FAILED, SUCCESS, run_through

PROGRAM = """
import typer
from session_platform.app import streams
from session_platform.app.check_coverage import check_coverage
from session_platform.app.submit import submit
from session_platform.app.tail import tail
app = typer.Typer(pretty_exceptions_enable=False)
app.command("check-coverage")(check_coverage)
app.command("submit")(submit)
app.command("tail")(tail)
streams.complete()
app()
"""
STARTED_WITHIN_S = 60


class Program:
    """A running command."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(STARTED_WITHIN_S):
            return (await self.process.stdout.readline()).decode().rstrip("\n")

    async def end(self) -> tuple[int, str, str]:
        async with asyncio.timeout(STARTED_WITHIN_S):
            out, err = await self.process.communicate()
        assert self.process.returncode is not None
        assert "Traceback" not in out.decode() + err.decode()
        return self.process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def program(*arguments: str, **environment: str) -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )  # fmt: skip
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(*arguments: str, **environment: str) -> tuple[int, str, str]:
    async with program(*arguments, **environment) as running:
        return await running.end()


@asynccontextmanager
async def platform() -> AsyncIterator[tuple[Platform, str]]:
    async with Platform() as inside, Front(inside) as front:
        yield inside, front.endpoint


async def listened_to(inside: Platform) -> None:
    """Wait until the command has subscribed; it has to start first."""
    await inside.until(lambda: any(line.live for line in inside.gateway.lines), within_s=STARTED_WITHIN_S)


async def test_a_check_in_a_pipe_prints_stable_lines_and_ends_with_the_coverage() -> None:
    async with platform() as (inside, endpoint):
        environment = {"SESSION_PLATFORM_ENDPOINT": endpoint, "SESSION_PLATFORM_TOKEN": MEMBER_TOKEN}
        async with program("check-coverage", "--account", "A1", **environment) as check:
            assert await check.line() == "submitted sr_1"
            await run_through(inside)
            assert await check.line() == "progress 0% QUEUED about 4 s left"
            assert await check.line() == "progress 40% EXECUTING about 3 s left"
            assert await check.line() == "coverage ACTIVE Blue Cross Blue Shield"
            assert await check.end() == (0, "", "")
        posts = [json.loads(request.read()) for request in inside.rest.requests if request.method == "POST"]
        assert posts[1] == {"service": "RTE", "reason": "check_coverage", "priority": "INTERACTIVE", "subject": "A1"}


async def test_a_check_as_json_ends_with_the_whole_result() -> None:
    async with platform() as (inside, endpoint):
        async with program("check-coverage", "--endpoint", endpoint, "--token", MEMBER_TOKEN, "--json") as check:
            assert json.loads(await check.line()) == {"type": "submitted", "service_request_id": "sr_1"}
            await run_through(inside)
            status, out, _ = await check.end()
        lines = [json.loads(line) for line in out.splitlines()]
        assert status == 0
        assert [line["type"] for line in lines] == ["progress", "progress", "coverage"]
        assert lines[-1]["coverage"]["account_id"] == "A1"


async def test_a_payers_no_is_a_sentence_and_status_1() -> None:
    async with platform() as (inside, endpoint):
        async with program("check-coverage", "--endpoint", endpoint, "--token", MEMBER_TOKEN) as check:
            await check.line()
            await inside.publish("service_request.completed", **FAILED)
            status, out, err = await check.end()
        assert status == 1
        assert out == "failed payer_timeout\n"
        assert err == "session-platform: The payer did not answer.\n"


async def test_a_check_survives_a_cut_and_says_so_in_one_line() -> None:
    async with platform() as (inside, endpoint):
        async with program("check-coverage", "--endpoint", endpoint, "--token", MEMBER_TOKEN) as check:
            await check.line()
            await listened_to(inside)
            await inside.cut()
            inside.gateway.publish("service_request.completed", {**SUCCESS, "member_id": "M1"})
            status, out, err = await check.end()
        assert status == 0
        assert out.splitlines() == ["coverage ACTIVE Blue Cross Blue Shield"]
        assert err.splitlines()[0] == "session-platform: connection lost, reconnecting"


async def test_ctrl_c_leaves_the_check_running_and_says_so() -> None:
    async with platform() as (_, endpoint):
        async with program("check-coverage", "--endpoint", endpoint, "--token", MEMBER_TOKEN) as check:
            await check.line()
            check.process.send_signal(signal.SIGINT)
            status, _, err = await check.end()
        assert status == 130
        assert len(err.splitlines()) == 1
        assert "goes on" in err


async def test_what_is_wrong_with_the_call_is_one_sentence_that_says_what_to_do() -> None:
    async with platform() as (inside, endpoint):
        where = ("--endpoint", endpoint)
        refused = {
            "code": "invalid",
            "detail": "Not acceptable.",
            "errors": [{"pointer": "/subject", "detail": "No such account."}],
        }
        inside.rest.standing["POST /v1/sessions/sess_1/service-requests"] = answer(422, refused)
        cases: list[tuple[tuple[str, ...], str]] = [
            (("check-coverage", *where), "SESSION_PLATFORM_TOKEN"),
            (("check-coverage", *where, "--token", token(staff_id="C1")), "--member"),
            (("check-coverage", *where, "--token", MEMBER_TOKEN, "--member", "M9"), "--member M9"),
            (("check-coverage", *where, "--token", MEMBER_TOKEN, "--account", "A9"), "choose --account among A1"),
            (("check-coverage", "--endpoint", "nonsense", "--token", MEMBER_TOKEN), "wss://HOST/v1"),
        ]
        for arguments, said in cases:
            status, out, err = await run(*arguments)
            assert (status, out) == (1, "")
            assert len(err.splitlines()) == 1
            assert said in err


async def test_a_platform_that_does_not_run_is_named_with_the_way_to_start_it() -> None:
    async with platform() as (_, endpoint):
        pass
    status, _, err = await run("check-coverage", "--endpoint", endpoint, "--token", MEMBER_TOKEN)
    assert status == 1
    assert len(err.splitlines()) == 1
    assert endpoint in err
    assert "make run" in err


@pytest.mark.parametrize("command", ["check-coverage", "tail"])
async def test_a_secure_address_of_a_platform_without_tls_is_not_called_absent(command: str) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        secure = "wss://127.0.0.1:{1}/v1".format(*server.sockets[0].getsockname())
        async with program(command, "--endpoint", secure, "--token", MEMBER_TOKEN) as called:
            assert called.process.stderr is not None
            async with asyncio.timeout(STARTED_WITHIN_S):
                said = (await called.process.stderr.readline()).decode()
            if called.process.returncode is None and command == "tail":
                called.process.terminate()
        assert "does not speak TLS" in said
        assert "ws://" in said


async def test_staff_whom_nothing_relates_to_a_member_are_told_what_to_check() -> None:
    async with platform() as (inside, endpoint):
        inside.gateway.forbidden = True
        staff = token(sub="C002", staff_id="C002")
        status, _, err = await run("tail", "--endpoint", endpoint, "--token", staff, "--member", "M7")
    assert status == 1
    assert "check --member" in err


async def test_a_token_may_be_copied_with_its_line_end() -> None:
    async with platform() as (_, endpoint):
        where = ("--endpoint", endpoint, "--token", f" {MEMBER_TOKEN}\n")
        async with program("check-coverage", *where) as check:
            assert await check.line() == "submitted sr_1"


async def test_a_tail_waits_for_a_platform_that_does_not_run_and_says_how_to_start_it() -> None:
    async with platform() as (_, endpoint):
        pass
    async with program("tail", "--endpoint", endpoint, "--token", MEMBER_TOKEN) as tail:
        assert tail.process.stderr is not None
        async with asyncio.timeout(STARTED_WITHIN_S):
            said = (await tail.process.stderr.readline()).decode()
        assert endpoint in said
        assert "make run" in said
        tail.process.send_signal(signal.SIGINT)
        assert await tail.end() == (0, "", "")


async def test_what_ends_a_tail_is_said_once() -> None:
    async with platform() as (inside, endpoint):
        inside.refuse.append((4401, "unauthenticated"))
        status, _, err = await run("tail", "--endpoint", endpoint, "--token", MEMBER_TOKEN)
        assert status == 1
        assert len(err.splitlines()) == 1
        assert "prints a new one" in err


async def test_a_tail_as_json_is_a_journal_that_a_later_one_goes_on_from() -> None:
    async with platform() as (inside, endpoint):
        inside.gateway.publish("task.assigned", {"member_id": "M1", "task_id": "t1"})
        where = ("--endpoint", endpoint, "--token", MEMBER_TOKEN, "--json")
        async with program("tail", *where, "--from", "beginning", "--events", "task.*") as first:
            line = json.loads(await first.line())
            assert line == {"cursor": "c1.1", "event": inside.gateway.frame_event(1)}
            first.process.send_signal(signal.SIGINT)
            assert await first.end() == (0, "", "")
        inside.gateway.publish("coverage.updated", {"member_id": "M1", "coverage_ref": "/v1/coverages/cov_1"})
        async with program("tail", *where, "--from", line["cursor"]) as second:
            assert json.loads(await second.line())["cursor"] == "c1.2"
        assert inside.rest.requests == []


async def test_a_tail_in_a_pipe_prints_number_time_name_and_fields_and_reconnects() -> None:
    async with platform() as (inside, endpoint), program("tail", "--endpoint", endpoint, "--token", MEMBER_TOKEN) as tail:
        await listened_to(inside)
        await inside.publish("task.assigned", task_id="t1", tags=["x"])
        assert await tail.line() == "1 2026-01-15T10:00:00Z task.assigned task_id=t1"
        await inside.cut()
        await inside.publish("task.completed", task_id="t1")
        assert await tail.line() == "2 2026-01-15T10:00:00Z task.completed task_id=t1"


async def test_staff_follow_a_member_until_the_right_ends() -> None:
    async with platform() as (inside, endpoint):
        staff = ("--endpoint", endpoint, "--token", token(sub="C001", staff_id="C001"))
        status, _, err = await run("tail", *staff)
        assert status == 1
        assert "--member ID" in err
        async with program("tail", *staff, "--member", "M1") as tail:
            await listened_to(inside)
            await inside.publish("session.ended", session_id="sess_1")
            await inside.say({"type": "unsubscribed", "subscription_id": "sub_1", "reason": "relationship_ended"})
            assert (await tail.line()).startswith("1 ")
            status, _, err = await tail.end()
        assert status == 1
        assert err == "session-platform: The right to this subscription has ended: relationship_ended.\n"


async def test_a_tail_ends_cleanly_when_its_reader_goes_away_even_while_nothing_happens() -> None:
    async with platform() as (inside, endpoint), program("tail", "--endpoint", endpoint, "--token", MEMBER_TOKEN) as tail:
        await listened_to(inside)
        transport = tail.process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]
        transport.close()
        async with asyncio.timeout(WITHIN_S):
            assert await tail.process.wait() == 0
        assert tail.process.stderr is not None
        assert await tail.process.stderr.read() == b""


async def test_a_cursor_of_nowhere_is_one_sentence() -> None:
    async with platform() as (inside, endpoint):
        inside.gateway.refuse_cursors = True
        status, _, err = await run("tail", "--endpoint", endpoint, "--token", MEMBER_TOKEN, "--from", "nowhere")
        assert status == 1
        assert "--from beginning" in err


ENROLLMENT = (
    ("task.assigned", {"task_id": "t1", "task_type": "STONE_CREATION", "assignee_role": "SYSTEM", "title": "Create records"}),
    ("task.in_progress", {"task_id": "t1", "task_type": "STONE_CREATION"}),
    ("task.in_progress", {"task_id": "t1", "task_type": "STONE_CREATION"}),
    ("task.completed", {"task_id": "t1", "task_type": "STONE_CREATION", "outcome": "SUCCESS"}),
    ("task.assigned", {"task_id": "t2", "task_type": "REVIEW", "assignee_role": "CARE_TEAM"}),
    ("task.completed", {"task_id": "t2", "task_type": "REVIEW", "outcome": "CANCELED"}),
)


def test_a_step_knows_its_state_its_tries_and_whom_it_waits_for() -> None:
    steps = Steps()
    (ahead,) = steps.foretold([{"task_id": "t3", "task_type": "RTE_CHECK"}])
    assert (ahead.task_type, ahead.words) == ("RTE_CHECK", "pending")
    changed = [steps.heard(name, task) for name, task in ENROLLMENT]
    assert [step.words for step in changed if step] == [
        "pending",
        "in_progress",
        "in_progress, try 2",
        "completed, tries: 2",
        "pending, waits for CARE_TEAM",
        "canceled",
    ]
    assert steps.heard(*ENROLLMENT[-1]) is None
    assert steps.foretold([{"task_id": "t1", "task_type": "STONE_CREATION"}]) == []


async def test_any_service_is_submitted_with_its_data_and_its_steps_are_shown_until_the_end() -> None:
    async with platform() as (inside, endpoint):
        data = '{"first_name": "Ada"}'
        where = ("--endpoint", endpoint, "--token", MEMBER_TOKEN, "--service", "ENROLLMENT_INSTANT_COVERAGE", "--data", data)
        async with program("submit", *where) as submit:
            assert await submit.line() == "submitted sr_1"
            for name, task in ENROLLMENT[:4]:
                await inside.publish(name, **{**SUCCESS, "outcome": None, **task})
            await inside.publish("service_request.completed", **SUCCESS)
            status, out, err = await submit.end()
        assert (status, err) == (0, "")
        assert out.splitlines() == [
            "step STONE_CREATION pending",
            "step STONE_CREATION in_progress",
            "step STONE_CREATION in_progress, try 2",
            "step STONE_CREATION completed, tries: 2",
            f"completed {json.dumps(RESULT)}",
        ]
        posts = [json.loads(request.read()) for request in inside.rest.requests if request.method == "POST"]
        assert posts[1] == {"service": "ENROLLMENT_INSTANT_COVERAGE", "data": {"first_name": "Ada"}}
        async with program("submit", *where, "--json") as submit:
            await submit.line()
            step = {"task_id": "t1", "task_type": "STONE_CREATION", "state": "pending", "tries": 0, "waits_for": None}
            assert json.loads(await submit.line()) == {"type": "step", **step}


async def test_data_that_is_no_object_is_one_sentence() -> None:
    for data in ("{", "[]", "7"):
        status, out, err = await run("submit", "--token", MEMBER_TOKEN, "--service", "X", "--data", data)
        assert (status, out) == (1, "")
        assert len(err.splitlines()) == 1
        assert "--data" in err


@pytest.mark.parametrize("command", ["check-coverage", "check-coverage --json", "submit --service RTE"])
async def test_a_closed_output_is_no_reason_to_fail(command: str) -> None:
    async with platform() as (inside, endpoint):
        called = f"{shlex.quote(sys.executable)} -c {shlex.quote(PROGRAM)} {command}"
        line = f"{called} --endpoint {endpoint} --token {MEMBER_TOKEN} >&-"
        process = await asyncio.create_subprocess_shell(line, stderr=asyncio.subprocess.PIPE)
        await listened_to(inside)
        await run_through(inside)
        async with asyncio.timeout(STARTED_WITHIN_S):
            _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


def shown(*steps: Any) -> str:
    """What a person sees on a terminal after ``steps`` on a screen."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with Screen("Coverage check", show_coverage, console) as screen:
        for step in steps:
            step(screen)
    return output.getvalue()


def test_a_person_sees_stage_time_left_and_steps_then_the_coverage_as_tables() -> None:
    now = sdk.Progress("EXECUTING", 3, 40, (sdk.Record(task_id="t1", task_type="RTE_CHECK", status="in_progress"),))
    (step,) = Steps().foretold(now.tasks)
    benefit = {
        "service_type": "Primary care",
        "in_network": True,
        "copay": {"amount": "25.00", "currency": "USD"},
        "coinsurance_percent": 20.0,
        "deductible": {"amount": "500.00", "currency": "USD"},
        "deductible_remaining": {"amount": "120.00", "currency": "USD"},
    }
    result = {
        "coverage_status": "ACTIVE",
        "payer_name": "Blue Cross Blue Shield",
        "effective_date": "2025-01-01",
        "termination_date": "2025-12-31",
        "coverage": {"account_id": "A1", "plan_name": "Gold PPO", "benefits": [benefit]},
    }
    seen = shown(
        lambda screen: screen.submitted("sr_1"),
        lambda screen: screen.progress(now),
        lambda screen: screen.step(step),
        lambda screen: screen.connection("connection lost, reconnecting"),
        lambda screen: screen.completed(result),
    )
    for text in ("sr_1", "executing", "40%", "about 3 s left", "RTE_CHECK", "connection lost", "ACTIVE", "Gold PPO"):
        assert text in seen
    for text in ("2025-01-01 to 2025-12-31", "Primary care", "in network", "copay 25.00 USD", "20%", "120.00 USD left"):
        assert text in seen
    assert "Out of pocket" not in seen


def test_a_person_sees_a_failure_in_words() -> None:
    seen = shown(lambda screen: screen.failed("payer_timeout", "The payer did not answer."))
    assert "The payer did not answer." in seen
    assert "payer_timeout" in seen


async def test_ctrl_c_before_anything_was_submitted_does_not_say_that_a_check_goes_on() -> None:
    arrived = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(mute, "127.0.0.1", 0) as server:
        endpoint = "ws://127.0.0.1:{1}/v1".format(*server.sockets[0].getsockname())
        async with program("check-coverage", "--endpoint", endpoint, "--token", MEMBER_TOKEN) as check:
            async with asyncio.timeout(STARTED_WITHIN_S):
                await arrived.wait()
            check.process.send_signal(signal.SIGINT)
            status, _, err = await check.end()
    assert status == 130
    assert "Nothing was submitted." in err
    assert "goes on" not in err


@pytest.mark.parametrize("width", [30, 60, 100])
def test_a_coverage_cuts_no_word_however_narrow_the_terminal(width: int) -> None:
    deductible = {"amount": "1500.00", "currency": "USD"}
    benefit = {
        "service_type": "Professional (Physician) Visit - Office",
        "coverage_level": "INDIVIDUAL",
        "in_network": True,
        "coinsurance_percent": 20.0,
        **dict.fromkeys(("deductible", "deductible_remaining", "out_of_pocket", "out_of_pocket_remaining"), deductible),
    }
    screen = io.StringIO()
    console = Console(file=screen, width=width)
    show_coverage(console, {"coverage_status": "ACTIVE", "coverage": {"benefits": [benefit]}})
    assert "…" not in screen.getvalue()
    assert "INDIVIDUAL" in screen.getvalue()
    assert max(map(len, screen.getvalue().splitlines())) <= width
