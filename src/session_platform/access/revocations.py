"""What an operator takes back: a token, a subject's earlier tokens, a member's open connections.

Durable numbered rows. `RightsWatch` reads on by their number, so that every process refuses what was revoked within two
seconds; ``await verifier.look()`` behind the commit makes it so at once in the process that did it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from session_platform.access.identity import Identity, MemberIdentity
from session_platform.clock import from_micros, to_micros
from session_platform.store import Reader, Tx

TOKEN: Final = "token"  # noqa: S105 (a kind of row)
SUBJECT: Final = "subject"
MEMBER: Final = "member"
DISCONNECT_KEPT_FOR: Final = timedelta(minutes=10)
"""A disconnect concerns what was open when it was made; a process that has not read it by then has no connections left."""

_INSERT: Final = """
INSERT INTO revocation (kind, key, issued_before, forget_after, at)
VALUES (:kind, :key, :issued_before, :forget_after, :at)
"""
_KNOWN: Final = """
SELECT number FROM revocation
WHERE kind = :kind AND key = :key AND COALESCE(issued_before, 0) >= :issued_before AND forget_after IS NULL LIMIT 1
"""
_SUPERSEDED: Final = "DELETE FROM revocation WHERE kind = :kind AND key = :key AND issued_before < :issued_before"
_AFTER: Final = "SELECT number, kind, key, issued_before FROM revocation WHERE number > :after ORDER BY number"
_FORGET: Final = "DELETE FROM revocation WHERE forget_after < :now"


class Revocation(NamedTuple):
    """``kind`` is `TOKEN`, `SUBJECT` or `MEMBER`, ``key`` the jti, sub or member id; ``issued_before`` only of a subject."""

    number: int
    kind: str
    key: str
    issued_before: datetime | None


def revoke_token(tx: Tx, jti: str, expires_at: datetime | None = None) -> None:
    """Take back the token with this ``jti``. ``expires_at``: when it ends by itself, if that is known; without it the row is
    kept for good, because nobody can tell when the token would have ended."""
    if tx.one(_KNOWN, kind=TOKEN, key=jti, issued_before=0) is None:
        _insert(tx, TOKEN, jti, forget_after=expires_at)


def revoke_issued_before(tx: Tx, sub: str, moment: datetime) -> None:
    """Take back every token of subject ``sub`` that was issued (``iat``) before ``moment``, in aware UTC."""
    before = to_micros(moment)
    if tx.one(_KNOWN, kind=SUBJECT, key=sub, issued_before=before) is None:
        tx.execute(_SUPERSEDED, kind=SUBJECT, key=sub, issued_before=before)
        _insert(tx, SUBJECT, sub, issued_before=moment)


def disconnect(tx: Tx, member_id: str) -> None:
    """Close the connections of this member that are open; their tokens hold, and who comes again is let in."""
    _insert(tx, MEMBER, member_id, forget_after=tx.now + DISCONNECT_KEPT_FOR)


def revocations_after(reader: Reader, number: int) -> list[Revocation]:
    """Every revocation numbered above ``number``, in order."""
    return [
        Revocation(number, kind, key, None if before is None else from_micros(before))
        for number, kind, key, before in reader.all(_AFTER, after=number)
    ]


def forget_revocations(tx: Tx) -> int:
    """Delete those that no living token is meant by any more: how many."""
    return tx.execute(_FORGET, now=to_micros(tx.now))


class Revoked:
    """What is revoked, in memory, as tokens and connections are asked about."""

    def __init__(self, revocations: Iterable[Revocation] = ()) -> None:
        self._tokens: set[str] = set()
        self._subjects: dict[str, datetime] = {}
        self._members: set[str] = set()
        for each in revocations:
            self.add(each)

    def add(self, revocation: Revocation) -> None:
        kind, key, before = revocation.kind, revocation.key, revocation.issued_before
        if kind == TOKEN:
            self._tokens.add(key)
        elif before is not None:
            self._subjects[key] = max(before, self._subjects.get(key, before))
        else:
            self._members.add(key)

    def covers(self, identity: Identity) -> bool:
        """Whether the token that this identity was read from is taken back."""
        before = self._subjects.get(identity.subject)
        return identity.token_id in self._tokens or (before is not None and identity.issued_at < before)

    def closes(self, identity: Identity) -> bool:
        """Whether a connection that is open for this identity is to be closed: a disconnect does that too."""
        disconnected = isinstance(identity, MemberIdentity) and identity.member_id in self._members
        return disconnected or self.covers(identity)


def _insert(
    tx: Tx, kind: str, key: str, *, issued_before: datetime | None = None, forget_after: datetime | None = None
) -> None:
    tx.execute(
        _INSERT,
        kind=kind,
        key=key,
        issued_before=None if issued_before is None else to_micros(issued_before),
        forget_after=None if forget_after is None else to_micros(forget_after),
        at=to_micros(tx.now),
    )
