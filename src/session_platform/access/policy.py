"""The one policy, as a table: which role may do which call, and how it must stand to the member whose things it touches. Pure.

Two questions. May this role use the call at all? If not, the answer is `Verdict.FORBIDDEN` (403; a gateway has no such code and
answers as for the next). Does it stand to the member as the call's `Deed` wants? If not, `Verdict.MISSING`: foreign and missing
alike. A filter, a cursor or a page of a list chooses among what this grants and can never widen it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple

from session_platform.access.identity import AdminIdentity, Identity, MemberIdentity, ServiceIdentity, StaffIdentity, StaffRole


class Role(Enum):
    """What a token is; staff's may say both roles."""

    MEMBER = "member"
    CARE_TEAM = "care_team"
    CLINICIAN = "clinician"
    SERVICE = "service"
    ADMIN = "admin"


class Standing(Enum):
    """How somebody stands to a member. The three care relationships (participant of an open session, assignee of an open task,
    on the panel) give the same and are one here; none of them begins by using the right it would give."""

    OWN = "own"
    CARE = "care"
    BREAK_GLASS = "break_glass"
    NONE = "none"


class Deed(Enum):
    """What a call does with a member's things."""

    READ = "reads what carries the member id"
    FOLLOW = "receives the member's events as they happen"
    ACT = "acts for the member"
    KEEP = "opens, keeps alive and ends sessions, and lets staff take part in them"
    OWN_LIST = "lists what the caller itself takes part in or may claim; the query is the right"
    SEE_TASK = "reads a task: as READ, its row of the queue where the caller may claim it, a service a system's"
    CLAIM = "takes on a task that is offered to the caller's role; the task is the right"
    WORK = "moves a task: its assignee, or a service where the executor is a system; the task is the right"
    PUBLISH = "publishes events, of any member"
    OPERATE = "operates the platform"
    NOTHING = "touches nothing of any member"


class Verdict(Enum):
    ALLOWED = "allowed"
    MISSING = "forbidden_or_missing"
    FORBIDDEN = "forbidden"


class Rule(NamedTuple):
    """Who may use a call, and what it does."""

    roles: frozenset[Role]
    deed: Deed


STAFF: Final = frozenset({Role.CARE_TEAM, Role.CLINICIAN})
PERSONS: Final = STAFF | {Role.MEMBER}
ANYBODY: Final = frozenset(Role)
_SERVICE: Final = frozenset({Role.SERVICE})
_ADMIN: Final = frozenset({Role.ADMIN})

_RELATED: Final = frozenset({(Role.MEMBER, Standing.OWN), *((role, Standing.CARE) for role in STAFF)})
_EVERY_SERVICE: Final = frozenset((Role.SERVICE, standing) for standing in Standing)
_GLASS: Final = frozenset({(Role.CLINICIAN, Standing.BREAK_GLASS)})

_GRANTED: Final[Mapping[Deed, frozenset[tuple[Role, Standing]]]] = {
    Deed.READ: _RELATED | _GLASS,
    Deed.FOLLOW: _RELATED | _GLASS,
    Deed.ACT: _RELATED,
    Deed.KEEP: _RELATED | _EVERY_SERVICE,
}
"""For the deeds that depend on how one stands to the member: what is granted. Of the others the roles of the call decide, and
the thing itself (whose task it is) where the deed says so."""


def may(role: Role, standing: Standing, deed: Deed) -> bool:
    """Whether ``role`` may do ``deed`` to a member it stands to like that."""
    granted = _GRANTED.get(deed)
    return granted is None or (role, standing) in granted


def role_of(identity: Identity) -> Role:
    """What the token is. Of both staff roles, the wider one."""
    match identity:
        case MemberIdentity():
            return Role.MEMBER
        case StaffIdentity():
            return Role.CLINICIAN if StaffRole.CLINICIAN in identity.roles else Role.CARE_TEAM
        case ServiceIdentity():
            return Role.SERVICE
        case AdminIdentity():
            return Role.ADMIN


