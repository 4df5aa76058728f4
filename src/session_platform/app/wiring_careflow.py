"""Careflow, introduced to those who do its tasks and to those who are told of it: strangers to each other, who meet here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec

from session_platform import eligibility, enrollment
from session_platform.access import rights_changed
from session_platform.app.settings import Settings
from session_platform.careflow import (
    SERVICES,
    Careflow,
    Catalogue,
    Executor,
    Failed,
    Failure,
    Neighbours,
    Outcome,
    Succeeded,
    TaskRun,
    load_catalogue,
)
from session_platform.eligibility import Checked, CheckRun, Eligibility
from session_platform.enrollment import Applicant, Enrollment, EnrollmentRun, StepDone, StepOutcome
from session_platform.errors import Conflict
from session_platform.sessions import Sessions
from session_platform.store import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Doers:
    """What the platform's own functions are made of."""

    checks: Eligibility
    enrollment: Enrollment


def catalogue(settings: Settings) -> Catalogue:
    """The platform's services and the operator's. Raises `StartError`."""
    directories = (SERVICES,) if settings.services is None else (SERVICES, settings.services)
    return load_catalogue(*directories, failures=failures())


def introduced(services: Catalogue, sessions: Sessions) -> Careflow:
    """Careflow, with its neighbours."""
    return Careflow(services, neighbours(sessions))


def neighbours(sessions: Sessions) -> Neighbours:
    """Whom careflow tells. What is done to a request whose session has ended is no activity of it."""

    def active(tx: Tx, session_id: str) -> None:
        try:
            sessions.activity(tx, session_id)
        except Conflict:
            return

    return Neighbours(
        opened=sessions.request_opened, closed=sessions.request_closed, active=active, rights_changed=rights_changed
    )


def executors(services: Catalogue, doers: Doers) -> Mapping[str, Executor]:
    """Who does what, by type of task: the platform's own functions, and those that declarations brought along."""
    own: dict[str, Executor] = {
        "coverage_check": _coverage_check(doers.checks),
        "stone_creation": _enrollment_step(doers.enrollment.create_stone),
        "pdid_retrieval": _enrollment_step(doers.enrollment.fetch_pdid),
    }
    functions = {**own, **services.functions}
    return {task_type: functions[name] for task_type, name in services.function_names().items()}


def failures() -> Mapping[str, Failure]:
    """What the platform's own functions can fail with, in careflow's terms."""
    declared: dict[str, eligibility.Failure | enrollment.Failure] = {**eligibility.FAILURES, **enrollment.FAILURES}
    return {
        code: Failure(message=each.message, retryable=each.retryable, answered=each.answered) for code, each in declared.items()
    }


def _coverage_check(checks: Eligibility) -> Executor:
    """Careflow's attempt becomes eligibility's, and its outcome careflow's. What failed for another that this one had joined is
    not counted against it."""

    async def execute(run: TaskRun) -> Outcome:
        outcome = await checks.check(
            CheckRun(
                task_id=run.task_id,
                attempt=run.attempt,
                try_number=run.try_number,
                service_request_id=run.service_request_id,
                session_id=run.session_id,
                member_id=run.member_id,
                account_id=run.subject or "",
            )
        )
        if isinstance(outcome, Checked):
            return Succeeded(outcome.result, outcome.apply, outcome.timelines)
        return Failed(
            outcome.code,
            outcome.payer_errors,
            outcome.apply,
            outcome.timelines,
            retryable=outcome.retryable,
            counted=not outcome.joined,
        )

    return execute


def _enrollment_step(step: Callable[[EnrollmentRun], Awaitable[StepOutcome]]) -> Executor:
    """The same for the steps of an enrollment; the form has been checked against the service's `data_schema`."""

    async def execute(run: TaskRun) -> Outcome:
        outcome = await step(
            EnrollmentRun(
                task_id=run.task_id,
                try_number=run.try_number,
                member_id=run.member_id,
                account_id=run.subject or "",
                applicant=msgspec.convert(run.data, Applicant),
                stone_id=run.found.get("STONE_CREATION", {}).get("stone_id"),
                timeout_s=run.timeout_s,
            )
        )
        return Succeeded(outcome.result) if isinstance(outcome, StepDone) else Failed(outcome.code)

    return execute
