"""The demo people are the same in every build."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.directory import (
    DEMO_SEED,
    Account,
    Member,
    StaffMember,
    StaffRole,
    account,
    apply_seed,
    holders,
    load_seed,
    member,
    on_panel,
    staff,
)
from session_platform.store import Reader
from session_platform.store.sqlite import SqliteStore

LISTED = {
    "M123456": ("A789012", "A789013"),
    "M200001": ("A200001",),
    "M200002": ("A200002",),
    "M200003": ("A200003",),
    "M200004": ("A200004",),
    "M200005": ("A200005",),
    "M200006": ("A200006",),
}
PAYERS = {
    "A789012": ("BCBS1", "Blue Cross Blue Shield"),
    "A789013": ("AETN2", "Aetna"),
    "A200001": ("CIGN3", "Cigna"),
    "A200002": ("BCBS1", "Blue Cross Blue Shield"),
    "A200003": ("UHCX4", "UnitedHealthcare"),
    "A200004": ("HUMN5", "Humana"),
    "A200005": ("BCBS1", "Blue Cross Blue Shield"),
    "A200006": ("BCBS1", "Blue Cross Blue Shield"),
}


@pytest.fixture
async def demo(store: SqliteStore) -> SqliteStore:
    seed = load_seed(DEMO_SEED)
    await store.run(lambda tx: apply_seed(tx, seed))
    return store


async def test_the_listed_members_hold_their_accounts_own_first(demo: SqliteStore) -> None:
    def read(reader: Reader) -> dict[str, tuple[str, ...]]:
        return {member_id: found.account_ids for member_id in LISTED if (found := member(reader, member_id))}

    assert await demo.read(read) == LISTED


async def test_the_payer_knows_an_account_by_its_digits(demo: SqliteStore) -> None:
    for account_id, (payer_id, payer_name) in PAYERS.items():
        digits = account_id[1:]
        expected = Account(account_id, payer_id, payer_name, f"W{digits}", "Demo", f"Member{digits}", "1985-04-12")
        assert await demo.read(partial(account, account_id=account_id)) == expected


async def test_any_other_member_of_digits_owns_the_account_of_the_same_digits(demo: SqliteStore) -> None:
    assert await demo.read(lambda reader: member(reader, "M42")) == Member("M42", "Demo", "Member42", "1985-04-12", ("A42",))
    expected = Account("A42", "BCBS1", "Blue Cross Blue Shield", "W42", "Demo", "Member42", "1985-04-12")
    assert await demo.read(lambda reader: account(reader, "A42")) == expected
    assert await demo.read(lambda reader: holders(reader, "A42")) == ("M42",)


async def test_an_account_that_is_listed_belongs_to_nobody_by_rule(demo: SqliteStore) -> None:
    found = await demo.read(lambda reader: member(reader, "M789012"))
    assert found is not None
    assert found.account_ids == ()
    assert await demo.read(lambda reader: holders(reader, "A789012")) == ("M123456",)


async def test_a_listed_member_has_no_second_account_by_rule(demo: SqliteStore) -> None:
    assert await demo.read(lambda reader: account(reader, "A123456")) is None
    assert await demo.read(lambda reader: holders(reader, "A123456")) == ()


@pytest.mark.parametrize("stranger", ["", "M", "m42", "M4x2", "M-1", "XM42", "M４２", "M" + "1" * 33, "*", "A42", "M42 "])
async def test_nobody_else_is_a_member(demo: SqliteStore, stranger: str) -> None:
    assert await demo.read(lambda reader: member(reader, stranger)) is None
    assert await demo.read(lambda reader: on_panel(reader, "C001", stranger)) is False
    assert await demo.read(lambda reader: account(reader, "A" + stranger)) is None


async def test_the_staff(demo: SqliteStore) -> None:
    found = [await demo.read(partial(staff, staff_id=staff_id)) for staff_id in ("C001", "C002", "C003")]
    assert found == [
        StaffMember("C001", "Dana Reyes", StaffRole.CARE_TEAM, ()),
        StaffMember("C002", "Dr. Ito", StaffRole.CLINICIAN, ("PSYCHIATRY",)),
        StaffMember("C003", "Dr. Novak", StaffRole.CLINICIAN, ("PSYCHIATRY",)),
    ]
    assert await demo.read(lambda reader: staff(reader, "C004")) is None


@pytest.mark.parametrize("member_id", [*LISTED, "M42"])
async def test_every_demo_member_is_on_the_panel_of_dana_reyes_and_of_nobody_else(demo: SqliteStore, member_id: str) -> None:
    for staff_id, expected in (("C001", True), ("C002", False), ("C003", False)):
        assert await demo.read(partial(on_panel, staff_id=staff_id, member_id=member_id)) is expected


async def test_no_two_members_by_rule_share_an_account(demo: SqliteStore) -> None:
    def read(reader: Reader) -> None:
        @settings(deadline=None)
        @given(st.from_regex(r"M[0-9]{1,8}", fullmatch=True))
        def every_account_leads_back_to_its_member(member_id: str) -> None:
            found = member(reader, member_id)
            assert found is not None
            for account_id in found.account_ids:
                assert holders(reader, account_id) == (member_id,)
                held = account(reader, account_id)
                assert held is not None
                assert held.account_id == account_id

        every_account_leads_back_to_its_member()

    await demo.read(read)
