"""The two steps: create the coverage record, then fetch its id in the payer directory."""

from __future__ import annotations

import msgspec

from session_platform.enrollment.client import DirectoryEntry, EnrollmentSystem, Stone
from session_platform.enrollment.failures import ENROLLMENT_REJECTED
from session_platform.enrollment.model import EnrollmentFailed, EnrollmentRun, StepDone, StepOutcome


class Enrollment:
    """Each step may be repeated under the same run: the system on the other side does it once."""

    def __init__(self, system: EnrollmentSystem) -> None:
        self._system = system

    async def create_stone(self, run: EnrollmentRun) -> StepOutcome:
        """The result is ``{stone_id}``."""
        question = {
            "member_id": run.member_id,
            "account_id": run.account_id,
            **msgspec.to_builtins(run.applicant),
        }
        return _outcome(await self._system.ask("/v1/stones", question, Stone, run.idempotency_key, run.timeout_s))

    async def fetch_pdid(self, run: EnrollmentRun) -> StepOutcome:
        """The result is ``{pdid}``. Without a record there is nothing to look for."""
        if run.stone_id is None:
            return EnrollmentFailed(ENROLLMENT_REJECTED)
        question = {"stone_id": run.stone_id}
        return _outcome(await self._system.ask("/v1/pdids", question, DirectoryEntry, run.idempotency_key, run.timeout_s))


def _outcome(answer: Stone | DirectoryEntry | EnrollmentFailed) -> StepOutcome:
    return answer if isinstance(answer, EnrollmentFailed) else StepDone(msgspec.json.encode(answer))
