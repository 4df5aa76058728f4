"""Who the directory knows: plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class StaffRole(StrEnum):
    """What a staff member does."""

    CARE_TEAM = "care_team"
    CLINICIAN = "clinician"


@dataclass(frozen=True, slots=True)
class Member:
    """``account_ids``: the member's own account first, then the dependants'. ``date_of_birth`` is YYYY-MM-DD."""

    member_id: str
    first_name: str
    last_name: str
    date_of_birth: str
    account_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """Whose insurance, and what its payer needs to know to find it. ``date_of_birth`` is YYYY-MM-DD."""

    account_id: str
    payer_id: str
    payer_name: str
    member_id_at_payer: str
    first_name: str
    last_name: str
    date_of_birth: str


@dataclass(frozen=True, slots=True)
class StaffMember:
    """``specialities`` in upper case, as requests name them."""

    staff_id: str
    name: str
    role: StaffRole
    specialities: tuple[str, ...]
