"""What retention takes from a timeline: a prefix, never single events, so that what is left stays contiguous."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from session_platform.clock import to_micros
from session_platform.store import outbox, parked
from session_platform.store.port import Reader, Tx

_FIRST_YOUNG: Final = "SELECT seq FROM outbox WHERE timeline = :timeline AND at >= :before ORDER BY seq LIMIT 1"
_HANDLED: Final = """
    SELECT seq FROM inbox WHERE consumer_group = :consumer_group AND timeline = :timeline ORDER BY generation DESC LIMIT 1
"""
_MOVE_EDGE: Final = """
    UPDATE timeline_head SET pruned_epoch = :epoch, pruned_seq = :seq, pruned_tag = :tag WHERE timeline = :timeline
"""
_TAKE: Final = "DELETE FROM outbox WHERE timeline = :timeline AND seq <= :seq"
_DUE: Final = """
    SELECT outbox.timeline FROM outbox
    JOIN timeline_head ON timeline_head.timeline = outbox.timeline AND timeline_head.pruned_seq + 1 = outbox.seq
    WHERE outbox.at < :before
      AND NOT EXISTS (SELECT 1 FROM parked WHERE parked.timeline = outbox.timeline AND parked.seq = outbox.seq)
    ORDER BY outbox.at, outbox.id LIMIT :limit
"""


def prune(
    tx: Tx, timeline: str, before: datetime, *, min_keep: int = 0, groups: Collection[str] = (), limit: int = 10_000
) -> int:
    """Take the longest prefix of ``timeline`` (which the command must have named) whose events are all older than ``before``:
    how many events that were.

    ``min_keep`` newest events stay whatever their age, and so does everything that one of the consumer ``groups`` has not
    handled or has set aside. At most ``limit`` events go in one transaction, so that other commands need not wait long: call
    again until 0.
    """
    head = outbox.head(tx, timeline)
    first_young = tx.one(_FIRST_YOUNG, timeline=timeline, before=to_micros(before))
    end = head.last.seq if first_young is None else first_young[0] - 1
    end = min(end, head.last.seq - min_keep, head.pruned.seq + limit)
    for group in groups:
        handled = tx.one(_HANDLED, consumer_group=group, timeline=timeline)
        end = min(end, 0 if handled is None else handled[0])
    aside = parked.first_of_any(tx, timeline, groups)
    if aside is not None:
        end = min(end, aside - 1)
    if end <= head.pruned.seq:
        return 0
    edge = outbox.position_at(tx, timeline, end)
    if edge is None:
        raise LookupError("the outbox has a gap: this timeline is not pruned")
    tx.execute(_MOVE_EDGE, timeline=timeline, epoch=edge.epoch, seq=edge.seq, tag=edge.tag)
    return tx.execute(_TAKE, timeline=timeline, seq=edge.seq)


def due(reader: Reader, before: datetime, limit: int) -> list[str]:
    """At most ``limit`` timelines whose oldest kept event is older than ``before``, the oldest first. One whose oldest event a
    consumer group has set aside is not due: it would stand before the others for ever."""
    return [row[0] for row in reader.all(_DUE, before=to_micros(before), limit=limit)]
