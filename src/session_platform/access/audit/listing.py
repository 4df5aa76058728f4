"""The audit as an operator looks through it: newest first, filtered, in pages that stay put while new records come."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from msgspec import Struct

from session_platform.clock import from_micros, to_micros
from session_platform.store import Reader, Value

_NEWEST: Final = 2**63 - 1
_LATEST_US: Final = 2**62

# One statement a way in: whose records, by whom, or all of them, each along an index; the other filters apply on the way.
_OF_MEMBER: Final = """
SELECT id, audit_id, at, actor, action, member_id, session_id, outcome, reason FROM audit
WHERE member_id = :member_id AND id <= :newest AND (:actor = '' OR actor = :actor) AND (:action = '' OR action = :action)
    AND at >= :since AND at < :until
ORDER BY id DESC LIMIT :limit
"""
_BY_ACTOR: Final = """
SELECT id, audit_id, at, actor, action, member_id, session_id, outcome, reason FROM audit
WHERE actor = :actor AND id <= :newest AND (:action = '' OR action = :action) AND at >= :since AND at < :until
ORDER BY id DESC LIMIT :limit
"""
_ALL: Final = """
SELECT id, audit_id, at, actor, action, member_id, session_id, outcome, reason FROM audit
WHERE id <= :newest AND (:action = '' OR action = :action) AND at >= :since AND at < :until
ORDER BY id DESC LIMIT :limit
"""


class AuditRecord(Struct, frozen=True, kw_only=True):
    """Who (``actor``, the token's ``sub``) did or read what of whom and when, or was refused. ``reason``: the code of a
    refusal, what a person gave as a reason, or whom an operator's act was about."""

    audit_id: str
    at: datetime
    actor: str
    action: str
    member_id: str | None
    session_id: str | None
    outcome: str
    reason: str | None


class Wanted(NamedTuple):
    """Which records: each filter that is set must fit. ``since`` is inclusive, ``until`` exclusive."""

    member_id: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Listed(NamedTuple):
    """A record, and the number behind which a next page goes on."""

    number: int
    record: AuditRecord


def listed(reader: Reader, wanted: Wanted, limit: int, before: int | None = None) -> list[Listed]:
    """At most ``limit`` records numbered below ``before``, the newest first."""
    bounds: dict[str, Value] = {
        "newest": _NEWEST if before is None else before - 1,
        "action": wanted.action or "",
        "since": 0 if wanted.since is None else to_micros(wanted.since),
        "until": _LATEST_US if wanted.until is None else to_micros(wanted.until),
        "limit": limit,
    }
    if wanted.member_id is not None:
        rows = reader.all(_OF_MEMBER, member_id=wanted.member_id, actor=wanted.actor or "", **bounds)
    elif wanted.actor is not None:
        rows = reader.all(_BY_ACTOR, actor=wanted.actor, **bounds)
    else:
        rows = reader.all(_ALL, **bounds)
    return [Listed(number, _record(*fields)) for number, *fields in rows]


def _record(  # noqa: PLR0913, PLR0917 (an audit record is that wide)
    audit_id: str,
    at_us: int,
    actor: str,
    action: str,
    member_id: str | None,
    session_id: str | None,
    outcome: str,
    reason: str | None,
) -> AuditRecord:
    return AuditRecord(
        audit_id=audit_id,
        at=from_micros(at_us),
        actor=actor,
        action=action,
        member_id=member_id,
        session_id=session_id,
        outcome=outcome,
        reason=reason,
    )
