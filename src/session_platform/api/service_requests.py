"""``/v1/sessions/{id}/service-requests`` and ``/v1/service-requests``: submit, look at, fetch the result, cancel."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from session_platform.api.call import MEMBER, STAFF, Call, NotYours, answer, by, encode
from session_platform.api.describe import Takes, described, of, with_cursor
from session_platform.api.once import Effect, Running
from session_platform.api.reading import Body, Nothing, Posted, posted
from session_platform.careflow import NewRequest, RequestView
from session_platform.careflow.submission import NAME_MAX_CHARS, REASON_MAX_CHARS
from session_platform.contract import AssigneeRole, ServiceRequestPriority
from session_platform.errors import Conflict, FieldProblem, ForbiddenOrMissing, Invalid
from session_platform.sessions import SessionView
from session_platform.store import Reader, Tx, outbox

# Tabs and line ends aside, no control characters: what careflow takes.
Words = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]
Name = Annotated[Words, Field(max_length=NAME_MAX_CHARS)]
router = APIRouter()


class RequestToSubmit(Body):
    """``subject`` is an account id; without it the session's. ``data`` is what the service's ``data_schema`` asks for."""

    service: Annotated[str, Field(max_length=NAME_MAX_CHARS)]
    subject: Annotated[str, Field(max_length=NAME_MAX_CHARS)] | None = None
    reason: Annotated[Words, Field(max_length=REASON_MAX_CHARS)] | None = None
    priority: Annotated[ServiceRequestPriority, Field(strict=False)] = ServiceRequestPriority.STANDARD
    data: dict[str, Any] | None = None
    target_role: Annotated[AssigneeRole, Field(strict=False)] | None = None
    target_speciality: Name | None = None
    current_call_id: Name | None = None


@router.post(
    "/v1/sessions/{session_id}/service-requests",
    **described(
        "Submit a service request.",
        schema=with_cursor(RequestView),
        status=202,
        problems=(404, 409),
        takes=Takes(RequestToSubmit, creates=True),
    ),
)
async def submit_service_request(
    session_id: str,
    request: Request,
    call: Annotated[Call, by("service_request.submit", MEMBER, STAFF)],
    given: Annotated[Posted[RequestToSubmit], posted(RequestToSubmit)],
) -> Response:
    sessions, careflow = call.platform.sessions, call.platform.careflow
    member_id = await call.timeline_of(sessions.owner, session_id)

    def permit(tx: Tx) -> None:
        call.reach(tx, sessions.owner(tx, session_id))

    def command(tx: Tx) -> bytes:
        session = sessions.view(tx, session_id, tx.now)
        assert session is not None
        new = _new_request(tx, call, session, given.body)
        before = outbox.head(tx, member_id).last
        view = careflow.submit(tx, new)
        call.allowed(tx, member_id, session_id)
        return encode(view, cursor=call.platform.codec.encode(member_id, before))

    running: Running = request.app.state.running
    return await running.once(call, given.digest, 202, Effect(permit, command), member_id)


@router.get(
    "/v1/service-requests/{service_request_id}", **described("A service request.", schema=of(RequestView), problems=(404,))
)
async def read_service_request(
    service_request_id: str, call: Annotated[Call, by("service_request.read", MEMBER, STAFF)]
) -> Response:
    def query(reader: Reader) -> RequestView:
        view = reached(reader, call, service_request_id)
        return shown(view, call.accounts(reader, view.member_id))

    return answer(await call.read(query))


@router.get(
    "/v1/service-requests/{service_request_id}/result",
    **described("What a successful service request found.", schema={"type": "object"}, problems=(404, 409)),
)
async def read_result(service_request_id: str, call: Annotated[Call, by("result.read", MEMBER, STAFF)]) -> Response:
    def query(reader: Reader) -> tuple[RequestView, bytes]:
        view = reached(reader, call, service_request_id)
        if not about_readable_account(view.subject, call.accounts(reader, view.member_id)):
            raise ForbiddenOrMissing
        result = call.platform.careflow.result(reader, service_request_id)
        if result is None:
            raise Conflict("The service request has no result: it did not succeed, or not yet.")
        return view, result

    view, result = await call.read(query)
    await call.note(view.member_id, view.session_id)
    return Response(result, media_type="application/json")


@router.post(
    "/v1/service-requests/{service_request_id}/cancel",
    **described("Cancel a service request.", schema=of(RequestView), problems=(404, 409), takes=Takes(Nothing, optional=True)),
)
async def cancel_service_request(
    service_request_id: str,
    call: Annotated[Call, by("service_request.cancel", MEMBER, STAFF)],
    _: Annotated[Posted[Nothing], posted(Nothing, optional=True)],
) -> Response:
    careflow = call.platform.careflow

    def command(tx: Tx) -> RequestView:
        member_id = call.reach(tx, careflow.owner(tx, service_request_id))
        view = careflow.cancel(tx, service_request_id, call.identity.actor_id)
        call.allowed(tx, member_id, view.session_id)
        return shown(view, call.accounts(tx, member_id))

    return answer(await call.run(command, await call.timeline_of(careflow.owner, service_request_id)))


def reached(reader: Reader, call: Call, service_request_id: str) -> RequestView:
    """The request, if it is of a member whom the caller may reach. Raises `ForbiddenOrMissing`."""
    view = call.platform.careflow.view(reader, service_request_id, call.platform.clock.now())
    call.reach(reader, None if view is None else view.member_id)
    assert view is not None
    return view


def about_readable_account(subject: str | None, accounts: tuple[str, ...]) -> bool:
    """Whether what a request about ``subject`` found may be read by somebody who may read what is of ``accounts``."""
    return subject is None or subject in accounts


def shown(view: RequestView, accounts: tuple[str, ...]) -> RequestView:
    """The request as somebody may see it: a payer's own words are part of the result."""
    if view.payer_errors is None or about_readable_account(view.subject, accounts):
        return view
    return msgspec.structs.replace(view, payer_errors=None)


def _new_request(tx: Tx, call: Call, session: SessionView, body: RequestToSubmit) -> NewRequest:
    """The request as careflow takes it. Raises `Invalid` for a subject that the caller may not ask for, existing or not."""
    subject = session.account_id if body.subject is None else body.subject
    if subject is None:
        raise Invalid(FieldProblem("/subject", "is required: the session is about no account"))
    if not call.platform.rights.may_subject(tx, call.identity, session.member_id, subject):
        raise NotYours("/subject", "is no account you may ask for")
    return NewRequest(
        session_id=session.session_id,
        member_id=session.member_id,
        initiator_id=call.identity.actor_id,
        service=body.service,
        subject=subject,
        reason=body.reason,
        priority=body.priority,
        data=body.data,
        target_role=body.target_role,
        target_speciality=body.target_speciality,
        current_call_id=body.current_call_id,
    )
