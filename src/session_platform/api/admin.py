"""``/v1/admin``: what operators do. Each act is on record with whom it was about; none of them reads anything of a member."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Annotated, cast

from fastapi import APIRouter
from pydantic import ConfigDict, Field, JsonValue
from starlette.responses import Response

from session_platform import directory
from session_platform.access import disconnect, revoke_issued_before, revoke_token, rights_changed
from session_platform.api.call import ADMIN, ID_MAX_CHARS, Call, by
from session_platform.api.describe import Takes, described
from session_platform.api.moments import Moment
from session_platform.api.reading import Body, Nothing, Posted, posted
from session_platform.errors import FieldProblem, ForbiddenOrMissing, Invalid, Unavailable
from session_platform.store import Tx

router = APIRouter()

# As in a token: no control characters.
Claim = Annotated[str, Field(min_length=1, max_length=ID_MAX_CHARS, pattern=r"^[^\x00-\x1f\x7f]+$")]


def _only(*names: str) -> dict[str, JsonValue]:
    """The schema of a body in which of the fields just ``names`` are given: null is as good as absent."""
    fields = {name: {"type": "string"} if name in names else {"type": "null"} for name in ("jti", "sub", "issued_before")}
    return {"properties": cast(JsonValue, fields), "required": list(names)}


class Revoking(Body):
    """Either ``jti``, one token; or ``sub`` and ``issued_before``, those of a subject with an earlier ``iat``."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only("jti"), _only("sub", "issued_before")]})

    jti: Claim | None = None
    sub: Claim | None = None
    issued_before: Moment | None = None


@router.post(
    "/v1/admin/members/{member_id}/disconnect",
    **described(
        "Close a member's open connections.",
        schema=None,
        status=204,
        problems=(404,),
        takes=Takes(Nothing, optional=True),
    ),
)
async def disconnect_member(
    member_id: str,
    call: Annotated[Call, by("member.disconnect", ADMIN)],
    _: Annotated[Posted[Nothing], posted(Nothing, optional=True)],
) -> Response:
    def command(tx: Tx) -> None:
        if directory.member(tx, member_id) is None:
            raise ForbiddenOrMissing
        disconnect(tx, member_id)
        call.allowed(tx, member_id)

    return await _taken(call, command)


@router.post(
    "/v1/admin/tokens/revoke",
    **described("Revoke one token, or a subject's earlier ones.", schema=None, status=204, takes=Takes(Revoking)),
)
async def revoke_tokens(
    call: Annotated[Call, by("token.revoke", ADMIN)], given: Annotated[Posted[Revoking], posted(Revoking)]
) -> Response:
    body = given.body

    def command(tx: Tx) -> None:
        if body.jti is not None:
            revoke_token(tx, body.jti)
            call.allowed(tx, about=f"jti {body.jti}")
        else:
            assert body.sub is not None
            assert body.issued_before is not None
            revoke_issued_before(tx, body.sub, body.issued_before)
            call.allowed(tx, about=f"sub {body.sub}, issued before {body.issued_before.isoformat()}")

    _require_one_form(body)
    return await _taken(call, command)


@router.put(
    "/v1/admin/staff/{staff_id}/panel/{member_id}",
    **described("Put a member on a staff member's panel.", schema=None, status=204, problems=(404,)),
)
async def put_on_panel(staff_id: str, member_id: str, call: Annotated[Call, by("panel.put", ADMIN)]) -> Response:
    return await _change_panel(call, staff_id, member_id, directory.put_on_panel)


@router.delete(
    "/v1/admin/staff/{staff_id}/panel/{member_id}",
    **described("Take a member off a staff member's panel.", schema=None, status=204, problems=(404,)),
)
async def take_off_panel(staff_id: str, member_id: str, call: Annotated[Call, by("panel.delete", ADMIN)]) -> Response:
    return await _change_panel(call, staff_id, member_id, directory.take_off_panel)


async def _change_panel(call: Call, staff_id: str, member_id: str, change: Callable[[Tx, str, str], bool]) -> Response:
    def command(tx: Tx) -> None:
        if change(tx, staff_id, member_id):
            rights_changed(tx, member_id, staff_id)
        call.allowed(tx, member_id, about=f"staff {staff_id}")

    await call.run(command, member_id)
    return Response(status_code=204)


async def _taken(call: Call, command: Callable[[Tx], None]) -> Response:
    """What was taken back holds in this process when the answer leaves (unless the store went away behind the commit), and in
    the others within two seconds."""
    await call.run(command)
    with contextlib.suppress(Unavailable):
        await call.platform.verifier.look()
    return Response(status_code=204)


def _require_one_form(body: Revoking) -> None:
    """Raises `Invalid` unless the body names one token, or a subject and a time."""
    if body.jti is not None:
        problems = [
            FieldProblem(f"/{name}", "is not for one token") for name in ("sub", "issued_before") if getattr(body, name)
        ]
    elif body.sub is None and body.issued_before is None:
        problems = [FieldProblem("/jti", "is required, or sub and issued_before")]
    else:
        problems = [FieldProblem(f"/{name}", "is required") for name in ("sub", "issued_before") if not getattr(body, name)]
    if problems:
        raise Invalid(*problems)
