"""Who may see and do what with one member's things: `policy`, over the relationships that hold. Every other room asks here.

Foreign and missing are one answer (`ForbiddenOrMissing`), so that nobody learns whether a foreign id exists. Whether a *role*
may use a call at all is said by the call (`Forbidden` there, and `policy.CALLS`); here it is about one member's things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from session_platform.access import glass
from session_platform.access.identity import Identity, MemberIdentity, StaffIdentity
from session_platform.access.policy import Deed, Standing, may, role_of
from session_platform.access.relations import Relation
from session_platform.errors import ForbiddenOrMissing
from session_platform.store import Reader


class Rights:
    """The policy on real people. ``relations`` are the kinds of care relationship: one that holds is enough.
    ``accounts_of`` names a member's accounts as the directory knows them, the own one first; None: there is no such member."""

    def __init__(self, relations: Sequence[Relation], accounts_of: Callable[[Reader, str], tuple[str, ...] | None]) -> None:
        self._relations = tuple(relations)
        self._accounts_of = accounts_of

    def standing(self, reader: Reader, identity: Identity, member_id: str) -> Standing:
        """How ``identity`` stands to this member without breaking any glass."""
        match identity:
            case MemberIdentity() if identity.member_id == member_id:
                return Standing.OWN
            case StaffIdentity() if any(holds(reader, identity.staff_id, member_id) for holds in self._relations):
                return Standing.CARE
            case _:
                return Standing.NONE

    def knows(self, reader: Reader, member_id: str) -> bool:
        """Whether there is such a member, with or without an account."""
        return self._accounts_of(reader, member_id) is not None

    def may_act(self, reader: Reader, identity: Identity, member_id: str) -> bool:
        """Whether ``identity`` may act for this member, which includes reading: own things, or a care relationship."""
        return may(role_of(identity), self.standing(reader, identity, member_id), Deed.ACT)

    def may_read(self, reader: Reader, identity: Identity, member_id: str, now: datetime) -> bool:
        """Whether ``identity`` may read what carries ``member_id``: who may act, and who broke the glass in the last hour."""
        if self.may_act(reader, identity, member_id):
            return True
        opened = glass.is_open(reader, identity, member_id, now)
        return opened and may(role_of(identity), Standing.BREAK_GLASS, Deed.READ)

    def may_keep(self, reader: Reader, identity: Identity, member_id: str) -> bool:
        """Whether ``identity`` may open, keep alive and end sessions of this member: who may act, and a service."""
        return may(role_of(identity), self.standing(reader, identity, member_id), Deed.KEEP)

    def require_member(self, reader: Reader, identity: Identity, member_id: str | None) -> str:
        """``member_id``, whose thing is to be acted upon (None: there is no such thing), or raises `ForbiddenOrMissing`."""
        if member_id is None or not self.may_act(reader, identity, member_id):
            raise ForbiddenOrMissing
        return member_id

    def require_reader(self, reader: Reader, identity: Identity, member_id: str | None, now: datetime) -> str:
        """As `require_member`, for what is only read: break-glass counts."""
        if member_id is None or not self.may_read(reader, identity, member_id, now):
            raise ForbiddenOrMissing
        return member_id

    def require_keeper(self, reader: Reader, identity: Identity, member_id: str | None) -> str:
        """As `require_member`, for opening, keeping alive and ending sessions: a service may do that for any member."""
        if member_id is None or not self.may_keep(reader, identity, member_id):
            raise ForbiddenOrMissing
        return member_id

    def readable_accounts(
        self, reader: Reader, identity: Identity, member_id: str, now: datetime | None = None
    ) -> tuple[str, ...]:
        """The accounts of ``member_id`` whose coverage and results ``identity`` may read, the own one first. With ``now``
        break-glass counts.

        A member's token only narrows what the directory holds: an account that the token alone names is not there.
        """
        acts = self.may_act(reader, identity, member_id)
        if not acts and (now is None or not self.may_read(reader, identity, member_id, now)):
            return ()
        held = self._accounts_of(reader, member_id) or ()
        if isinstance(identity, MemberIdentity):
            return tuple(account for account in held if account in identity.account_ids)
        return held

    def may_subject(self, reader: Reader, identity: Identity, member_id: str, account_id: str) -> bool:
        """Whether ``identity`` may submit a request of ``member_id`` about ``account_id``."""
        return account_id in self.readable_accounts(reader, identity, member_id)
