"""A coverage check from the task to its outcome: ask or join, read the answer, and hand over what the completing transaction
has to write."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace
from structlog.contextvars import bound_contextvars

from session_platform.contract import (
    CoverageChangeType,
    CoverageDetails,
    CoverageStatus,
    CoverageUpdatedEvent,
    RTECompletedEvent,
    ServiceDeliveryOutcome,
    ServiceError,
)
from session_platform.eligibility import checks, stored
from session_platform.eligibility.clearinghouse import Answered, Clearinghouse, Unanswered
from session_platform.eligibility.coverage import change
from session_platform.eligibility.failures import ACCOUNT_UNKNOWN, FAILURES
from session_platform.eligibility.joining import Joining
from session_platform.eligibility.model import Checked, CheckFailed, CheckRun, Insured
from session_platform.eligibility.reading import NoCoverage, failed, read
from session_platform.store.port import Reader, Store, Tx

LOOK_AGAIN_S: Final = 1.0


class RteResult(Struct, frozen=True, kw_only=True):
    """``result_data`` of an RTE request: the headline, null where the payer says nothing, and all of it."""

    coverage_status: CoverageStatus
    payer_name: str | None
    effective_date: str | None
    termination_date: str | None
    coverage: CoverageDetails


class Eligibility:
    """``insured`` and ``holders`` are the directory's: who is insured under an account, and which members hold it.

    ``look_again_s``: how often to look at a check that another process runs.
    """

    def __init__(
        self,
        store: Store,
        clearinghouse: Clearinghouse,
        insured: Callable[[Reader, str], Insured | None],
        holders: Callable[[Reader, str], tuple[str, ...]],
        *,
        look_again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self._store = store
        self._clearinghouse = clearinghouse
        self._insured = insured
        self._holders = holders
        self._clock = clearinghouse.clock
        self._joining = Joining(
            store, self._clock, attempt_timeout_s=clearinghouse.attempt_timeout_s, look_again_s=look_again_s
        )

    async def check(self, run: CheckRun) -> Checked | CheckFailed:
        """One attempt. Raises `Unavailable` when the store is away: then the task may run again, under the same key."""
        with bound_contextvars(task_id=run.task_id, attempt=run.attempt):
            return await self._check(run)

    async def _check(self, run: CheckRun) -> Checked | CheckFailed:
        insured, holders = await self._store.read(
            lambda r: (self._insured(r, run.account_id), self._holders(r, run.account_id))
        )
        if insured is None:
            return self._failed(run, UNSET, failed(ACCOUNT_UNKNOWN), 0)
        question = checks.Question(run.task_id, run.account_id, insured.payer_id)
        began = self._clock.monotonic()
        reply = await self._joining.settle(question, lambda within_s: self._ask(run, insured, within_s))
        took_ms = round((self._clock.monotonic() - began) * 1000)
        if isinstance(reply, Unanswered):
            return self._failed(run, insured.payer_id, failed(reply.code), took_ms)
        found = read(reply.body, insured, reply.at)
        if isinstance(found, NoCoverage):
            return dataclasses.replace(self._failed(run, insured.payer_id, found, took_ms), joined=reply.joined)
        return self._checked(run, reply.check_id, found, took_ms, holders)

    async def _ask(self, run: CheckRun, insured: Insured, within_s: float) -> Answered | Unanswered:
        return await self._clearinghouse.check(insured, f"{run.task_id}-{run.try_number}", within_s)

    def _checked(
        self, run: CheckRun, check_id: str, details: CoverageDetails, took_ms: int, holders: tuple[str, ...]
    ) -> Checked:
        timelines = tuple(sorted({run.member_id, *holders}))

        def apply(tx: Tx) -> None:
            coverage_id, changed = _keep(tx, check_id, details)
            ref = f"/v1/coverages/{coverage_id}"
            tx.emit(
                replace(
                    _completed(run, ServiceDeliveryOutcome.SUCCESS, took_ms, tx),
                    payer_id=details.payer_id,
                    coverage_status=details.coverage_status,
                    coverage_ref=ref,
                    coverage=details,
                )
            )
            if changed is None:
                return
            # Whoever came to hold the account in this moment has no timeline here, and reads the coverage anyway.
            for holder in (member_id for member_id in self._holders(tx, run.account_id) if member_id in timelines):
                tx.emit(
                    CoverageUpdatedEvent(
                        session_id=_asked_in(run) if holder == run.member_id else UNSET,
                        member_id=holder,
                        account_id=run.account_id,
                        change_type=changed,
                        coverage=details,
                        coverage_ref=ref,
                    )
                )

        result = RteResult(
            coverage_status=details.coverage_status,
            payer_name=details.payer_name or None,
            effective_date=details.effective_date or None,
            termination_date=details.termination_date or None,
            coverage=details,
        )
        return Checked(msgspec.json.encode(result), apply, timelines)

    def _failed(self, run: CheckRun, payer_id: str | UnsetType, found: NoCoverage, took_ms: int) -> CheckFailed:
        error = ServiceError(code=found.code, message=FAILURES[found.code].message, retryable=found.retryable)

        def apply(tx: Tx) -> None:
            completed = _completed(run, ServiceDeliveryOutcome.FAILED, took_ms, tx)
            tx.emit(replace(completed, payer_id=payer_id, error=error))

        return CheckFailed(found.code, found.retryable, found.payer_errors, apply, (run.member_id,))


def _keep(tx: Tx, check_id: str, details: CoverageDetails) -> tuple[str, CoverageChangeType | None]:
    """(coverage id, what it changed). A request that joined the check finds the answer stored and its change told."""
    coverage_id = checks.coverage_id_of(tx, check_id)
    if coverage_id is not None:
        return coverage_id, None
    before = stored.coverage_of(tx, [details.account_id])
    coverage_id = stored.add(tx, details)
    checks.set_coverage_id(tx, check_id, coverage_id)
    return coverage_id, change(before[0] if before else None, details)


def _completed(run: CheckRun, outcome: ServiceDeliveryOutcome, took_ms: int, tx: Tx) -> RTECompletedEvent:
    """What both ends of a check say."""
    return RTECompletedEvent(
        session_id=_asked_in(run),
        workflow_id=run.task_id,
        service_request_id=run.service_request_id,
        member_id=run.member_id,
        account_id=run.account_id,
        outcome=outcome,
        response_time_ms=took_ms,
        completed_at=tx.now,
    )


def _asked_in(run: CheckRun) -> str | UnsetType:
    return run.session_id if run.session_id is not None else UNSET
