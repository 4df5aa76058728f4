"""One authenticated request: who asks for what, the store as they may use it, and the record that they did."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec
from fastapi import Depends, Request
from starlette.responses import Response

from session_platform.access import (
    AdminIdentity,
    Identity,
    MemberIdentity,
    ServiceIdentity,
    StaffIdentity,
    audit,
    break_glass,
)
from session_platform.access.glass import ACTION as THROUGH_GLASS
from session_platform.access.glass import may_break_glass
from session_platform.api.glass import GLASS_HEADER, Glass, GlassFirst, glass_of, spoken
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
    the ``Idempotency-Key`` headers, unchecked; ``glass`` is there when a clinician gave a reason to break it; ``reasons`` are
    the ``Break-Glass-Reason`` headers of whoever asks, unchecked."""

    platform: Platform
    identity: Identity
    action: str
    method: str
    path: str
    named: Mapping[str, str]
    keys: tuple[str, ...]
    traceparent: str
    glass: Glass | None = None
    reasons: tuple[str, ...] = ()

    async def read(self, query: Callable[[Reader], R]) -> R:
        """Run ``query`` on one snapshot. Raises `Unavailable`.

        Where the caller gave a reason to break the glass, that happens, on record, before ``query`` sees anything of the member
        whose things it turns out to read.
        """
        while True:
            try:
                return await self.platform.store.read(query)
            except GlassFirst as first:
                await self._break_glass(first)

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

    @property
    def reads(self) -> bool:
        """Whether it only reads: then who broke the glass may, too."""
        return self.method == "GET"

    def reach(self, reader: Reader, member_id: str | None) -> str:
        """``member_id``, if the caller may do with that member's things what this call does. Raises `ForbiddenOrMissing`."""
        if not self.reads:
            return self.platform.rights.require_member(reader, self.identity, member_id)
        self._through_glass(reader, member_id)
        return self.platform.rights.require_reader(reader, self.identity, member_id, self.platform.clock.now())

    def accounts(self, reader: Reader, member_id: str) -> tuple[str, ...]:
        """The member's accounts whose coverage and results the caller may read."""
        self._through_glass(reader, member_id)
        now = self.platform.clock.now() if self.reads else None
        return self.platform.rights.readable_accounts(reader, self.identity, member_id, now)

    def allowed(self, tx: Tx, member_id: str | None = None, session_id: str | None = None, *, about: str | None = None) -> None:
        """Record in ``tx`` that the caller did this; ``about``: to what, where that is neither a member nor a session."""
        self._record(tx, "allowed", member_id, session_id, about)

    async def note(self, member_id: str, session_id: str | None = None) -> None:
        """Record that the caller read this (for ``break_glass``, if nothing else gave the right); what was read may leave only
        afterwards."""

        def command(tx: Tx) -> None:
            rights = self.platform.rights
            staff = isinstance(self.identity, StaffIdentity)
            glass = staff and not rights.may_act(tx, self.identity, member_id)
            glass = glass and rights.may_read(tx, self.identity, member_id, tx.now)
            self._record(tx, "allowed", member_id, session_id, THROUGH_GLASS if glass else None)

        await self.run(command)

    async def refused(self, code: str) -> None:
        """Record that the caller was refused what the path names, with the ``code``; and, where they asked for that, that the
        glass was not broken, with the reason they gave."""
        member_id, session_id = self._named("member_id"), self._named("session_id")

        def command(tx: Tx) -> None:
            if self._glass_refused:
                reason = spoken(self.reasons) or code
                self._record(tx, "refused", member_id, session_id, reason, action=THROUGH_GLASS)
            self._record(tx, "refused", member_id, session_id, code)

        await self.run(command)

    @property
    def _glass_refused(self) -> bool:
        """Whether a refusal of this call also is one of breaking the glass. A clinician's reason on an act asks for nothing."""
        if not self.reasons or not may_break_glass(self.identity):
            return bool(self.reasons)
        return self.reads and not (self.glass is not None and self.glass.broken)

    def _through_glass(self, reader: Reader, member_id: str | None) -> None:
        """Stop a read until the glass is broken, if the caller asks for that and there is such a member."""
        asked = self.glass is not None and self.reads and member_id is not None and member_id not in self.glass.broken
        if asked and member_id is not None and self.platform.rights.knows(reader, member_id):
            raise GlassFirst(member_id)

    async def _break_glass(self, first: GlassFirst) -> None:
        assert self.glass is not None
        reason = self.glass.reason
        await self.run(lambda tx: break_glass(tx, self.identity, first.member_id, reason))
        self.glass.broken.add(first.member_id)

    def _named(self, parameter: str) -> str | None:
        """An id as the path has it, unless it is longer than any id: a record is no place for whatever somebody sends."""
        given = self.named.get(parameter)
        return given if given is not None and len(given) <= ID_MAX_CHARS else None

    def _record(
        self,
        tx: Tx,
        outcome: audit.Outcome,
        member_id: str | None,
        session_id: str | None,
        reason: str | None,
        *,
        action: str | None = None,
    ) -> None:
        audit.record(
            tx,
            actor=self.identity.subject,
            action=action or self.action,
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
            traceparent=request.state.traceparent,
            reasons=tuple(request.headers.getlist(GLASS_HEADER)),
        )
        request.state.call = call
        if not isinstance(identity, kinds):
            raise Forbidden
        return _with_glass(request, call)

    return Depends(authenticate)


def _with_glass(request: Request, call: Call) -> Call:
    """``call`` with the reason in its header, if there is one. Raises `Forbidden` for who is no clinician, `Invalid`."""
    if not call.reasons:
        return call
    if not may_break_glass(call.identity):
        raise Forbidden("Only clinicians may break the glass.")
    reading = replace(call, glass=glass_of(call.reasons))
    request.state.call = reading
    return reading


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
