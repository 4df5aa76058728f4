"""The two steps of an enrollment, against a system that says what the test wants, and against the simulator."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from session_platform.enrollment import (
    FAILURES,
    Applicant,
    Enrollment,
    EnrollmentFailed,
    EnrollmentRun,
    EnrollmentSystem,
    StepDone,
)
from session_platform.simulators.enrollment.service import PREFIX
from session_platform.simulators.enrollment.service import EnrollmentSystem as Simulated
from session_platform.simulators.http import Connection, Handler, Request, Response

RUN = EnrollmentRun(
    task_id="task_1",
    try_number=1,
    member_id="M123456",
    account_id="A789012",
    applicant=Applicant(first_name="Ada", last_name="Lovelace", date_of_birth="1985-04-12"),
    stone_id=None,
    timeout_s=10.0,
)


@asynccontextmanager
async def enrollment(handler: Handler, base: str = "", api_key: str = "secret-key") -> AsyncIterator[Enrollment]:
    server = await asyncio.get_running_loop().create_server(lambda: Connection(handler), "127.0.0.1", 0)
    system = EnrollmentSystem(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{base}", api_key)
    try:
        yield Enrollment(system)
    finally:
        await system.aclose()
        server.close()


class Saying:
    """Answers everything so, and remembers what was asked."""

    def __init__(self, status: int, body: bytes) -> None:
        self.requests: list[Request] = []
        self._response = Response(status, body)

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return self._response


def result(outcome: Any) -> dict[str, Any]:
    assert isinstance(outcome, StepDone)
    found: dict[str, Any] = json.loads(outcome.result)
    return found


async def test_a_record_is_asked_for_with_the_form_under_the_tasks_try() -> None:
    saying = Saying(201, b'{"stone_id":"STN-1","more":1}')
    async with enrollment(saying) as steps:
        assert result(await steps.create_stone(RUN._replace(try_number=3))) == {"stone_id": "STN-1"}
    (asked,) = saying.requests
    assert (asked.method, asked.path) == ("POST", "/v1/stones")
    assert (asked.headers["idempotency-key"], asked.headers["authorization"]) == ("task_1-3", "Key secret-key")
    assert json.loads(asked.body) == {
        "member_id": "M123456",
        "account_id": "A789012",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "date_of_birth": "1985-04-12",
    }


async def test_the_directory_entry_is_asked_for_by_the_record() -> None:
    saying = Saying(200, b'{"pdid":"PD1"}')
    async with enrollment(saying) as steps:
        assert result(await steps.fetch_pdid(RUN._replace(stone_id="STN-1"))) == {"pdid": "PD1"}
        assert json.loads(saying.requests[0].body) == {"stone_id": "STN-1"}
        assert await steps.fetch_pdid(RUN) == EnrollmentFailed("enrollment_rejected")
    assert len(saying.requests) == 1, "without a record there is nothing to ask"


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (503, b"{}", "enrollment_busy"),
        (422, b"{}", "enrollment_rejected"),
        (404, b"{}", "enrollment_rejected"),
        (401, b"{}", "enrollment_refused"),
        (403, b"{}", "enrollment_refused"),
        (500, b"{}", "enrollment_unavailable"),
        (302, b"{}", "enrollment_unavailable"),
        (201, b'{"stone":1}', "enrollment_unavailable"),
        (201, b"{", "enrollment_unavailable"),
        (201, b'"' + b"x" * 100_000 + b'"', "enrollment_unavailable"),
    ],
)
async def test_what_is_no_success_is_a_declared_failure_and_nothing_of_it_is_logged(
    status: int, body: bytes, code: str
) -> None:
    with capture_logs() as logs:
        async with enrollment(Saying(status, body)) as steps:
            assert await steps.create_stone(RUN) == EnrollmentFailed(code)
    assert code in FAILURES
    assert "Ada" not in str(logs)
    assert "secret-key" not in str(logs)


@pytest.mark.parametrize(
    ("code", "retryable", "answered"),
    [
        ("enrollment_busy", True, True),
        ("enrollment_unavailable", True, False),
        ("enrollment_rejected", False, True),
        ("enrollment_refused", False, True),
    ],
)
def test_only_a_definite_answer_makes_the_next_attempt_a_new_question(code: str, retryable: bool, answered: bool) -> None:
    assert (FAILURES[code].retryable, FAILURES[code].answered) == (retryable, answered)


async def test_a_system_that_does_not_answer_in_time_or_is_away_is_unavailable() -> None:
    async def never(_: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with enrollment(never) as steps:
        assert await steps.create_stone(RUN._replace(timeout_s=0.05)) == EnrollmentFailed("enrollment_unavailable")
    nobody = EnrollmentSystem("http://127.0.0.1:9", "")
    assert await Enrollment(nobody).create_stone(RUN) == EnrollmentFailed("enrollment_unavailable")
    await nobody.aclose()


async def test_against_the_simulator_the_first_try_of_one_demo_account_fails_and_the_second_succeeds() -> None:
    async def at_once(_: float) -> None:
        return

    async with enrollment(Simulated(speed=1.0, seed=0, sleep=at_once).answer, PREFIX) as steps:
        demo = RUN._replace(account_id="A200006")
        assert await steps.create_stone(demo) == EnrollmentFailed("enrollment_busy")
        stone_id = result(await steps.create_stone(demo._replace(try_number=2)))["stone_id"]
        assert result(await steps.fetch_pdid(demo._replace(task_id="task_2", stone_id=stone_id)))["pdid"]
