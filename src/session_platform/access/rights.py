"""Who may see and do what, in one place. Every other room asks here and repeats none of it.

Foreign and missing are one answer (`ForbiddenOrMissing`), so that nobody learns whether a foreign id exists. Whether a *role*
may use a call at all is the call's own business (`Forbidden` there); here it is about one member's things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from session_platform.access.identity import Identity, MemberIdentity, ServiceIdentity, StaffIdentity
from session_platform.errors import ForbiddenOrMissing
from session_platform.store import Reader

Relation = Callable[[Reader, str, str], bool]
"""``(reader, staff_id, member_id)``: whether this kind of care relationship holds between them."""


class Rights:
    """The policy. ``relations`` are the kinds of care relationship that let staff see a member: one that holds is enough.
    ``accounts_of`` names a member's accounts as the directory knows them, the own one first."""

    def __init__(self, relations: Sequence[Relation], accounts_of: Callable[[Reader, str], tuple[str, ...]]) -> None:
        self._relations = tuple(relations)
        self._accounts_of = accounts_of

    def may_reach(self, reader: Reader, identity: Identity, member_id: str) -> bool:
        """Whether ``identity`` may read what carries ``member_id`` and act for that member."""
        match identity:
            case MemberIdentity():
                return identity.member_id == member_id
            case StaffIdentity():
                return any(holds(reader, identity.staff_id, member_id) for holds in self._relations)
            case _:
                return False

    def require_member(self, reader: Reader, identity: Identity, member_id: str | None) -> str:
        """``member_id``, the owner of what was asked for (None: there is no such thing), or raises `ForbiddenOrMissing`."""
        if member_id is None or not self.may_reach(reader, identity, member_id):
            raise ForbiddenOrMissing
        return member_id

    def require_keeper(self, reader: Reader, identity: Identity, member_id: str | None) -> str:
        """As `require_member`, for opening, keeping alive and ending sessions: a service may do that for any member."""
        if member_id is not None and isinstance(identity, ServiceIdentity):
            return member_id
        return self.require_member(reader, identity, member_id)

    def readable_accounts(self, reader: Reader, identity: Identity, member_id: str) -> tuple[str, ...]:
        """The accounts of ``member_id`` whose coverage and results ``identity`` may read, the own one first.

        A member's token only narrows what the directory holds: an account that the token alone names is not there.
        """
        if not self.may_reach(reader, identity, member_id):
            return ()
        held = self._accounts_of(reader, member_id)
        if isinstance(identity, MemberIdentity):
            return tuple(account for account in held if account in identity.account_ids)
        return held

    def may_subject(self, reader: Reader, identity: Identity, member_id: str, account_id: str) -> bool:
        """Whether ``identity`` may submit a request of ``member_id`` about ``account_id``."""
        return account_id in self.readable_accounts(reader, identity, member_id)
