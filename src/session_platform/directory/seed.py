"""The seed file: who the directory starts with. TOML, one table a person or thing; see ``demo.toml``."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from session_platform.directory.lookup import EVERY_MEMBER
from session_platform.directory.people import StaffRole
from session_platform.errors import StartError
from session_platform.store.port import Tx

DEMO_SEED: Final = Path(__file__).with_name("demo.toml")

Name = Annotated[str, Meta(min_length=1, max_length=200)]


class SeedAccount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account, and the subscriber as the payer knows them."""

    account_id: Name
    payer_id: Name
    payer_name: Name
    member_id_at_payer: Name
    first_name: Name
    last_name: Name
    date_of_birth: date


class SeedMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member; ``accounts`` has the own account first, then the dependants'."""

    member_id: Name
    first_name: Name
    last_name: Name
    date_of_birth: date
    accounts: Annotated[tuple[Name, ...], Meta(min_length=1)]


class MemberPattern(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Members that exist by rule: ``member_prefix`` and digits, unless listed. The digits also end the account's id, the
    member id at the payer and the last name."""

    member_prefix: Name
    account_prefix: Name
    payer_member_prefix: Name
    payer_id: Name
    payer_name: Name
    first_name: Name
    last_name: Name
    date_of_birth: date


class SeedStaff(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A staff member; ``panel`` lists member ids, or ``*`` for every member."""

    staff_id: Name
    name: Name
    role: StaffRole
    specialities: tuple[Name, ...] = ()
    panel: tuple[Name, ...] = ()


class Seed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a seed file says."""

    accounts: tuple[SeedAccount, ...] = ()
    members: tuple[SeedMember, ...] = ()
    member_patterns: tuple[MemberPattern, ...] = ()
    staff: tuple[SeedStaff, ...] = ()


def load_seed(path: Path) -> Seed:
    """Read a seed file. Raises `StartError`, one sentence with the file and the key, for one that cannot be read or contradicts
    itself."""
    try:
        seed = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Seed)
    except OSError as error:
        raise StartError(f"The seed file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"The seed file {path} is not TOML: {error}.") from error
    except msgspec.ValidationError as error:
        raise StartError(f"The seed file {path} is not acceptable: {error}.") from error
    problem = next(_problems(seed), None)
    if problem is not None:
        raise StartError(f"The seed file {path} contradicts itself: {problem}.")
    return seed


def apply_seed(tx: Tx, seed: Seed) -> None:
    """Put the seed into the directory: what it lists is added or changed, what it does not list stays. Idempotent."""
    for account in seed.accounts:
        tx.execute(_PUT_ACCOUNT, **_columns(account))
    for member in seed.members:
        tx.execute(_PUT_MEMBER, **_columns(member, without="accounts"))
        tx.execute(_DROP_HOLDINGS, member_id=member.member_id)
        for place, account_id in enumerate(member.accounts):
            tx.execute(_ADD_HOLDING, member_id=member.member_id, account_id=account_id, place=place)
    for pattern in seed.member_patterns:
        tx.execute(_PUT_PATTERN, **_columns(pattern))
    for staff in seed.staff:
        specialities = json.dumps([name.upper() for name in staff.specialities])
        tx.execute(_PUT_STAFF, staff_id=staff.staff_id, name=staff.name, role=staff.role.value, specialities=specialities)
        for member_id in staff.panel:
            tx.execute(_ADD_PANEL, staff_id=staff.staff_id, member_id=member_id)


def _columns(entry: SeedAccount | SeedMember | MemberPattern, without: str = "") -> dict[str, str]:
    return {name: str(getattr(entry, name)) for name in entry.__struct_fields__ if name != without}


def _problems(seed: Seed) -> Iterator[str]:
    yield from _twice("accounts.account_id", (account.account_id for account in seed.accounts))
    yield from _twice("members.member_id", (member.member_id for member in seed.members))
    yield from _twice("member_patterns.member_prefix", (pattern.member_prefix for pattern in seed.member_patterns))
    yield from _twice("member_patterns.account_prefix", (pattern.account_prefix for pattern in seed.member_patterns))
    yield from _twice("staff.staff_id", (staff.staff_id for staff in seed.staff))
    accounts = {account.account_id for account in seed.accounts}
    members = {member.member_id for member in seed.members} | {EVERY_MEMBER}
    for member in seed.members:
        yield from _twice(f"members.accounts of {member.member_id}", member.accounts)
        yield from _unknown(f"members.accounts of {member.member_id}", member.accounts, accounts)
    for staff in seed.staff:
        yield from _unknown(f"staff.panel of {staff.staff_id}", staff.panel, members)


def _twice(key: str, values: Iterable[str]) -> Iterator[str]:
    for value, count in Counter(values).items():
        if count > 1:
            yield f"{key} has {value} twice"


def _unknown(key: str, values: Iterable[str], known: set[str]) -> Iterator[str]:
    for value in values:
        if value not in known:
            yield f"{key} names {value}, which the file does not list"


_PUT_ACCOUNT: Final = """
INSERT INTO account (account_id, payer_id, payer_name, member_id_at_payer, first_name, last_name, date_of_birth)
VALUES (:account_id, :payer_id, :payer_name, :member_id_at_payer, :first_name, :last_name, :date_of_birth)
ON CONFLICT (account_id) DO UPDATE SET payer_id = excluded.payer_id, payer_name = excluded.payer_name,
    member_id_at_payer = excluded.member_id_at_payer, first_name = excluded.first_name, last_name = excluded.last_name,
    date_of_birth = excluded.date_of_birth
"""
_PUT_MEMBER: Final = """
INSERT INTO member (member_id, first_name, last_name, date_of_birth)
VALUES (:member_id, :first_name, :last_name, :date_of_birth)
ON CONFLICT (member_id) DO UPDATE SET first_name = excluded.first_name, last_name = excluded.last_name,
    date_of_birth = excluded.date_of_birth
"""
_DROP_HOLDINGS: Final = "DELETE FROM holding WHERE member_id = :member_id"
_ADD_HOLDING: Final = "INSERT INTO holding (member_id, account_id, place) VALUES (:member_id, :account_id, :place)"
_PUT_PATTERN: Final = """
INSERT INTO member_pattern (member_prefix, account_prefix, payer_member_prefix, payer_id, payer_name, first_name, last_name,
    date_of_birth)
VALUES (:member_prefix, :account_prefix, :payer_member_prefix, :payer_id, :payer_name, :first_name, :last_name, :date_of_birth)
ON CONFLICT (member_prefix) DO UPDATE SET account_prefix = excluded.account_prefix,
    payer_member_prefix = excluded.payer_member_prefix, payer_id = excluded.payer_id, payer_name = excluded.payer_name,
    first_name = excluded.first_name, last_name = excluded.last_name, date_of_birth = excluded.date_of_birth
"""
_PUT_STAFF: Final = """
INSERT INTO staff (staff_id, name, role, specialities) VALUES (:staff_id, :name, :role, :specialities)
ON CONFLICT (staff_id) DO UPDATE SET name = excluded.name, role = excluded.role, specialities = excluded.specialities
"""
_ADD_PANEL: Final = """
INSERT INTO panel (staff_id, member_id) VALUES (:staff_id, :member_id) ON CONFLICT (staff_id, member_id) DO NOTHING
"""
