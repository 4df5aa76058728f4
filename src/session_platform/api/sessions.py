"""``/v1/sessions``: open, look at, keep alive, join and end."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from session_platform import directory
from session_platform.access import Identity, MemberIdentity, StaffIdentity
from session_platform.api.call import MEMBER, SERVICE, STAFF, Call, NothingOpen, NotYours, answer, by, encode
from session_platform.api.describe import Takes, described, of, with_cursor
from session_platform.api.once import Effect, Running
from session_platform.api.reading import Body, Posted, posted
from session_platform.contract import AssigneeRole, SessionChannel, SessionEndReason, SessionOutcome, SessionType
from session_platform.errors import DisabledByFlag, FieldProblem, ForbiddenOrMissing, Invalid
from session_platform.sessions import NewParticipant, NewSession, SessionView
from session_platform.sessions.model import DEVICE_ID_MAX_CHARS, INTENT_MAX_CHARS, METADATA_MAX_KEYS, PARTICIPANTS_MAX
from session_platform.store import Reader, Tx, outbox

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Id = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00]*$")]
NOT_A_MEMBER: Final = "is no member you may open a session for"
router = APIRouter()


class SessionToOpen(Body):
    """``member_id`` and ``participants`` (staff ids) are for staff and services."""

    type: Annotated[SessionType, Field(strict=False)]
    channel: Annotated[SessionChannel, Field(strict=False)]
    intent: Annotated[Text, Field(max_length=INTENT_MAX_CHARS)] | None = None
    # The document would otherwise say that a name which is no `Text` may have any value.
    metadata: (
        Annotated[dict[Text, Text], Field(max_length=METADATA_MAX_KEYS, json_schema_extra={"additionalProperties": False})]
        | None
    ) = None
    device_id: Annotated[Text, Field(min_length=1, max_length=DEVICE_ID_MAX_CHARS)] | None = None
    member_id: Id | None = None
    participants: Annotated[list[Id], Field(max_length=PARTICIPANTS_MAX)] | None = None


class Beat(Body):
    """``active``: the person did something."""

    active: bool


class Ending(Body):
    reason: Annotated[SessionEndReason, Field(strict=False)] = SessionEndReason.USER_CLOSED
    outcome: Annotated[SessionOutcome, Field(strict=False)] = SessionOutcome.SUCCESS


class Joining(Body):
    staff_id: Id


@router.post(
    "/v1/sessions",
    **described(
        "Open a session.",
        schema=with_cursor(SessionView),
        status=201,
        problems=(409,),
        takes=Takes(SessionToOpen, creates=True),
    ),
)
async def open_session(
    request: Request,
    call: Annotated[Call, by("session.create", MEMBER, STAFF, SERVICE)],
    given: Annotated[Posted[SessionToOpen], posted(SessionToOpen)],
) -> Response:
    if not call.platform.flags(call.identity).get("enable-digital-sessions", True):
        raise DisabledByFlag
    member_id = _member_id(call.identity, given.body)

    def permit(tx: Tx) -> None:
        try:
            call.platform.rights.require_keeper(tx, call.identity, member_id)
        except ForbiddenOrMissing:
            raise NotYours("/member_id", NOT_A_MEMBER) from None

    def command(tx: Tx) -> bytes:
        new = _new_session(tx, call, member_id, given.body)
        before = outbox.head(tx, member_id).last
        view = call.platform.sessions.create(tx, new)
        call.allowed(tx, member_id, view.session_id)
        return encode(view, cursor=call.platform.codec.encode(member_id, before))

    running: Running = request.app.state.running
    digest = _asked_of(member_id, given.digest)
    return await running.once(call, digest, 201, Effect(permit, command), member_id)


@router.get(
    "/v1/sessions/active",
    **described(
        "A member's own most recently active session; of staff, the open one that they joined last.",
        schema=of(SessionView),
        problems=(404, 422),
    ),
)
async def read_active_session(
    call: Annotated[Call, by("session.read", MEMBER, STAFF)],
    device_id: Annotated[
        str | None,
        Query(
            description="A member's: without it, on any device. Sessions are on members' devices.",
            max_length=DEVICE_ID_MAX_CHARS,
        ),
    ] = None,
) -> Response:
    now, sessions = call.platform.clock.now(), call.platform.sessions

    def query(reader: Reader) -> SessionView | None:
        if isinstance(call.identity, StaffIdentity):
            return sessions.joined_last(reader, call.identity.staff_id, now)
        assert isinstance(call.identity, MemberIdentity)
        if device_id is None:
            return sessions.most_recent(reader, call.identity.member_id, now)
        return sessions.active_on_device(reader, call.identity.member_id, device_id, now)

    return _found(await call.read(query))


@router.get("/v1/sessions/{session_id}", **described("A session.", schema=of(SessionView), problems=(404,)))
async def read_session(session_id: str, call: Annotated[Call, by("session.read", MEMBER, STAFF)]) -> Response:
    now, sessions = call.platform.clock.now(), call.platform.sessions

    def query(reader: Reader) -> SessionView | None:
        call.reach(reader, sessions.owner(reader, session_id))
        return sessions.view(reader, session_id, now)

    return _found(await call.read(query))


@router.get(
    "/v1/members/{member_id}/sessions/active",
    **described("The member's most recently active open session.", schema=of(SessionView), problems=(404,)),
)
async def read_members_active_session(member_id: str, call: Annotated[Call, by("session.read", MEMBER, STAFF)]) -> Response:
    now, sessions = call.platform.clock.now(), call.platform.sessions
    return _found(await call.read(lambda reader: sessions.most_recent(reader, call.reach(reader, member_id), now)))


@router.post(
    "/v1/sessions/{session_id}/heartbeat",
    **described("Keep a session alive.", schema=None, status=204, problems=(404, 409), takes=Takes(Beat)),
)
async def keep_session_alive(
    session_id: str,
    call: Annotated[Call, by("session.heartbeat", MEMBER, STAFF, SERVICE)],
    given: Annotated[Posted[Beat], posted(Beat)],
) -> Response:
    sessions = call.platform.sessions

    def query(reader: Reader) -> None:
        call.platform.rights.require_keeper(reader, call.identity, sessions.owner(reader, session_id))
        sessions.require_open(reader, session_id)

    await call.read(query)
    call.platform.touches.touch(session_id, given.body.active)
    return Response(status_code=204)


@router.post(
    "/v1/sessions/{session_id}/end",
    **described("End a session.", schema=of(SessionView), problems=(404, 409), takes=Takes(Ending, optional=True)),
)
async def end_session(
    session_id: str,
    call: Annotated[Call, by("session.end", MEMBER, STAFF, SERVICE)],
    given: Annotated[Posted[Ending], posted(Ending, optional=True)],
) -> Response:
    sessions = call.platform.sessions

    def command(tx: Tx) -> SessionView:
        owner = sessions.owner(tx, session_id)
        # The end may end the very right to it, and must be repeatable all the same.
        if owner is None or not _ended_their_part(tx, call, session_id):
            owner = call.platform.rights.require_keeper(tx, call.identity, owner)
        view = sessions.end(tx, session_id, given.body.reason, given.body.outcome, call.identity.subject)
        call.allowed(tx, owner, session_id)
        return view

    return answer(await call.run(command, await call.timeline_of(sessions.owner, session_id)))


@router.post(
    "/v1/sessions/{session_id}/participants",
    **described("Let a staff member take part.", schema=of(SessionView), problems=(404, 409), takes=Takes(Joining)),
)
async def add_participant(
    session_id: str,
    call: Annotated[Call, by("session.join", MEMBER, STAFF, SERVICE)],
    given: Annotated[Posted[Joining], posted(Joining)],
) -> Response:
    sessions = call.platform.sessions

    def command(tx: Tx) -> SessionView:
        owner = call.platform.rights.require_keeper(tx, call.identity, sessions.owner(tx, session_id))
        sessions.require_open(tx, session_id)
        joining = _participant(tx, given.body.staff_id, "/staff_id")
        view = sessions.join(tx, session_id, joining.staff_id, joining.role)
        call.allowed(tx, owner, session_id, about=f"staff {joining.staff_id}")
        return view

    return answer(await call.run(command, await call.timeline_of(sessions.owner, session_id)))


def _ended_their_part(tx: Tx, call: Call, session_id: str) -> bool:
    """Whether this staff member ended the session and took part in it. Others keep their right when it ends, and a ``sub``
    alone says too little: tokens for two persons may share it."""
    sessions, who = call.platform.sessions, call.identity
    if not isinstance(who, StaffIdentity) or sessions.ended_by(tx, session_id) != who.subject:
        return False
    view = sessions.view(tx, session_id, tx.now)
    return view is not None and any(
        each.id == who.staff_id and each.role is not AssigneeRole.MEMBER for each in view.participants
    )


def _asked_of(member_id: str, digest: bytes) -> bytes:
    """The digest of a body together with the member it is about, whom a member's body does not name but their token: under one
    key a ``sub`` with tokens for two members has not asked twice for the same."""
    return hashlib.sha256(digest + member_id.encode()).digest()


def _member_id(identity: Identity, body: SessionToOpen) -> str:
    """Whose session it is to be; that a member named another's id is answered like a missing one."""
    if isinstance(identity, MemberIdentity):
        if body.member_id not in {None, identity.member_id}:
            raise NotYours("/member_id", NOT_A_MEMBER)
        if body.participants:
            raise Invalid(FieldProblem("/participants", "is for staff and services"))
        return identity.member_id
    if body.member_id is None:
        raise Invalid(FieldProblem("/member_id", "is required"))
    return body.member_id


