"""Reading the directory. A listed member or account comes before one that a pattern would make."""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from session_platform.directory.people import Account, Member, StaffMember, StaffRole
from session_platform.store.port import Reader

EVERY_MEMBER: Final = "*"
DIGITS_MAX: Final = 32

_MEMBER: Final = "SELECT first_name, last_name, date_of_birth FROM member WHERE member_id = :member_id"
_HOLDINGS: Final = "SELECT account_id FROM holding WHERE member_id = :member_id ORDER BY place"
_ACCOUNT: Final = """
SELECT account_id, payer_id, payer_name, member_id_at_payer, first_name, last_name, date_of_birth
FROM account WHERE account_id = :account_id
"""
_HOLDERS: Final = "SELECT member_id FROM holding WHERE account_id = :account_id ORDER BY member_id"
_PATTERNS: Final = """
SELECT member_prefix, account_prefix, payer_member_prefix, payer_id, payer_name, first_name, last_name, date_of_birth
FROM member_pattern ORDER BY member_prefix
"""
_STAFF: Final = "SELECT name, role, specialities FROM staff WHERE staff_id = :staff_id"


class _Pattern(NamedTuple):
    member_prefix: str
    account_prefix: str
    payer_member_prefix: str
    payer_id: str
    payer_name: str
    first_name: str
    last_name: str
    date_of_birth: str


def member(reader: Reader, member_id: str) -> Member | None:
    """The member; one by pattern has the account of the same digits, unless that account is listed and so somebody's own."""
    row = reader.one(_MEMBER, member_id=member_id)
    if row is not None:
        first_name, last_name, date_of_birth = row
        held = tuple(account_id for (account_id,) in reader.all(_HOLDINGS, member_id=member_id))
        return Member(member_id, first_name, last_name, date_of_birth, held)
    for pattern in _patterns(reader):
        digits = _digits(member_id, pattern.member_prefix)
        if digits is None:
            continue
        account_id = pattern.account_prefix + digits
        listed = reader.one(_ACCOUNT, account_id=account_id) is not None
        held = () if listed else (account_id,)
        return Member(member_id, pattern.first_name, pattern.last_name + digits, pattern.date_of_birth, held)
    return None


def account(reader: Reader, account_id: str) -> Account | None:
    """The account and what its payer knows it by."""
    row = reader.one(_ACCOUNT, account_id=account_id)
    if row is not None:
        return Account(*row)
    found = _by_pattern(reader, account_id)
    if found is None:
        return None
    pattern, digits = found
    return Account(
        account_id,
        pattern.payer_id,
        pattern.payer_name,
        pattern.payer_member_prefix + digits,
        pattern.first_name,
        pattern.last_name + digits,
        pattern.date_of_birth,
    )


def holders(reader: Reader, account_id: str) -> tuple[str, ...]:
    """Ids of the members who hold the account, sorted; none for an account that does not exist."""
    if reader.one(_ACCOUNT, account_id=account_id) is not None:
        return tuple(member_id for (member_id,) in reader.all(_HOLDERS, account_id=account_id))
    found = _by_pattern(reader, account_id)
    return () if found is None else (found[0].member_prefix + found[1],)


def staff(reader: Reader, staff_id: str) -> StaffMember | None:
    """The staff member."""
    row = reader.one(_STAFF, staff_id=staff_id)
    if row is None:
        return None
    name, role, specialities = row
    return StaffMember(staff_id, name, StaffRole(role), tuple(json.loads(specialities)))


def _by_pattern(reader: Reader, account_id: str) -> tuple[_Pattern, str] | None:
    """The pattern that an unlisted account comes from: there is one only if its member is unlisted too."""
    for pattern in _patterns(reader):
        digits = _digits(account_id, pattern.account_prefix)
        if digits is not None and reader.one(_MEMBER, member_id=pattern.member_prefix + digits) is None:
            return pattern, digits
    return None


def _patterns(reader: Reader) -> list[_Pattern]:
    return [_Pattern(*row) for row in reader.all(_PATTERNS)]


def _digits(text: str, prefix: str) -> str | None:
    digits = text.removeprefix(prefix)
    fits = text.startswith(prefix) and digits.isascii() and digits.isdecimal() and len(digits) <= DIGITS_MAX
    return digits if fits else None
