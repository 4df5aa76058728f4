"""What backends say of coverage: an answer that they got, and a coverage that really changed.

An answer is kept where its event refers to. What is current moves with ``coverage.updated`` only, so that who follows those
events knows what a read would say. A coverage that says what is known already tells nobody anything.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UNSET
from msgspec.structs import replace

from session_platform.contract import CoverageUpdatedEvent, DurableEvent, RTECompletedEvent
from session_platform.eligibility import stored
from session_platform.eligibility.coverage import change
from session_platform.eligibility.failures import FAILURES
from session_platform.errors import FieldProblem, Invalid
from session_platform.store.port import Reader, Tx

FAILED_TEXT = "The coverage could not be checked: try again later."
"""What a failure is called whose code is not one of ours."""

Emit = Callable[[DurableEvent], None]


class PublishedCoverage:
    """``holders`` is the directory's: which members hold an account. ``session_of_request`` names the session that a request
    was submitted in, None for no session."""

    def __init__(
        self,
        holders: Callable[[Reader, str], tuple[str, ...]],
        session_of_request: Callable[[Reader, str], str | None],
    ) -> None:
        self._holders = holders
        self._session_of_request = session_of_request

    def checked(self, tx: Tx, event: RTECompletedEvent, _: str, emit: Emit) -> None:
        """A check ended: its coverage is kept at its reference. One for a request is in that request's session. Raises
        `Invalid`."""
        if event.service_request_id is not UNSET:
            session_id = self._session_of_request(tx, event.service_request_id) or UNSET
            if event.session_id not in {UNSET, session_id}:
                raise Invalid(FieldProblem("/session_id", "must be the session of the request"))
            event = replace(event, session_id=session_id)
        error = event.error
        if error is not UNSET:
            known = FAILURES.get(error.code)
            error = replace(error, message=FAILED_TEXT if known is None else known.message)
        ref = UNSET if event.coverage is UNSET else _ref(stored.add(tx, event.coverage, current=False))
        emit(replace(event, error=error, coverage_ref=ref))

    def updated(self, tx: Tx, event: CoverageUpdatedEvent, _: str, emit: Emit) -> None:
        """The coverage of an account is another one: every member who holds it is told, the one whom the event names first."""
        assert event.coverage is not UNSET
        before = stored.coverage_of(tx, [event.account_id])
        if change(before[0] if before else None, event.coverage) is None:
            return
        told = replace(event, coverage_ref=_ref(stored.add(tx, event.coverage)))
        emit(told)
        for holder in self._holders(tx, event.account_id):
            if holder != event.member_id:
                emit(replace(told, member_id=holder, session_id=UNSET))


def _ref(coverage_id: str) -> str:
    return f"/v1/coverages/{coverage_id}"
