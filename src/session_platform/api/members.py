"""What is known of a member: the context that a screen starts from, and the coverage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from msgspec import Struct
from starlette.responses import Response

from session_platform import directory
from session_platform.api.call import MEMBER, STAFF, Call, answer, by
from session_platform.api.describe import described, of
from session_platform.api.service_requests import shown
from session_platform.careflow import RequestView, TaskView
from session_platform.contract import CoverageDetails
from session_platform.errors import ForbiddenOrMissing
from session_platform.sessions import SessionView
from session_platform.store import Reader, outbox

SEQ_DIGITS = 20
router = APIRouter()


class Context(Struct, frozen=True, kw_only=True):
    """Everything up to the event numbered ``timelineseq``, and nothing behind it: subscribe from ``cursor`` and nothing falls
    between. ``tasks`` are the active ones; ``service_requests`` the open ones and the last twenty that ended."""

    coverage: Sequence[CoverageDetails]
    tasks: Sequence[TaskView]
    service_requests: Sequence[RequestView]
    sessions: Sequence[SessionView]
    care_plan: None
    engagement: None
    cursor: str
    timelineseq: str


class KnownCoverage(Struct, frozen=True):
    """The newest answer about each account, the own account first."""

    coverage: Sequence[CoverageDetails]


class CoverageAnswer(Struct, frozen=True):
    """One answer about an account, as it was given."""

    coverage: CoverageDetails


@router.get("/v1/members/{member_id}/context", **described("What a screen starts from.", schema=of(Context), problems=(404,)))
async def read_context(member_id: str, call: Annotated[Call, by("context.read", MEMBER, STAFF)]) -> Response:
    platform, now = call.platform, call.platform.clock.now()

    def query(reader: Reader) -> Context:
        """One snapshot: the state and the head are of the same moment."""
        accounts = call.accounts(reader, call.reach(reader, member_id))
        last = outbox.head(reader, member_id).last
        return Context(
            coverage=platform.coverage_of(reader, accounts),
            tasks=platform.careflow.tasks_of(reader, member_id, active=True),
            service_requests=[shown(view, accounts) for view in platform.careflow.recent_requests(reader, member_id, now)],
            sessions=platform.sessions.open_of(reader, member_id, now),
            care_plan=None,
            engagement=None,
            cursor=platform.codec.encode(member_id, last),
            timelineseq=f"{last.seq:0{SEQ_DIGITS}d}",
        )

    context = await call.read(query)
    await call.note(member_id)
    return answer(context)


@router.get(
    "/v1/members/{member_id}/coverage",
    **described("The coverage known of a member.", schema=of(KnownCoverage), problems=(404,)),
)
async def read_members_coverage(member_id: str, call: Annotated[Call, by("coverage.read", MEMBER, STAFF)]) -> Response:
    def query(reader: Reader) -> KnownCoverage:
        accounts = call.accounts(reader, call.reach(reader, member_id))
        return KnownCoverage(call.platform.coverage_of(reader, accounts))

    known = await call.read(query)
    await call.note(member_id)
    return answer(known)


@router.get(
    "/v1/coverages/{coverage_id}", **described("The coverage as at an event.", schema=of(CoverageAnswer), problems=(404,))
)
async def read_coverage(coverage_id: str, call: Annotated[Call, by("coverage.read", MEMBER, STAFF)]) -> Response:
    def query(reader: Reader) -> tuple[str, CoverageDetails]:
        found = call.platform.coverage_at(reader, coverage_id)
        if found is None:
            raise ForbiddenOrMissing
        account_id, coverage = found
        for holder in directory.holders(reader, account_id):
            if account_id in call.accounts(reader, holder):
                return holder, coverage
        raise ForbiddenOrMissing

    member_id, coverage = await call.read(query)
    await call.note(member_id)
    return answer(CoverageAnswer(coverage))
