"""What is known of a member: the context that a screen starts from, and the coverage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Final

from fastapi import APIRouter
from msgspec import Struct
from starlette.responses import Response

from session_platform import directory
from session_platform.api import service_requests, tasks
from session_platform.api.call import MEMBER, STAFF, Call, answer, by
from session_platform.api.describe import described, of
from session_platform.careflow import RequestView, TaskView
from session_platform.contract import SEQ_DIGITS, CoverageDetails
from session_platform.errors import ForbiddenOrMissing
from session_platform.sessions import SessionView
from session_platform.store import Reader
from session_platform.twin import CarePlan, Engagement

TASKS_A_READ: Final = 500
router = APIRouter()


class Context(Struct, frozen=True, kw_only=True):
    """Everything up to the event numbered ``timelineseq``: subscribe from ``cursor``, which stands just behind it, and nothing
    falls between. ``coverage`` is the newest answer about each account, the own account first; ``tasks`` are the active ones;
    ``service_requests`` the open ones and the last twenty that ended; ``sessions`` the open ones."""

    coverage: Sequence[CoverageDetails]
    tasks: Sequence[TaskView]
    service_requests: Sequence[RequestView]
    sessions: Sequence[SessionView]
    care_plan: CarePlan | None
    engagement: Engagement
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
    platform = call.platform

    def query(reader: Reader) -> Context:
        """One snapshot: the state and the position are of the same moment. Where the twin is not as far as the rest, its
        position is that of the whole: what follows is told again, and nothing is left out."""
        accounts = call.accounts(reader, call.reach(reader, member_id))
        now = platform.clock.now()
        known = platform.twin(reader, member_id, now)
        requests = platform.careflow.recent_requests(reader, member_id, now)
        return Context(
            coverage=platform.coverage_of(reader, accounts),
            tasks=[tasks.shown(reader, call, task) for task in _active_tasks(reader, call, member_id)],
            service_requests=[service_requests.shown(request, accounts) for request in requests],
            sessions=platform.sessions.open_of(reader, member_id, now),
            care_plan=known.care_plan,
            engagement=known.engagement,
            cursor=platform.codec.encode(member_id, known.position),
            timelineseq=f"{known.position.seq:0{SEQ_DIGITS}d}",
        )

    context = await call.read(query)
    await call.note(member_id)
    return answer(context)


def _active_tasks(reader: Reader, call: Call, member_id: str) -> Iterator[TaskView]:
    """All of them, however many there are: what a context left out, no event behind its cursor would tell."""
    behind: str | None = ""
    while behind is not None:
        found = call.platform.careflow.tasks_of(reader, member_id, active=True, after=behind, limit=TASKS_A_READ)
        yield from found
        behind = found[-1].task_id if len(found) == TASKS_A_READ else None


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
        holders = directory.holders(reader, account_id)
        rights = call.platform.rights
        # Nobody breaks the glass of one holder while another is theirs to read.
        by_right = (each for each in holders if account_id in rights.readable_accounts(reader, call.identity, each))
        anyhow = (each for each in holders if account_id in call.accounts(reader, each))
        holder = next(by_right, None) or next(anyhow, None)
        if holder is None:
            raise ForbiddenOrMissing
        return holder, coverage

    member_id, coverage = await call.read(query)
    await call.note(member_id)
    return answer(CoverageAnswer(coverage))
