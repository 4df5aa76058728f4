"""``/v1/services`` and ``/v1/flags``: what can be asked for, and what is switched on."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from starlette.responses import Response

from session_platform.api.call import ADMIN, MEMBER, SERVICE, STAFF, Call, answer, by
from session_platform.api.describe import described, page_of
from session_platform.api.paging import LIMIT_DEFAULT, Limit, PageToken, after, page
from session_platform.careflow import ServiceView

LISTED: Final = "services"
router = APIRouter()


@router.get("/v1/services", **described("The catalogue of services.", schema=page_of(ServiceView), problems=(422,)))
async def list_services(
    call: Annotated[Call, by("services.read", MEMBER, STAFF, SERVICE, ADMIN)],
    limit: Limit = LIMIT_DEFAULT,
    page_token: PageToken = None,
) -> Response:
    behind = after(LISTED, page_token)
    services = await call.read(call.platform.careflow.services)
    return answer(page(LISTED, [each for each in services if each.code > behind], limit, lambda each: each.code))


@router.get(
    "/v1/flags",
    **described("The caller's flags.", schema={"type": "object", "additionalProperties": {"type": "boolean"}}),
)
async def read_flags(call: Annotated[Call, by("flags.read", MEMBER, STAFF, SERVICE, ADMIN)]) -> Response:
    return answer(dict(call.platform.flags(call.identity)))
