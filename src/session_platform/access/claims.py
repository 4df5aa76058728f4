"""From a token's verified claims to who asks: the rules of the wire contract, pure.

A token is of one kind, and carries what that kind needs and nothing that belongs to another. ``exp`` has no leeway; ``iat`` and
``nbf`` may lie `CLOCK_SKEW_S` ahead, because issuers' clocks do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from session_platform.access.identity import AdminIdentity, Identity, MemberIdentity, ServiceIdentity, StaffIdentity, StaffRole
from session_platform.errors import Unauthenticated

AUDIENCE: Final = "digital-session"
CLOCK_SKEW_S: Final = 60

# Ids end up in keys, paths and logs of other systems: no control characters, no unbounded length.
Identifier = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+\Z")]


class Claims(Struct, frozen=True):
    """What is read of a token; other claims are the issuer's business. Times are seconds since 1970, UTC."""

    sub: Identifier
    exp: int | float
    iat: int | float
    iss: Identifier
    aud: Annotated[str, Meta(max_length=1024)] | Annotated[list[str], Meta(max_length=64)]
    roles: Annotated[list[str], Meta(min_length=1, max_length=8)]
    nbf: int | float | None = None
    jti: Identifier | None = None
    member_id: Identifier | None = None
    account_ids: Annotated[list[Identifier], Meta(max_length=256)] | None = None
    staff_id: Identifier | None = None
    name: Identifier | None = None
    specialities: Annotated[list[Identifier], Meta(max_length=64)] | None = None


_decoder: Final = msgspec.json.Decoder(Claims)


def identity_from(payload: bytes, now: datetime, issuers: Collection[str]) -> Identity:
    """Who the claims name. ``issuers`` empty accepts any. Raises `Unauthenticated`, which never says what was in the token."""
    try:
        claims = _decoder.decode(payload)
        issued_at, expires_at, valid_from = _moment(claims.iat), _moment(claims.exp), _moment(claims.nbf or claims.iat)
    except (ValueError, OverflowError, OSError, RecursionError):
        raise Unauthenticated from None
    ahead = now + timedelta(seconds=CLOCK_SKEW_S)
    audience = (claims.aud,) if isinstance(claims.aud, str) else claims.aud
    if now >= expires_at or issued_at > ahead or valid_from > ahead:
        raise Unauthenticated
    if AUDIENCE not in audience or (issuers and claims.iss not in issuers):
        raise Unauthenticated
    return _of_kind(claims, issued_at, expires_at)


def _of_kind(claims: Claims, issued_at: datetime, expires_at: datetime) -> Identity:
    make = _KINDS.get(frozenset(claims.roles))
    if make is None:
        raise Unauthenticated
    return make(claims, issued_at, expires_at)


def _member(claims: Claims, issued_at: datetime, expires_at: datetime) -> Identity:
    if claims.member_id is None or claims.account_ids is None or claims.staff_id or claims.specialities:
        raise Unauthenticated
    return MemberIdentity(
        subject=claims.sub,
        issued_at=issued_at,
        expires_at=expires_at,
        token_id=claims.jti,
        member_id=claims.member_id,
        account_ids=tuple(dict.fromkeys(claims.account_ids)),
    )


def _staff(claims: Claims, issued_at: datetime, expires_at: datetime) -> Identity:
    if claims.staff_id is None or claims.name is None or claims.member_id or claims.account_ids:
        raise Unauthenticated
    return StaffIdentity(
        subject=claims.sub,
        issued_at=issued_at,
        expires_at=expires_at,
        token_id=claims.jti,
        staff_id=claims.staff_id,
        name=claims.name,
        roles=frozenset(StaffRole(role) for role in claims.roles),
        specialities=frozenset(claims.specialities or ()),
    )


def _service(claims: Claims, issued_at: datetime, expires_at: datetime) -> Identity:
    _refuse_persons(claims)
    return ServiceIdentity(subject=claims.sub, issued_at=issued_at, expires_at=expires_at, token_id=claims.jti)


def _admin(claims: Claims, issued_at: datetime, expires_at: datetime) -> Identity:
    _refuse_persons(claims)
    return AdminIdentity(subject=claims.sub, issued_at=issued_at, expires_at=expires_at, token_id=claims.jti)


def _refuse_persons(claims: Claims) -> None:
    if claims.member_id or claims.account_ids or claims.staff_id or claims.specialities:
        raise Unauthenticated


_KINDS: Final[Mapping[frozenset[str], Callable[[Claims, datetime, datetime], Identity]]] = {
    frozenset({"member"}): _member,
    frozenset({"care_team"}): _staff,
    frozenset({"clinician"}): _staff,
    frozenset({"care_team", "clinician"}): _staff,
    frozenset({"service"}): _service,
    frozenset({"admin"}): _admin,
}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