def _new_session(tx: Tx, call: Call, member_id: str, body: SessionToOpen) -> NewSession:
    return NewSession(
        member_id=member_id,
        account_id=_account_id(tx, call, member_id),
        initiator_id=call.identity.actor_id,
        type=body.type,
        channel=body.channel,
        intent=body.intent,
        metadata=body.metadata,
        device_id=body.device_id,
        participants=_participants(tx, call.identity, body),
    )


def _account_id(tx: Tx, call: Call, member_id: str) -> str | None:
    """Whom requests of the session are about unless they say otherwise: the member's own account."""
    if isinstance(call.identity, MemberIdentity):
        return next(iter(call.accounts(tx, member_id)), None)
    member = directory.member(tx, member_id)
    if member is None:
        raise NotYours("/member_id", NOT_A_MEMBER)
    return next(iter(member.account_ids), None)


def _participants(tx: Tx, identity: Identity, body: SessionToOpen) -> tuple[NewParticipant, ...]:
    """Those named, and the staff member who opens it, each once."""
    named = [_participant(tx, staff_id, f"/participants/{place}") for place, staff_id in enumerate(body.participants or ())]
    if isinstance(identity, StaffIdentity):
        named.insert(0, NewParticipant(identity.staff_id, _role(max(identity.roles))))
    return tuple({each.staff_id: each for each in reversed(named)}.values())[::-1]


def _participant(tx: Tx, staff_id: str, pointer: str) -> NewParticipant:
    staff = directory.staff(tx, staff_id)
    if staff is None:
        raise Invalid(FieldProblem(pointer, "is no staff member"))
    return NewParticipant(staff_id, _role(staff.role))


def _role(role: str) -> AssigneeRole:
    return AssigneeRole(role.upper())


def _found(view: Any) -> Response:
    if view is None:
        raise NothingOpen
    return answer(view)
