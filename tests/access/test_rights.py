"""Rights as a table: who reaches what of whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from session_platform.access import AdminIdentity, Identity, MemberIdentity, Rights, ServiceIdentity, StaffIdentity, StaffRole
from session_platform.errors import ForbiddenOrMissing
from session_platform.store import Reader, Row, Value
from tests.access.issuer import NOW

WHEN: dict[str, Any] = {"subject": "s", "issued_at": NOW, "expires_at": NOW + timedelta(hours=1)}
OWNER = MemberIdentity(**WHEN, member_id="M1", account_ids=("A9", "A2", "A1"))
NARROW = MemberIdentity(**WHEN, member_id="M1", account_ids=("A2",))
STRANGER = MemberIdentity(**WHEN, member_id="M2", account_ids=("A1", "A2", "A3"))
CARER = StaffIdentity(**WHEN, staff_id="C1", name="Dana", roles=frozenset({StaffRole.CARE_TEAM}))
OTHER_STAFF = StaffIdentity(**WHEN, staff_id="C2", name="Ito", roles=frozenset({StaffRole.CLINICIAN}))
SERVICE = ServiceIdentity(**WHEN)
ADMIN = AdminIdentity(**WHEN)


class Nothing(Reader):
    def one(self, sql: str, /, **params: Value) -> Row | None:
        raise AssertionError

    def all(self, sql: str, /, **params: Value) -> list[Row]:
        raise AssertionError


READER = Nothing()


def accounts_of(reader: Reader, member_id: str) -> tuple[str, ...]:
    return {"M1": ("A1", "A2"), "M2": ("A3",)}.get(member_id, ())


def on_panel(reader: Reader, staff_id: str, member_id: str) -> bool:
    return (staff_id, member_id) == ("C1", "M1")


def never(reader: Reader, staff_id: str, member_id: str) -> bool:
    return False


RIGHTS = Rights([never, on_panel], accounts_of)


@pytest.mark.parametrize(
    ("identity", "member_id", "reaches", "keeps", "accounts"),
    [
        (OWNER, "M1", True, True, ("A1", "A2")),
        (NARROW, "M1", True, True, ("A2",)),
        (OWNER, "M2", False, False, ()),
        (STRANGER, "M1", False, False, ()),
        (STRANGER, "M2", True, True, ("A3",)),
        (CARER, "M1", True, True, ("A1", "A2")),
        (CARER, "M2", False, False, ()),
        (OTHER_STAFF, "M1", False, False, ()),
        (SERVICE, "M1", False, True, ()),
        (ADMIN, "M1", False, False, ()),
    ],
)
def test_each_kind_reaches_exactly_what_the_policy_gives_it(
    identity: Identity, member_id: str, reaches: bool, keeps: bool, accounts: tuple[str, ...]
) -> None:
    assert RIGHTS.may_act(READER, identity, member_id) is reaches
    assert allowed(RIGHTS.require_member, identity, member_id) is reaches
    assert allowed(RIGHTS.require_keeper, identity, member_id) is keeps
    assert RIGHTS.readable_accounts(READER, identity, member_id) == accounts
    for account in ("A1", "A2", "A3", "A9"):
        assert RIGHTS.may_subject(READER, identity, member_id, account) is (account in accounts)


@pytest.mark.parametrize("identity", [OWNER, CARER, SERVICE, ADMIN])
def test_what_does_not_exist_is_refused_to_everybody_as_if_it_were_foreign(identity: Identity) -> None:
    assert not allowed(RIGHTS.require_member, identity, None)
    assert not allowed(RIGHTS.require_keeper, identity, None)


def test_without_any_relation_staff_reach_nobody() -> None:
    assert not Rights([], accounts_of).may_act(READER, CARER, "M1")


def allowed(check: Any, identity: Identity, member_id: str | None) -> bool:
    try:
        assert check(READER, identity, member_id) == member_id
    except ForbiddenOrMissing:
        return False
    return True
