"""How far each device of a subject has handled a timeline: noted at once, written in batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from session_platform.clock import to_micros
from session_platform.store.port import Position, Reader, Store, Tx

_KEEP: Final = """
    INSERT INTO acknowledgement (subject, device_id, timeline, epoch, seq, tag, at)
    VALUES (:subject, :device_id, :timeline, :epoch, :seq, :tag, :at)
    ON CONFLICT (subject, device_id, timeline) DO UPDATE
    SET epoch = excluded.epoch, seq = excluded.seq, tag = excluded.tag, at = excluded.at
    WHERE excluded.epoch > acknowledgement.epoch
       OR (excluded.epoch = acknowledgement.epoch AND excluded.seq > acknowledgement.seq)
"""
_LATEST: Final = """
    SELECT epoch, seq, tag FROM acknowledgement WHERE subject = :subject AND device_id = :device_id AND timeline = :timeline
"""


class _Device(NamedTuple):
    subject: str
    device_id: str
    timeline: str


class Acknowledgements:
    """The newest acknowledged position of each (subject, device, timeline). It never goes back: a later epoch is newer, and
    within an epoch a higher number is."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: dict[_Device, Position] = {}

    def note(self, subject: str, device_id: str, timeline: str, position: Position) -> None:
        """Everything up to this position was handled there; durable after the next `flush`."""
        device = _Device(subject, device_id, timeline)
        self._noted[device] = max(position, self._noted.get(device, position))

    async def flush(self) -> None:
        """Write what was noted, in one command. Raises `Unavailable`: then all of it is still noted."""
        batch = dict(self._noted)
        if not batch:
            return
        await self._store.run(lambda tx: _keep(tx, batch))
        for device, position in batch.items():
            if self._noted.get(device) == position:
                del self._noted[device]

    def latest(self, reader: Reader, subject: str, device_id: str, timeline: str) -> Position | None:
        """The newest position acknowledged there, written or only noted yet; None when there was none."""
        row = reader.one(_LATEST, subject=subject, device_id=device_id, timeline=timeline)
        noted = self._noted.get(_Device(subject, device_id, timeline))
        known = [position for position in (noted, None if row is None else Position(*row)) if position is not None]
        return max(known, default=None)


def _keep(tx: Tx, batch: Mapping[_Device, Position]) -> None:
    at = to_micros(tx.now)
    for device, position in sorted(batch.items()):
        tx.execute(_KEEP, at=at, **device._asdict(), **position._asdict())
