"""Who publishes under which source, and which events were taken.

A source belongs to the service that used it first, for ever; the platform's own belong to nobody else. An event is known by its
source and id: the failure story is a backend that lost the answer and sends again what was committed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from session_platform.clock import to_micros
from session_platform.contract import CATALOGUE
from session_platform.errors import Forbidden
from session_platform.store.port import Tx

REMEMBERED_FOR: Final = timedelta(days=30)
"""How long `forget` is to leave events that were taken; the wire contract asks for 7 days."""

_PLATFORMS_OWN: Final = frozenset(spec.source for spec in CATALOGUE.values())
_CLAIM: Final = "INSERT INTO event_source (source, service, at) VALUES (:source, :service, :at) ON CONFLICT (source) DO NOTHING"
_OWNER: Final = "SELECT service FROM event_source WHERE source = :source"
_REMEMBER: Final = """
INSERT INTO published_event (source, event_id, digest, at) VALUES (:source, :event_id, :digest, :at)
ON CONFLICT (source, event_id) DO NOTHING
"""
_DIGEST: Final = "SELECT digest FROM published_event WHERE source = :source AND event_id = :event_id"
_FORGET: Final = """
DELETE FROM published_event WHERE (source, event_id) IN (
    SELECT source, event_id FROM published_event WHERE at < :before ORDER BY at LIMIT :limit
)
"""


class OtherContent(Exception):
    """Another event was taken under this source and id: one of the two would be lost."""


def claim(tx: Tx, source: str, service: str) -> None:
    """``source`` is ``service``'s from now on, if it was nobody's. Raises `Forbidden` when it is somebody else's."""
    if source in _PLATFORMS_OWN:
        raise Forbidden("This source is the platform's own: name one of yours.")
    tx.execute(_CLAIM, source=source, service=service, at=to_micros(tx.now))
    if tx.one(_OWNER, source=source) != (service,):
        raise Forbidden("This source belongs to another service.")


def remember(tx: Tx, source: str, event_id: str, digest: bytes) -> bool:
    """Note that the event is taken in this transaction. False: it was taken before, do nothing. Raises `OtherContent`."""
    if tx.execute(_REMEMBER, source=source, event_id=event_id, digest=digest, at=to_micros(tx.now)):
        return True
    if tx.one(_DIGEST, source=source, event_id=event_id) != (digest,):
        raise OtherContent
    return False


def forget(tx: Tx, before: datetime, limit: int = 1000) -> int:
    """Drop at most ``limit`` events taken before a time from memory, oldest first: how many."""
    return tx.execute(_FORGET, before=to_micros(before), limit=limit)
