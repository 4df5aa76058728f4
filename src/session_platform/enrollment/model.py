"""What goes into a step of an enrollment and what comes out of it."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct


class Applicant(Struct, frozen=True, kw_only=True):
    """Who enrolls, as they wrote it in the form; ``date_of_birth`` is YYYY-MM-DD."""

    first_name: str
    last_name: str
    date_of_birth: str


class EnrollmentRun(NamedTuple):
    """One attempt at a step. ``try_number`` rises only after a definite answer: with the task's id it makes the idempotency
    key. ``stone_id``: the coverage record, once there is one. The attempt may take ``timeout_s`` seconds."""

    task_id: str
    try_number: int
    member_id: str
    account_id: str
    applicant: Applicant
    stone_id: str | None
    timeout_s: float

    @property
    def idempotency_key(self) -> str:
        return f"{self.task_id}-{self.try_number}"


class StepDone(NamedTuple):
    """``result`` is the task's result as JSON."""

    result: bytes


class EnrollmentFailed(NamedTuple):
    """``code`` is a key of `FAILURES`."""

    code: str


StepOutcome = StepDone | EnrollmentFailed
