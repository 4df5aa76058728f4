"""What a repeated request is answered: the first one's status and answer, for 24 hours.

The answer is kept in the transaction of the effect, so that there is never an effect without its answer or the other way round.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from session_platform.clock import to_micros
from session_platform.errors import IdempotencyMismatch, StillRunning
from session_platform.store.port import Tx

KEPT_FOR: Final = timedelta(hours=24)

_RECALL: Final = """
    SELECT body_digest, status, answer FROM idempotency WHERE scope = :scope AND key = :key AND at > :expired
"""
_KEEP: Final = """
    INSERT INTO idempotency (scope, key, body_digest, status, answer, at)
    VALUES (:scope, :key, :body_digest, :status, :answer, :at)
    ON CONFLICT (scope, key) DO UPDATE
    SET body_digest = excluded.body_digest, status = excluded.status, answer = excluded.answer, at = excluded.at
    WHERE idempotency.at <= :expired
"""
_FORGET: Final = """
    DELETE FROM idempotency WHERE (scope, key) IN (
        SELECT scope, key FROM idempotency WHERE at < :before ORDER BY at LIMIT :limit
    )
"""


class Kept(NamedTuple):
    """The first answer: HTTP ``status`` and body."""

    status: int
    answer: bytes


def recall(tx: Tx, scope: str, key: str, body_digest: bytes) -> Kept | None:
    """What was answered to this key; None: it is new, or older than 24 hours.

    ``scope`` is subject, method and path; ``body_digest`` is equal for JSON-equal bodies. Raises `IdempotencyMismatch` when the
    key came with another body.
    """
    row = tx.one(_RECALL, scope=scope, key=key, expired=to_micros(tx.now - KEPT_FOR))
    if row is None:
        return None
    kept_digest, status, answer = row
    if kept_digest != body_digest:
        raise IdempotencyMismatch
    return Kept(status, answer)


def keep(tx: Tx, scope: str, key: str, body_digest: bytes, status: int, answer: bytes) -> None:
    """Remember the answer of a request that `recall` did not know. Raises `StillRunning` when another transaction kept one for
    this key meanwhile: then this one must not take effect."""
    changed = tx.execute(
        _KEEP,
        scope=scope,
        key=key,
        body_digest=body_digest,
        status=status,
        answer=answer,
        at=to_micros(tx.now),
        expired=to_micros(tx.now - KEPT_FOR),
    )
    if changed == 0:
        raise StillRunning


def forget(tx: Tx, before: datetime, limit: int = 1000) -> int:
    """Drop at most ``limit`` answers kept before a time, oldest first: how many."""
    return tx.execute(_FORGET, before=to_micros(before), limit=limit)
