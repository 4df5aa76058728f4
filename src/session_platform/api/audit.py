"""``/v1/audit``: the record of who did and read what, for operators. That it was read is on record too."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from session_platform.access import audit
from session_platform.access.audit import AuditRecord
from session_platform.api.call import ADMIN, ID_MAX_CHARS, Call, answer, by
from session_platform.api.describe import described, page_of
from session_platform.api.moments import Moment
from session_platform.api.paging import LIMIT_DEFAULT, Limit, PageToken, after, page
from session_platform.errors import FieldProblem, Invalid

LISTED: Final = "audit"
NUMBER: Final = re.compile(r"-?[0-9]{1,19}")
NUMBERS_END: Final = 2**63
router = APIRouter()

Filter = Annotated[str | None, Query(min_length=1, max_length=ID_MAX_CHARS, pattern=r"^[^\x00]*$")]


@router.get(
    "/v1/audit",
    **described("The audit, newest first.", schema=page_of(AuditRecord), problems=(422,)),
)
async def list_audit(  # noqa: PLR0913, PLR0917 (each is a parameter of the call)
    call: Annotated[Call, by("audit.read", ADMIN)],
    member_id: Filter = None,
    actor: Filter = None,
    action: Filter = None,
    since: Annotated[Moment | None, Query(description="Not before this time.")] = None,
    until: Annotated[Moment | None, Query(description="Before this time.")] = None,
    limit: Limit = LIMIT_DEFAULT,
    page_token: PageToken = None,
) -> Response:
    before = _number(after(LISTED, page_token))
    wanted = audit.Wanted(member_id, actor, action, since, until)
    found = await call.read(lambda reader: audit.listed(reader, wanted, limit + 1, before))
    await call.run(lambda tx: call.allowed(tx, member_id))
    shown = page(LISTED, found, limit, lambda each: str(each.number))
    return answer({**shown, "items": [each.record for each in shown["items"]]})


def _number(behind: str) -> int | None:
    """The number in a page token. Raises `Invalid` for a token that names none."""
    if not behind:
        return None
    if not NUMBER.fullmatch(behind) or abs(int(behind)) >= NUMBERS_END:
        raise Invalid(FieldProblem("/query/page_token", "is not the next_page_token of this list"))
    return int(behind)
