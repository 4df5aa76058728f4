"""One authenticated request: who asks for what, the store as they may use it, and the record that they did."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Depends, Request
from starlette.responses import Response

from session_platform.access import AdminIdentity, Identity, MemberIdentity, ServiceIdentity, StaffIdentity, audit
from session_platform.api.platform import Platform
from session_platform.errors import FieldProblem, Forbidden, ForbiddenOrMissing, Invalid, Unauthenticated
from session_platform.store import Reader, Tx

R = TypeVar("R")
Kind = type[MemberIdentity] | type[StaffIdentity] | type[ServiceIdentity] | type[AdminIdentity]

MEMBER: Final = MemberIdentity
STAFF: Final = StaffIdentity
SERVICE: Final = ServiceIdentity
ADMIN: Final = AdminIdentity

ID_MAX_CHARS: Final = 256

_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_encoder: Final = msgspec.json.Encoder()


class NothingOpen(ForbiddenOrMissing):
    """The caller asked for their own and there is none just now: answered like any missing thing, but nothing was refused."""


class NotYours(Invalid):
    """A body names what is foreign or missing, alike: a refusal of rights, for all that it is answered like any bad field."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(FieldProblem(pointer, detail))


@dataclass(frozen=True, slots=True)
class Call:
    """``action`` is what the audit calls it; ``named`` are the ids in its path, whether there are such things or not; ``keys``
    the ``Idempotency-Key`` headers, unchecked."""

    platform: Platform
    identity: Identity
    action: str
    method: str
    path: str
    named: Mapping[str, str]
    keys: tuple[str, ...]
    traceparent: str

    async def read(self, query: Callable[[Reader], R]) -> R:
        """Run ``query`` on one snapshot. Raises `Unavailable`."""
        return await self.platform.store.read(query)

    async def run(self, command: Callable[[Tx], R], *timelines: str) -> R:
        """Run ``command`` in a transaction whose events carry this request's trace. Raises `Unavailable`."""
        return await self.platform.store.run(command, *timelines, traceparent=self.traceparent)

    async def timeline_of(self, owner: Callable[[Reader, str], str | None], thing_id: str) -> str:
        """The timeline that a command upon ``thing_id`` must lock; whether it is theirs, the command checks under that lock.

        A member's own is the only one they can mean. Raises `ForbiddenOrMissing` when there is no such thing.
        """
        if isinstance(self.identity, MemberIdentity):
            return self.identity.member_id
        member_id = await self.read(lambda reader: owner(reader, thing_id))
        if member_id is None:
            raise ForbiddenOrMissing
        return member_id

    def reach(self, reader: Reader, member_id: str | None) -> str:
        """``member_id``, if the caller may read and act for that member. Raises `ForbiddenOrMissing`."""
        return self.platform.rights.require_member(reader, self.identity, member_id)

    def accounts(self, reader: Reader, member_id: str) -> tuple[str, ...]:
        """The member's accounts whose coverage and results the caller may read."""
        return self.platform.rights.readable_accounts(reader, self.identity, member_id)

    def allowed(self, tx: Tx, member_id: str, session_id: str | None = None) -> None:
        """Record in ``tx`` that the caller did this."""
        self._record(tx, "allowed", member_id, session_id, None)

    async def note(self, member_id: str, session_id: str | None = None) -> None:
        """Record that the caller read this; what was read may leave only afterwards."""
        await self.run(lambda tx: self.allowed(tx, member_id, session_id))

    async def refused(self, code: str) -> None:
        """Record that the caller was refused what the path names."""
        member_id, session_id = self._named("member_id"), self._named("session_id")
        await self.run(lambda tx: self._record(tx, "refused", member_id, session_id, code))

    def _named(self, parameter: str) -> str | None:
        """An id as the path has it, unless it is longer than any id: a record is no place for whatever somebody sends."""
        given = self.named.get(parameter)
        return given if given is not None and len(given) <= ID_MAX_CHARS else None

    def _record(
        self, tx: Tx, outcome: audit.Outcome, member_id: str | None, session_id: str | None, reason: str | None
    ) -> None:
        audit.record(
            tx,
            actor=self.identity.subject,
            action=self.action,
            outcome=outcome,
            member_id=member_id,
            session_id=session_id,
            reason=reason,
        )


def by(action: str, *kinds: Kind) -> Any:
    """The dependency that authenticates a request for ``action``, which only ``kinds`` may do.

    Raises `Unauthenticated`, `Forbidden`, and `Unavailable` while there are no keys to verify tokens with.
    """

    async def authenticate(request: Request) -> Call:
        platform: Platform = request.app.state.platform
        identity = await platform.verifier.authenticate(_bearer(request), platform.clock.now())
        call = Call(
            platform=platform,
            identity=identity,
            action=action,
            method=request.method,
            path=request.url.path,
            named=request.path_params,
            keys=tuple(request.headers.getlist("idempotency-key")),
            traceparent=_traceparent(request),
        )
        request.state.call = call
        if not isinstance(identity, kinds):
            raise Forbidden
        return call

    return Depends(authenticate)


def answer(body: Any, status: int = 200, **more: str) -> Response:
    """``body`` as JSON, with ``more`` text fields behind its own."""
    return Response(encode(body, **more), status, media_type="application/json")


def encode(body: Any, **more: str) -> bytes:
    """As `answer`, the bytes alone; ``body`` is a struct with at least one field when there is ``more``."""
    encoded = _encoder.encode(body)
    return encoded if not more else b"".join((encoded[:-1], b",", _encoder.encode(more)[1:]))


def _bearer(request: Request) -> str:
    values = request.headers.getlist("authorization")
    scheme, _, token = (values[0] if len(values) == 1 else "").partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated
    return token.strip()


def _traceparent(request: Request) -> str:
    """The caller's trace when it is a W3C one, else a new one."""
    given = request.headers.get("traceparent", "")
    if _TRACEPARENT.fullmatch(given):
        return given
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
