"""Careflow and those who do its tasks: what one says is what the other hears."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from session_platform.app import wiring_careflow
from session_platform.app.settings import Settings
from session_platform.careflow import Executor, Failed, Succeeded, TaskRun
from session_platform.careflow.catalogue import OWN_FUNCTIONS
from session_platform.eligibility import CheckFailed, CheckRun, Eligibility
from session_platform.enrollment import Applicant, Enrollment, EnrollmentFailed, EnrollmentRun, StepDone, StepOutcome
from session_platform.errors import StartError
from session_platform.store import Tx

ADA = {"first_name": "Ada", "last_name": "Lovelace", "date_of_birth": "1985-04-12"}
RUN = TaskRun(
    task_id="task_1",
    task_type="PDID_RETRIEVAL",
    attempt=4,
    try_number=2,
    service_request_id="sr_1",
    session_id=None,
    member_id="M1",
    subject="A1",
    data=ADA,
    timeout_s=10.0,
    found={"STONE_CREATION": {"stone_id": "STN-1"}},
)


class Checks:
    """Fails as the payer does when another asked."""

    def __init__(self, joined: bool) -> None:
        self.joined = joined
        self.runs: list[CheckRun] = []

    async def check(self, run: CheckRun) -> CheckFailed:
        self.runs.append(run)
        return CheckFailed("payer_unavailable", True, b"[]", nothing, ("M1",), joined=self.joined)


class Steps:
    """Both steps answer so."""

    def __init__(self, outcome: StepOutcome) -> None:
        self.outcome = outcome
        self.runs: list[EnrollmentRun] = []

    async def create_stone(self, run: EnrollmentRun) -> StepOutcome:
        self.runs.append(run)
        return self.outcome

    fetch_pdid = create_stone


def nothing(_: Tx) -> None:
    return


def executors(checks: Any = None, steps: Any = None, **settings: Any) -> Mapping[str, Executor]:
    catalogue = wiring_careflow.catalogue(Settings.load(**settings))
    doers = wiring_careflow.Doers(
        checks=cast(Eligibility, checks), enrollment=cast(Enrollment, steps or Steps(StepDone(b"{}")))
    )
    return wiring_careflow.executors(catalogue, doers)


@pytest.mark.parametrize("joined", [False, True])
async def test_a_failure_that_was_only_joined_is_not_counted(joined: bool) -> None:
    checks = Checks(joined)
    outcome = await executors(checks)["RTE_CHECK"](RUN)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.retryable, outcome.counted) == ("payer_unavailable", True, not joined)
    assert (checks.runs[0].account_id, checks.runs[0].try_number) == ("A1", 2)


async def test_a_step_of_an_enrollment_gets_the_form_the_try_and_what_was_found_before() -> None:
    steps = Steps(StepDone(b'{"pdid":"PD1"}'))
    outcome = await executors(steps=steps)["PDID_RETRIEVAL"](RUN)
    assert outcome == Succeeded(b'{"pdid":"PD1"}')
    (asked,) = steps.runs
    assert (asked.idempotency_key, asked.account_id, asked.stone_id) == ("task_1-2", "A1", "STN-1")
    assert asked.applicant == Applicant(**ADA)


async def test_a_step_that_fails_says_why_in_a_declared_code() -> None:
    failing = executors(steps=Steps(EnrollmentFailed("enrollment_busy")))["STONE_CREATION"]
    assert await failing(RUN) == Failed("enrollment_busy")
    assert wiring_careflow.failures()["enrollment_busy"].retryable


def test_every_function_that_declarations_may_name_is_there() -> None:
    catalogue = wiring_careflow.catalogue(Settings.load())
    assert set(catalogue.function_names().values()) == OWN_FUNCTIONS
    assert executors().keys() == catalogue.function_names().keys()


def test_an_operators_services_are_found_by_their_setting_and_a_mistake_ends_the_start(tmp_path: Path) -> None:
    declared = 'code = "X"\ntitle = "X"\n[[tasks]]\ntype = "T"\ntitle = "T"\nexecutor = "system"\nusual_s = 1\n'
    (tmp_path / "x.toml").write_text(declared)
    assert "X" in wiring_careflow.catalogue(Settings.load(services=tmp_path)).services
    (tmp_path / "x.toml").write_text(declared + "role = 1\n")
    with pytest.raises(StartError, match=r"x\.toml:8: tasks\[0\]\.role: "):
        wiring_careflow.catalogue(Settings.load(services=tmp_path))
