"""How far a consumer group has handled a timeline: written in the transaction of the effect, so that each takes effect once."""

from __future__ import annotations

from typing import Final

from session_platform.store import outbox
from session_platform.store.port import Tx

_SEQ: Final = """
    SELECT seq FROM inbox WHERE consumer_group = :consumer_group AND generation = :generation AND timeline = :timeline
"""
_ADVANCE: Final = """
    INSERT INTO inbox (consumer_group, generation, timeline, seq) VALUES (:consumer_group, :generation, :timeline, :seq)
    ON CONFLICT (consumer_group, generation, timeline) DO UPDATE SET seq = excluded.seq
"""


class InboxGap(Exception):
    """An event came before one with a lower number of the same timeline: handling it would lose the lower one for ever."""


def advance(tx: Tx, group: str, timeline: str, seq: int, generation: int = 0) -> bool:
    """Note that ``group`` handles event ``seq`` of ``timeline`` in this transaction. False: it already was, do nothing.

    A group begins with the first event that retention has left, or any before it. ``generation`` rises when a group is replayed
    from the beginning. Raises `InboxGap` when the event before it was not handled.
    """
    row = tx.one(_SEQ, consumer_group=group, generation=generation, timeline=timeline)
    if row is not None and seq <= row[0]:
        return False
    reached = outbox.head(tx, timeline).pruned.seq if row is None else row[0]
    if seq > reached + 1:
        raise InboxGap("an earlier event of this timeline was not handled yet")
    tx.execute(_ADVANCE, consumer_group=group, generation=generation, timeline=timeline, seq=seq)
    return True
