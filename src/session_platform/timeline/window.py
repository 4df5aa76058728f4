"""The hot window: the newest events of the timelines that move, ready to be sent.

A window is contiguous, always: it takes the next number, drops what it already has, and starts anew at anything else. Who
stands where it does not reach reads the history instead. Its head (the newest number published) is kept for as long as somebody
holds the timeline, even when all its events had to make room: a reader who asked the history can then always tell whether
something was published since.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from session_platform.store.port import Position, StoredEvent
from session_platform.timeline.cursor import CursorCodec

PER_TIMELINE_EVENTS: Final = 256
TOTAL_BYTES: Final = 64 * 1024 * 1024
_ENTRY_OVERHEAD_BYTES: Final = 512
"""What an entry weighs besides its body: the tuples, the cursor's text, the ids (measured: about 450 bytes)."""


class Entry(NamedTuple):
    """A durable event as it is delivered: its place, its routing headers, its cursor and its redacted CloudEvent."""

    seq: int
    position: Position
    name: str
    session_id: str | None
    service_request_id: str | None
    cursor: str
    body: bytes


def entry_of(event: StoredEvent, codec: CursorCodec) -> Entry:
    """The entry of a stored event: the same from the window and from the history."""
    position = Position(event.epoch, event.seq, event.tag)
    cursor = codec.encode(event.timeline, position)
    return Entry(event.seq, position, event.name, event.session_id, event.service_request_id, cursor, event.body)


class _Window:
    """``head`` is the newest number published, None while nothing is known; ``entries`` are the newest events up to it."""

    __slots__ = ("entries", "head", "holds")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.head: int | None = None
        self.holds = 0


class Windows:
    """One window a timeline, at most ``per_timeline_events`` long and all together at most ``total_bytes``: the timeline that
    was longest without a new event gives up its events first."""

    def __init__(
        self, codec: CursorCodec, *, per_timeline_events: int = PER_TIMELINE_EVENTS, total_bytes: int = TOTAL_BYTES
    ) -> None:
        self._codec = codec
        self._per_timeline_events = per_timeline_events
        self._total_bytes = total_bytes
        self._windows: dict[str, _Window] = {}
        self._by_age: OrderedDict[str, _Window] = OrderedDict()
        self.size_bytes = 0

    def append(self, event: StoredEvent) -> None:
        """Take a published event. A number at or below the head is a duplicate and dropped; a gap starts the window anew."""
        window = self._windows.get(event.timeline)
        if window is None:
            window = self._windows[event.timeline] = _Window()
        if window.head is not None and event.seq <= window.head:
            return
        if window.head is None or event.seq > window.head + 1:
            self._drop(window, len(window.entries))
        self._push(event.timeline, window, entry_of(event, self._codec))

    def after(self, timeline: str, seq: int, limit: int) -> list[Entry] | None:
        """At most ``limit`` entries that follow number ``seq``, without a gap. Empty: nothing newer was published. None: the
        window does not reach back to there, or knows nothing of the timeline: ask the history."""
        window = self._windows.get(timeline)
        if window is None or window.head is None:
            return None
        behind = window.head - seq
        if behind <= 0:
            return []
        start = len(window.entries) - behind
        return None if start < 0 else window.entries[start : start + limit]

    def head(self, timeline: str) -> int | None:
        """The newest number published; None when nothing is known of the timeline."""
        window = self._windows.get(timeline)
        return None if window is None else window.head

    def hold(self, timeline: str) -> None:
        """Keep the head of this timeline from now on, whatever else has to make room; `release` once for every call."""
        window = self._windows.get(timeline)
        if window is None:
            window = self._windows[timeline] = _Window()
        window.holds += 1

    def release(self, timeline: str) -> None:
        """Undo one `hold`."""
        window = self._windows[timeline]
        window.holds -= 1
        self._forget_if_idle(timeline, window)

    def prime(self, timeline: str, seq: int) -> None:
        """Tell a window that knows nothing where the store's head stood. Only for a timeline held since before that was read:
        then everything later was, or will be, published to this window."""
        window = self._windows[timeline]
        if window.head is None:
            window.head = seq

    def _push(self, timeline: str, window: _Window, entry: Entry) -> None:
        window.entries.append(entry)
        window.head = entry.seq
        self.size_bytes += _size(entry)
        self._by_age[timeline] = window
        self._by_age.move_to_end(timeline)
        if len(window.entries) > self._per_timeline_events:
            self._drop(window, 1)
        while self.size_bytes > self._total_bytes:
            self._make_room()

    def _make_room(self) -> None:
        timeline, window = next(iter(self._by_age.items()))
        alone = len(self._by_age) == 1
        self._drop(window, 1 if alone else len(window.entries))
        if not window.entries:
            del self._by_age[timeline]
            self._forget_if_idle(timeline, window)

    def _drop(self, window: _Window, count: int) -> None:
        self.size_bytes -= sum(map(_size, window.entries[:count]))
        del window.entries[:count]

    def _forget_if_idle(self, timeline: str, window: _Window) -> None:
        if not window.holds and not window.entries:
            self._windows.pop(timeline, None)


def _size(entry: Entry) -> int:
    return _ENTRY_OVERHEAD_BYTES + len(entry.body)
