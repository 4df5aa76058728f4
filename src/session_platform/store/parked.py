"""What a consumer group could not handle: the event that failed, and all later ones of its timeline, which wait behind it so
that their order holds. The events themselves stay in the outbox until they were handled or skipped."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple

from session_platform.clock import from_micros, to_micros
from session_platform.store.port import Reader, Tx

_PARK: Final = """
    INSERT INTO parked (consumer_group, timeline, seq, error, at) VALUES (:consumer_group, :timeline, :seq, :error, :at)
    ON CONFLICT (consumer_group, timeline, seq) DO UPDATE SET error = excluded.error, at = excluded.at
"""
_FIRST: Final = """
    SELECT seq FROM parked WHERE consumer_group = :consumer_group AND timeline = :timeline ORDER BY seq LIMIT 1
"""
_HELD: Final = """
    SELECT parked.timeline, parked.seq, parked.error, parked.at, held.events - 1
    FROM (
        SELECT timeline, MIN(seq) AS seq, COUNT(*) AS events FROM parked
        WHERE consumer_group = :consumer_group AND timeline > :behind
        GROUP BY timeline ORDER BY timeline LIMIT :limit
    ) AS held
    JOIN parked ON parked.consumer_group = :consumer_group AND parked.timeline = held.timeline AND parked.seq = held.seq
    ORDER BY parked.timeline
"""
_WAITING: Final = "SELECT COUNT(*) FROM parked WHERE consumer_group = :consumer_group AND timeline = :timeline"
_HOLDING: Final = "SELECT COUNT(DISTINCT timeline) FROM parked WHERE consumer_group = :consumer_group"
_TAKE: Final = "DELETE FROM parked WHERE consumer_group = :consumer_group AND timeline = :timeline AND seq = :seq"
_FORGET: Final = "DELETE FROM parked WHERE consumer_group = :consumer_group"
_FIRST_OF_ALL: Final = "SELECT seq, consumer_group FROM parked WHERE timeline = :timeline ORDER BY seq"


class Parked(NamedTuple):
    """The event that holds its timeline back. ``error`` is the kind of the exception it failed with and where that arose, never
    its message; None: it was not tried yet, what it waited for was skipped. ``waiting`` counts the later ones behind it."""

    timeline: str
    seq: int
    error: str | None
    at: datetime
    waiting: int


def park(tx: Tx, group: str, timeline: str, seq: int, error: str | None) -> None:
    """Set event ``seq`` aside: it failed with ``error``, or (None) it waits behind one that did."""
    tx.execute(_PARK, consumer_group=group, timeline=timeline, seq=seq, error=error, at=to_micros(tx.now))


def first(reader: Reader, group: str, timeline: str) -> int | None:
    """The number of the first event of ``timeline`` that is set aside: all later ones have to wait. None: there is none."""
    row = reader.one(_FIRST, consumer_group=group, timeline=timeline)
    return None if row is None else int(row[0])


def held(reader: Reader, group: str, *, behind: str = "", limit: int = 100) -> list[Parked]:
    """At most ``limit`` timelines that a group holds back, by name, from the one after ``behind``."""
    rows = reader.all(_HELD, consumer_group=group, behind=behind, limit=limit)
    return [Parked(timeline, seq, error, from_micros(at), waiting) for timeline, seq, error, at, waiting in rows]


def holding(reader: Reader, group: str) -> int:
    """How many timelines a group holds back."""
    row = reader.one(_HOLDING, consumer_group=group)
    return 0 if row is None else int(row[0])


def waiting(reader: Reader, group: str, timeline: str) -> int:
    """How many events of ``timeline`` are set aside."""
    row = reader.one(_WAITING, consumer_group=group, timeline=timeline)
    return 0 if row is None else int(row[0])


def take(tx: Tx, group: str, timeline: str, seq: int) -> None:
    """Event ``seq`` is no longer set aside: it was handled in this transaction, or never will be."""
    tx.execute(_TAKE, consumer_group=group, timeline=timeline, seq=seq)


def forget(tx: Tx, group: str) -> None:
    """Nothing is set aside any more: the group hears everything once more."""
    tx.execute(_FORGET, consumer_group=group)


def first_of_any(reader: Reader, timeline: str, groups: Collection[str]) -> int | None:
    """The number of the first event of ``timeline`` that one of ``groups`` has set aside; None: there is none."""
    rows = reader.all(_FIRST_OF_ALL, timeline=timeline)
    return next((int(seq) for seq, group in rows if group in groups), None)
