"""The policy over its whole product: role × relation × call, against a second telling of the wire contract's section 2."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from session_platform.access import AdminIdentity, Identity, MemberIdentity, Rights, ServiceIdentity, StaffIdentity, StaffRole
from session_platform.access.glass import break_glass
from session_platform.access.policy import CALLS, Deed, Role, Standing, Verdict, may, role_of, verdict
from session_platform.clock import ManualClock
from session_platform.store import Reader, Tx
from session_platform.store.sqlite import SqliteStore

ALLOWED, MISSING, FORBIDDEN = Verdict.ALLOWED, Verdict.MISSING, Verdict.FORBIDDEN

READS = """
GET /v1/sessions/{session_id}
GET /v1/service-requests/{service_request_id}
GET /v1/service-requests/{service_request_id}/result
GET /v1/members/{member_id}/sessions/active
GET /v1/members/{member_id}/context
GET /v1/members/{member_id}/coverage
GET /v1/members/{member_id}/tasks
GET /v1/coverages/{coverage_id}
"""
ACTS = """
POST /v1/sessions/{session_id}/service-requests
POST /v1/service-requests/{service_request_id}/cancel
"""
KEEPS = """
POST /v1/sessions
POST /v1/sessions/{session_id}/heartbeat
POST /v1/sessions/{session_id}/end
POST /v1/sessions/{session_id}/participants
"""
ADMINS = """
GET /v1/audit
POST /v1/admin/members/{member_id}/disconnect
POST /v1/admin/tokens/revoke
PUT /v1/admin/staff/{staff_id}/panel/{member_id}
DELETE /v1/admin/staff/{staff_id}/panel/{member_id}
"""
ANYBODYS = """
GET /v1/services
GET /v1/flags
connect
unsubscribe
ack
refresh
ping
"""


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


PERSONS = frozenset({Role.MEMBER, Role.CARE_TEAM, Role.CLINICIAN})
ANYBODY = frozenset(Role)
ROLES: dict[str, frozenset[Role]] = {
    **dict.fromkeys(lines(READS + ACTS), PERSONS),
    **dict.fromkeys(lines(KEEPS), PERSONS | frozenset({Role.SERVICE})),
    **dict.fromkeys(lines(ADMINS), frozenset({Role.ADMIN})),
    **dict.fromkeys(lines(ANYBODYS), ANYBODY),
    "subscribe": ANYBODY,
    "heartbeat": ANYBODY,
    "POST /v1/events": frozenset({Role.SERVICE}),
    # Whose session or task it is decides about these, and the rooms that know that test it.
    "GET /v1/sessions/active": PERSONS,
    "GET /v1/tasks": PERSONS | frozenset({Role.SERVICE}),
    "GET /v1/tasks/{task_id}": PERSONS | frozenset({Role.SERVICE}),
    "POST /v1/tasks/{task_id}/claim": frozenset({Role.CARE_TEAM, Role.CLINICIAN}),
    "POST /v1/tasks/{task_id}/start": PERSONS | frozenset({Role.SERVICE}),
    "POST /v1/tasks/{task_id}/complete": PERSONS | frozenset({Role.SERVICE}),
    "POST /v1/tasks/{task_id}/release": PERSONS | frozenset({Role.SERVICE}),
}


def told(role: Role, standing: Standing, call: str) -> Verdict:
    """The contract in words, once more: what a call answers."""
    related = (role, standing) in {
        (Role.MEMBER, Standing.OWN),
        (Role.CARE_TEAM, Standing.CARE),
        (Role.CLINICIAN, Standing.CARE),
    }
    through_glass = (role, standing) == (Role.CLINICIAN, Standing.BREAK_GLASS)
    reaches = True
    if call in {"subscribe", *lines(READS)}:
        reaches = related or through_glass
    elif call in lines(ACTS):
        reaches = related
    elif call in {"heartbeat", *lines(KEEPS)}:
        reaches = related or role is Role.SERVICE
    return FORBIDDEN if role not in ROLES[call] else ALLOWED if reaches else MISSING


def test_the_contract_is_told_of_every_call() -> None:
    assert ROLES.keys() == CALLS.keys()


@pytest.mark.parametrize("call", sorted(CALLS))
def test_every_role_in_every_relation_is_answered_as_the_contract_says(call: str) -> None:
    answers = {(role, standing): verdict(role, standing, call) for role, standing in product(Role, Standing)}
    assert answers == {(role, standing): told(role, standing, call) for role, standing in product(Role, Standing)}


def test_nothing_but_reading_is_done_through_the_glass_and_by_clinicians_alone() -> None:
    through = {(role, deed) for role, deed in product(Role, Deed) if may(role, Standing.BREAK_GLASS, deed)}
    plain = {(role, deed) for role, deed in product(Role, Deed) if may(role, Standing.NONE, deed)}
    assert through - plain == {(Role.CLINICIAN, Deed.READ), (Role.CLINICIAN, Deed.FOLLOW)}


def test_no_standing_gives_a_service_or_an_admin_a_members_data() -> None:
    for standing, deed in product(Standing, (Deed.READ, Deed.FOLLOW, Deed.ACT)):
        assert not may(Role.SERVICE, standing, deed)
        assert not may(Role.ADMIN, standing, deed)


# -------------------------------------------------------------------------------------------------------- on real people

RELATIONS = ("participant", "assignee", "panel")
_RELATED = "SELECT 1 FROM panel WHERE staff_id = :staff_id AND member_id = :member_id"


def relation(kind: str) -> Any:
    """A relation that holds where the store says so."""

    def holds(reader: Reader, staff_id: str, member_id: str) -> bool:
        return reader.one(_RELATED, staff_id=f"{kind} {staff_id}", member_id=member_id) is not None

    return holds


RIGHTS = Rights([relation(kind) for kind in RELATIONS], lambda _, __: ("A1",))
WHEN = ManualClock().now()
COMMON: dict[str, Any] = {"subject": "s", "issued_at": WHEN, "expires_at": WHEN + timedelta(hours=8)}
WHO: dict[str, Identity] = {
    "owner": MemberIdentity(**COMMON, member_id="M1", account_ids=("A1",)),
    "stranger": MemberIdentity(**COMMON, member_id="M2", account_ids=("A1",)),
    "care_team": StaffIdentity(**COMMON, staff_id="C1", name="D", roles=frozenset({StaffRole.CARE_TEAM})),
    "clinician": StaffIdentity(**COMMON, staff_id="C1", name="D", roles=frozenset({StaffRole.CLINICIAN})),
    "both": StaffIdentity(**COMMON, staff_id="C1", name="D", roles=frozenset(StaffRole)),
    "service": ServiceIdentity(**COMMON),
    "admin": AdminIdentity(**COMMON),
}
HELD = (*RELATIONS, "glass", "none")


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("who", sorted(WHO))
async def test_what_holds_in_the_store_becomes_the_standing_of_the_table(
    store: SqliteStore, clock: ManualClock, who: str, held: str
) -> None:
    identity = WHO[who]
    staff = isinstance(identity, StaffIdentity)
    clinician = role_of(identity) is Role.CLINICIAN

    def command(tx: Tx) -> None:
        if held in RELATIONS:
            tx.execute("INSERT INTO panel (staff_id, member_id) VALUES (:staff_id, 'M1')", staff_id=f"{held} C1")
        if held == "glass":
            break_glass(tx, WHO["clinician"], "M1", "emergency")

    await store.run(command)
    acts = who == "owner" or (staff and held in RELATIONS)
    reads = acts or (clinician and held == "glass")
    keeps = acts or who == "service"

    def query(reader: Reader) -> tuple[bool, bool, bool, int, int]:
        return (
            RIGHTS.may_act(reader, identity, "M1"),
            RIGHTS.may_read(reader, identity, "M1", clock.now()),
            RIGHTS.may_keep(reader, identity, "M1"),
            len(RIGHTS.readable_accounts(reader, identity, "M1")),
            len(RIGHTS.readable_accounts(reader, identity, "M1", clock.now())),
        )

    assert await store.read(query) == (acts, reads, keeps, int(acts), int(reads))
