"""How far a consumer group has come: in the log, and in each timeline. Written in the transaction of the effect, so that each
event takes effect once."""

from __future__ import annotations

from typing import Final, NamedTuple

from session_platform.store import outbox
from session_platform.store.port import Reader, Tx

_SEQ: Final = """
    SELECT seq FROM inbox WHERE consumer_group = :consumer_group AND generation = :generation AND timeline = :timeline
"""
_ADVANCE: Final = """
    INSERT INTO inbox (consumer_group, generation, timeline, seq) VALUES (:consumer_group, :generation, :timeline, :seq)
    ON CONFLICT (consumer_group, generation, timeline) DO UPDATE SET seq = excluded.seq
"""
_STANDING: Final = "SELECT generation, last_id FROM consumer_group WHERE consumer_group = :consumer_group"
_STAND: Final = """
    INSERT INTO consumer_group (consumer_group, generation, last_id) VALUES (:consumer_group, :generation, :last_id)
    ON CONFLICT (consumer_group) DO UPDATE SET generation = excluded.generation, last_id = excluded.last_id
"""
_FORGET: Final = "DELETE FROM inbox WHERE consumer_group = :consumer_group AND generation < :generation"


class InboxGap(Exception):
    """An event came before one with a lower number of the same timeline: handling it would lose the lower one for ever."""


class Standing(NamedTuple):
    """Where a group is in the log: behind the event with this id, the ``generation``-th time that it hears it all."""

    generation: int
    last_id: int


BEGINNING: Final = Standing(generation=0, last_id=0)


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


def standing(reader: Reader, group: str) -> Standing:
    """Where ``group`` is; `BEGINNING` for one that nobody has heard of."""
    row = reader.one(_STANDING, consumer_group=group)
    return BEGINNING if row is None else Standing(*row)


def stand(tx: Tx, group: str, at: Standing) -> None:
    """Note where ``group`` is after this transaction."""
    tx.execute(_STAND, consumer_group=group, **at._asdict())


def begin_again(tx: Tx, group: str) -> Standing:
    """Let ``group`` hear everything that is kept once more, under the next generation. Until it has, retention waits for it."""
    again = Standing(standing(tx, group).generation + 1, 0)
    stand(tx, group, again)
    tx.execute(_FORGET, consumer_group=group, generation=again.generation)
    return again