def verdict(role: Role, standing: Standing, call: str) -> Verdict:
    """What ``call`` (a key of `CALLS`) answers a ``role`` that stands like that to the member it is about."""
    rule = CALLS[call]
    if role not in rule.roles:
        return Verdict.FORBIDDEN
    return Verdict.ALLOWED if may(role, standing, rule.deed) else Verdict.MISSING


_KEEPERS: Final = PERSONS | _SERVICE

CALLS: Final[Mapping[str, Rule]] = {
    # REST, as the routes are declared (`api.call.by` names the same kinds; a test walks all of them).
    "POST /v1/sessions": Rule(_KEEPERS, Deed.KEEP),
    "GET /v1/sessions/active": Rule(PERSONS, Deed.OWN_LIST),
    "GET /v1/sessions/{session_id}": Rule(PERSONS, Deed.READ),
    "POST /v1/sessions/{session_id}/heartbeat": Rule(_KEEPERS, Deed.KEEP),
    "POST /v1/sessions/{session_id}/end": Rule(_KEEPERS, Deed.KEEP),
    "POST /v1/sessions/{session_id}/participants": Rule(_KEEPERS, Deed.KEEP),
    "POST /v1/sessions/{session_id}/service-requests": Rule(PERSONS, Deed.ACT),
    "GET /v1/service-requests/{service_request_id}": Rule(PERSONS, Deed.READ),
    "GET /v1/service-requests/{service_request_id}/result": Rule(PERSONS, Deed.READ),
    "POST /v1/service-requests/{service_request_id}/cancel": Rule(PERSONS, Deed.ACT),
    "GET /v1/members/{member_id}/sessions/active": Rule(PERSONS, Deed.READ),
    "GET /v1/members/{member_id}/context": Rule(PERSONS, Deed.READ),
    "GET /v1/members/{member_id}/coverage": Rule(PERSONS, Deed.READ),
    "GET /v1/members/{member_id}/tasks": Rule(PERSONS, Deed.READ),
    "GET /v1/coverages/{coverage_id}": Rule(PERSONS, Deed.READ),
    "GET /v1/tasks": Rule(PERSONS | _SERVICE, Deed.OWN_LIST),
    "GET /v1/tasks/{task_id}": Rule(PERSONS | _SERVICE, Deed.SEE_TASK),
    "POST /v1/tasks/{task_id}/claim": Rule(STAFF, Deed.CLAIM),
    "POST /v1/tasks/{task_id}/start": Rule(_KEEPERS, Deed.WORK),
    "POST /v1/tasks/{task_id}/complete": Rule(_KEEPERS, Deed.WORK),
    "POST /v1/tasks/{task_id}/release": Rule(_KEEPERS, Deed.WORK),
    "GET /v1/services": Rule(ANYBODY, Deed.NOTHING),
    "GET /v1/flags": Rule(ANYBODY, Deed.NOTHING),
    "POST /v1/events": Rule(_SERVICE, Deed.PUBLISH),
    "GET /v1/audit": Rule(_ADMIN, Deed.OPERATE),
    "POST /v1/admin/members/{member_id}/disconnect": Rule(_ADMIN, Deed.OPERATE),
    "POST /v1/admin/tokens/revoke": Rule(_ADMIN, Deed.OPERATE),
    "PUT /v1/admin/staff/{staff_id}/panel/{member_id}": Rule(_ADMIN, Deed.OPERATE),
    "DELETE /v1/admin/staff/{staff_id}/panel/{member_id}": Rule(_ADMIN, Deed.OPERATE),
    # The gateway's frames. Anybody may connect; who may follow nobody is refused each subscribe.
    "connect": Rule(ANYBODY, Deed.NOTHING),
    "subscribe": Rule(ANYBODY, Deed.FOLLOW),
    "unsubscribe": Rule(ANYBODY, Deed.NOTHING),
    "ack": Rule(ANYBODY, Deed.NOTHING),
    "heartbeat": Rule(ANYBODY, Deed.KEEP),
    "refresh": Rule(ANYBODY, Deed.NOTHING),
    "ping": Rule(ANYBODY, Deed.NOTHING),
}
