"""Timelines and their events: heads, numbers, pages.

An event's number is its head's ``last`` plus one, taken and written in the transaction that emits it, so a timeline has no gaps
and no number is given twice. Rows rise in ``id`` along each timeline, and in the order of emission within a transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from session_platform.clock import to_micros
from session_platform.contract import Sealed
from session_platform.store.port import GENESIS, Head, Position, Reader, Row, StoredEvent, Tx

FIRST_EPOCH: Final = 1
PAGE_MAX_BYTES: Final = 4 * 1024 * 1024
"""What a page weighs at most, but for its last event: a page is in memory whole, for each reader that asks for one."""

_HEAD: Final = """
    SELECT timeline, epoch, last_epoch, last_seq, last_tag, pruned_epoch, pruned_seq, pruned_tag
    FROM timeline_head WHERE timeline = :timeline
"""
_ADVANCE: Final = """
    INSERT INTO timeline_head (timeline, epoch, last_epoch, last_seq, last_tag)
    VALUES (:timeline, :epoch, :epoch, :seq, :tag)
    ON CONFLICT (timeline) DO UPDATE
    SET last_epoch = excluded.last_epoch, last_seq = excluded.last_seq, last_tag = excluded.last_tag
"""
_RAISE_EPOCH: Final = """
    INSERT INTO timeline_head (timeline, epoch) VALUES (:timeline, :epoch)
    ON CONFLICT (timeline) DO UPDATE
    SET epoch = CASE WHEN excluded.epoch > timeline_head.epoch THEN excluded.epoch ELSE timeline_head.epoch END
"""
_APPEND: Final = """
    INSERT INTO outbox (timeline, epoch, seq, tag, event_id, name, session_id, service_request_id, at, full_body, redacted_body)
    VALUES (:timeline, :epoch, :seq, :tag, :event_id, :name, :session_id, :service_request_id, :at, :full, :redacted)
"""
# Measured first, so that only what the page has room for is read. The event that fills it is in it.
_PAGE: Final = """
    WITH measured AS (
        SELECT id, LENGTH(COALESCE(redacted_body, full_body)) AS bytes
        FROM outbox WHERE timeline = :timeline AND seq > :after_seq ORDER BY seq LIMIT :limit
    ), summed AS (SELECT id, SUM(bytes) OVER (ORDER BY id) - bytes AS bytes_before FROM measured)
    SELECT outbox.id, timeline, epoch, seq, tag, name, session_id, service_request_id, COALESCE(redacted_body, full_body)
    FROM summed JOIN outbox ON outbox.id = summed.id WHERE bytes_before < :max_bytes ORDER BY outbox.id
"""
# Where several processes write, a lower id may be committed after a higher one: whoever reads on by id reads what is settled.
_AFTER: Final = """
    WITH measured AS (
        SELECT id, LENGTH(COALESCE(redacted_body, full_body)) AS bytes
        FROM settled_outbox WHERE id > :after_id ORDER BY id LIMIT :limit
    ), summed AS (SELECT id, SUM(bytes) OVER (ORDER BY id) - bytes AS bytes_before FROM measured)
    SELECT outbox.id, timeline, epoch, seq, tag, name, session_id, service_request_id, COALESCE(redacted_body, full_body)
    FROM summed JOIN outbox ON outbox.id = summed.id WHERE bytes_before < :max_bytes ORDER BY outbox.id
"""
_LAST_ID: Final = "SELECT COALESCE(MAX(id), 0) FROM settled_outbox"
_POSITION: Final = "SELECT epoch, seq, tag FROM outbox WHERE timeline = :timeline AND seq = :seq"


def head(reader: Reader, timeline: str) -> Head:
    """Where a timeline stands; one that nobody wrote to has epoch 1 and begins at `GENESIS`."""
    row = reader.one(_HEAD, timeline=timeline)
    return Head(timeline, FIRST_EPOCH, GENESIS, GENESIS) if row is None else _head(row)


def heads(reader: Reader, timelines: Iterable[str]) -> dict[str, Head]:
    """`head` of each, in one snapshot."""
    return {timeline: head(reader, timeline) for timeline in timelines}


def append(tx: Tx, event: Sealed) -> None:
    """Write an event that was sealed under the number after its head's ``last``, and move the head to it."""
    redacted = None if event.redacted is event.full else event.redacted
    tx.execute(
        _APPEND,
        timeline=event.timeline,
        epoch=event.epoch,
        seq=event.seq,
        tag=event.tag,
        event_id=event.event_id,
        name=event.name,
        session_id=event.session_id,
        service_request_id=event.service_request_id,
        at=to_micros(tx.now),
        full=event.full,
        redacted=redacted,
    )
    tx.execute(_ADVANCE, timeline=event.timeline, epoch=event.epoch, seq=event.seq, tag=event.tag)


def page(reader: Reader, timeline: str, after_seq: int, limit: int, *, max_bytes: int = PAGE_MAX_BYTES) -> list[StoredEvent]:
    """At most ``limit`` events of a timeline numbered above ``after_seq``, in order; the one that brings their bodies to
    ``max_bytes`` is the last. Whoever needs them contiguous checks it: retention may have taken the first ones."""
    rows = reader.all(_PAGE, timeline=timeline, after_seq=after_seq, limit=limit, max_bytes=max_bytes)
    return [StoredEvent(*row) for row in rows]


def after(reader: Reader, after_id: int, limit: int, *, max_bytes: int = PAGE_MAX_BYTES) -> list[StoredEvent]:
    """At most ``limit`` events of all timelines with an id above ``after_id``, in order of id, bounded as a `page` is. Nothing
    will ever appear below what was read: an event comes here when no transaction that may still write a lower id is left."""
    return [StoredEvent(*row) for row in reader.all(_AFTER, after_id=after_id, limit=limit, max_bytes=max_bytes)]


def is_full(events: Sequence[StoredEvent], limit: int, *, max_bytes: int = PAGE_MAX_BYTES) -> bool:
    """Whether what `page` or `after` read with these bounds is all that they had room for, so that more may follow."""
    return len(events) >= limit or sum(len(event.body) for event in events) >= max_bytes


def last_id(reader: Reader) -> int:
    """The highest id in the outbox that `after` would give; 0 when there is none."""
    row = reader.one(_LAST_ID)
    return 0 if row is None else int(row[0])


def position_at(reader: Reader, timeline: str, seq: int) -> Position | None:
    """The position just after number ``seq``: of the event, or of the last pruned one, or `GENESIS` while nothing was pruned.
    None where this history has, or still knows, no such place."""
    edge = head(reader, timeline).pruned
    if seq == edge.seq:
        return edge
    row = reader.one(_POSITION, timeline=timeline, seq=seq)
    return None if row is None else Position(*row)


def raise_epoch(tx: Tx, timeline: str, above: int) -> Head:
    """Let the next event have an epoch higher than ``above`` (it never falls): the history is another one from here on."""
    tx.execute(_RAISE_EPOCH, timeline=timeline, epoch=max(FIRST_EPOCH, above + 1))
    return head(tx, timeline)


def _head(row: Row) -> Head:
    timeline, epoch, last_epoch, last_seq, last_tag, pruned_epoch, pruned_seq, pruned_tag = row
    return Head(timeline, epoch, Position(last_epoch, last_seq, last_tag), Position(pruned_epoch, pruned_seq, pruned_tag))
