"""Who asks: what a verified token says, one type a kind of token, so that no code asks for a field its caller cannot have."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class StaffRole(StrEnum):
    """The roles that staff can have; a token may carry both."""

    CARE_TEAM = "care_team"
    CLINICIAN = "clinician"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """``subject`` is the token's ``sub``; ``token_id`` its ``jti``; times are aware UTC."""

    subject: str
    issued_at: datetime
    expires_at: datetime
    token_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberIdentity(_Subject):
    """``account_ids``: the member's own account first, then the dependants' that this token may ask for."""

    member_id: str
    account_ids: tuple[str, ...]

    @property
    def actor_id(self) -> str:
        return self.member_id


@dataclass(frozen=True, slots=True, kw_only=True)
class StaffIdentity(_Subject):
    staff_id: str
    name: str
    roles: frozenset[StaffRole]
    specialities: frozenset[str] = frozenset()

    @property
    def actor_id(self) -> str:
        return self.staff_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceIdentity(_Subject):
    """A backend."""

    @property
    def actor_id(self) -> str:
        return self.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminIdentity(_Subject):
    """An operator: reads no member data."""

    @property
    def actor_id(self) -> str:
        return self.subject


Identity = MemberIdentity | StaffIdentity | ServiceIdentity | AdminIdentity
