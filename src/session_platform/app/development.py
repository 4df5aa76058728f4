"""Development tokens: what ``--insecure`` accepts, signed with a secret that lies in the data directory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from session_platform import directory
from session_platform.access import StaffRole, mint_development_token
from session_platform.app.settings import Settings
from session_platform.clock import SystemClock
from session_platform.errors import StartError
from session_platform.store import Reader
from session_platform.store.sqlite import snapshot

SECRET_FILE: Final = "development-secret"  # noqa: S105 (its name)
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """For whom a token is: exactly one of the four."""

    member: str | None = None
    staff: str | None = None
    role: str | None = None
    service: str | None = None
    admin: bool = False


def development_secret(data: Path) -> bytes:
    """The secret of this data directory, made when it is not there; readable by its owner only."""
    path = data / SECRET_FILE
    if not path.exists():
        # Written whole under another name first: a process that dies here leaves no half secret behind.
        data.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    return path.read_bytes()


def development_token(settings: Settings, subject: Subject, expires_in_s: int) -> str:
    """A token that an ``up --insecure`` on the same data directory accepts. Raises `StartError`."""
    path = settings.data / SECRET_FILE
    if not path.exists():
        raise StartError(f"There is no platform in {settings.data}: start one there with 'session-platform up --insecure'.")
    with snapshot(settings.data) as reader:
        name, roles, claims = _claims(reader, subject)
    return mint_development_token(
        path.read_bytes(),
        subject=name,
        roles=roles,
        now=SystemClock().now(),
        expires_in_s=expires_in_s,
        claims={**claims, "jti": f"dev_{secrets.token_hex(8)}"},
    )


def _claims(reader: Reader, subject: Subject) -> tuple[str, Sequence[str], Mapping[str, str | Sequence[str]]]:
    match subject:
        case Subject(member=str(member_id), staff=None, role=None, service=None, admin=False):
            member = directory.member(reader, member_id)
            if member is None:
                raise StartError("The directory knows no such member; a demo member is M123456.")
            return member_id, ["member"], {"member_id": member_id, "account_ids": member.account_ids}
        case Subject(member=None, staff=str(staff_id), service=None, admin=False):
            return _staff(reader, staff_id, subject.role)
        case Subject(member=None, staff=None, role=None, service=str(service), admin=False) if service:
            return service, ["service"], {}
        case Subject(member=None, staff=None, role=None, service=None, admin=True):
            return "admin", ["admin"], {}
    raise StartError("Name exactly one of --member ID, --staff ID --role care_team|clinician, --service NAME, --admin.")


def _staff(reader: Reader, staff_id: str, role: str | None) -> tuple[str, Sequence[str], Mapping[str, str | Sequence[str]]]:
    staff = directory.staff(reader, staff_id)
    if staff is None:
        raise StartError("The directory knows no such staff member: demo staff are C001, C002 and C003.")
    if role is not None and role not in set(StaffRole):
        raise StartError("--role is care_team or clinician.")
    claims = {"staff_id": staff_id, "name": staff.name, "specialities": tuple(staff.specialities)}
    return staff_id, [role or staff.role], claims
