"""What must hold of every timeline at every moment, read back from the store by its public functions."""

from __future__ import annotations

from session_platform.store import GENESIS, Reader, StoredEvent, outbox

PAGE = 7


def every_event(reader: Reader) -> list[StoredEvent]:
    """All events there are, by small pages."""
    events: list[StoredEvent] = []
    while page := outbox.after(reader, events[-1].id if events else 0, PAGE):
        events += page
    return events


def assert_whole(reader: Reader) -> dict[str, list[StoredEvent]]:
    """Every timeline is gapless from retention's edge to its head, in the order of the outbox; returns them."""
    events = every_event(reader)
    assert len({event.id for event in events}) == len(events)
    timelines: dict[str, list[StoredEvent]] = {}
    for event in events:
        timelines.setdefault(event.timeline, []).append(event)
    for timeline, kept in timelines.items():
        head = outbox.head(reader, timeline)
        assert [event.seq for event in kept] == list(range(head.pruned.seq + 1, head.last.seq + 1))
        assert kept[-1].position == head.last
        assert head.pruned == GENESIS or head.pruned.seq > 0
        assert outbox.page(reader, timeline, head.pruned.seq, len(kept) + 1) == kept
    return timelines
