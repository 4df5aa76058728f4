"""The twin of each member, kept beside the log: its consumer group adds event after event to it, and whoever reads adds those
that the group has not come to yet, in the same snapshot."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from session_platform.store import Position, Reader, StoredEvent, Tx, outbox
from session_platform.twin.model import EMPTY, CarePlan, Engagement, Twin, Unreadable, engagement, fold, hear, tidy

GROUP: Final = "digital-twin"
AHEAD_MAX_EVENTS: Final = 500
"""How many events a reader adds at most."""

_READ: Final = "SELECT state, again FROM twin WHERE member_id = :member_id"
_KEEP: Final = """
    INSERT INTO twin (member_id, seq, state, again) VALUES (:member_id, :seq, :state, :again)
    ON CONFLICT (member_id) DO UPDATE SET seq = excluded.seq, state = excluded.state, again = excluded.again
"""
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Twin)


class Known(NamedTuple):
    """What is known of a member, and just behind which event of the timeline: the head, unless very much is happening."""

    care_plan: CarePlan | None
    engagement: Engagement
    position: Position


def handle(tx: Tx, event: StoredEvent) -> None:
    """Add an event to its member's twin: the handler of the group `GROUP`. Raises `Unreadable`."""
    twin, again = hear(*_stored(tx, event.timeline), event)
    twin = tidy(twin, tx.now)
    tx.execute(
        _KEEP,
        member_id=event.timeline,
        seq=twin.seq,
        state=_encoder.encode(twin),
        again=None if again is None else _encoder.encode(tidy(again, tx.now)),
    )


def read(reader: Reader, member_id: str, now: datetime, *, ahead_max_events: int = AHEAD_MAX_EVENTS) -> Known:
    """What the member's events up to `Known.position` add up to at ``now``. An event that cannot be read, and more than
    ``ahead_max_events`` that the group has not come to, keep that position behind the head."""
    twin, _ = _stored(reader, member_id)
    twin, position = _ahead(reader, member_id, twin, ahead_max_events)
    return Known(twin.care_plan, engagement(twin, now), position)


def _ahead(reader: Reader, member_id: str, twin: Twin, max_events: int) -> tuple[Twin, Position]:
    head = outbox.head(reader, member_id)
    if twin.seq >= head.last.seq:
        return twin, head.last
    position = outbox.position_at(reader, member_id, twin.seq) or head.pruned
    for event in outbox.page(reader, member_id, twin.seq, max_events):
        try:
            twin, position = fold(twin, event), event.position
        except Unreadable:
            break
    return twin, position


def _stored(reader: Reader, member_id: str) -> tuple[Twin, Twin | None]:
    row = reader.one(_READ, member_id=member_id)
    if row is None:
        return EMPTY, None
    state, again = row
    return _decoder.decode(state), None if again is None else _decoder.decode(again)
