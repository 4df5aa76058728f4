"""Where a subscription starts, and pages of what came before: the authoritative side of a timeline.

A cursor is good when this history has, or had, exactly the event it stands behind: same number, same epoch, same tag. The lie
that prevents: after a database was restored from an older copy, other events get the numbers that clients have already seen,
and a bare number would resume in the middle of a history that the client never followed, silently. Such a cursor recovers
nothing, and the epoch of the timeline is raised above the cursor's before anything else is emitted, so that whoever compares
(epoch, number) cannot take a new event for an old one.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from session_platform.store import outbox
from session_platform.store.port import Head, Position, Reader, Store, StoredEvent, Tx
from session_platform.timeline.cursor import CursorCodec
from session_platform.timeline.window import Entry, Windows, entry_of


class Start(NamedTuple):
    """Where a subscription starts. ``after``: the number before its first event; ``cursor``: the same place; ``head``: the
    newest number then. ``recovered``: None without a cursor to resume from, else whether everything after it is there."""

    timeline: str
    after: int
    cursor: str
    recovered: bool | None
    head: int


class ContinuityLost(Exception):
    """What was asked for is gone (retention took it meanwhile). The history goes on after ``head_seq``, at ``head_cursor``."""

    def __init__(self, head_seq: int, head_cursor: str) -> None:
        super().__init__("the history no longer reaches back to where it was to be read from")
        self.head_seq = head_seq
        self.head_cursor = head_cursor


class _Standing(Enum):
    """What a position is in a history."""

    HERE = "here"
    PRUNED = "pruned"
    ELSEWHERE = "elsewhere"


class History:
    """Reads the store. Every method raises `Unavailable` when the store cannot be read."""

    def __init__(self, store: Store, windows: Windows, codec: CursorCodec) -> None:
        self._store = store
        self._windows = windows
        self._codec = codec

    async def start(self, timeline: str, *, cursor: str | None, since_beginning: bool) -> Start:
        """Where a subscription starts: after ``cursor``; or at the beginning of what is kept; or, with neither, now.

        Raises `BadCursor` for a cursor that is none of this timeline.
        """
        position = None if cursor is None else self._codec.decode(cursor, timeline)
        # Held from before the head is read until the window knows it: nothing published in between goes unnoticed.
        self._windows.hold(timeline)
        try:
            start = await self._resume(timeline, position) if position else await self._begin(timeline, since_beginning)
            self._windows.prime(timeline, start.head)
        finally:
            self._windows.release(timeline)
        return start

    async def page(self, timeline: str, after: int, limit: int) -> list[Entry]:
        """Entries after number ``after``, without a gap, at most ``limit`` and as many as a page of the store holds; empty at
        the head. Raises `ContinuityLost`."""

        def query(reader: Reader) -> tuple[Head, list[StoredEvent]]:
            return outbox.head(reader, timeline), outbox.page(reader, timeline, after, limit)

        head, events = await self._store.read(query)
        contiguous = all(event.seq == seq for seq, event in enumerate(events, start=after + 1))
        if not head.pruned.seq <= after <= head.last.seq or not contiguous or (not events and after < head.last.seq):
            raise ContinuityLost(head.last.seq, self._codec.encode(timeline, head.last))
        return [entry_of(event, self._codec) for event in events]

    async def _begin(self, timeline: str, since_beginning: bool) -> Start:
        head = await self._store.read(lambda reader: outbox.head(reader, timeline))
        return self._start(head, head.pruned if since_beginning else head.last, recovered=None)

    async def _resume(self, timeline: str, position: Position) -> Start:
        head, standing = await self._store.read(lambda reader: _place(reader, timeline, position))
        if standing is _Standing.HERE:
            return self._start(head, position, recovered=True)
        if standing is _Standing.ELSEWHERE and head.epoch <= position.epoch:
            head = await self._store.run(lambda tx: _depart(tx, timeline, position), timeline)
        return self._start(head, head.last, recovered=False)

    def _start(self, head: Head, position: Position, *, recovered: bool | None) -> Start:
        cursor = self._codec.encode(head.timeline, position)
        return Start(head.timeline, position.seq, cursor, recovered, head.last.seq)


def _place(reader: Reader, timeline: str, position: Position) -> tuple[Head, _Standing]:
    """The head, and what a position is in this history. Below the pruned edge nobody can tell two histories apart."""
    head = outbox.head(reader, timeline)
    if position == head.last:
        return head, _Standing.HERE
    if position.seq < head.pruned.seq and position.epoch <= head.epoch:
        return head, _Standing.PRUNED
    there = outbox.position_at(reader, timeline, position.seq)
    return head, _Standing.HERE if there == position else _Standing.ELSEWHERE


def _depart(tx: Tx, timeline: str, position: Position) -> Head:
    """Under the head's lock: raise the epoch above a foreign cursor's, unless somebody else did."""
    return outbox.raise_epoch(tx, timeline, above=position.epoch)
