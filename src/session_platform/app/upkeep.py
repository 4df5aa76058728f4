"""What time does to the store: old events are taken from their timelines, old idempotent answers forgotten."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from functools import partial
from typing import Final

from session_platform.clock import Clock
from session_platform.errors import Unavailable
from session_platform.store import Store, idempotency, retention

ROUND_S: Final = 60.0
TIMELINES_A_ROUND: Final = 200


class Upkeep:
    """``keep_days``: how long a timeline keeps its events (the wire contract promises seven days)."""

    def __init__(self, store: Store, clock: Clock, keep_days: float) -> None:
        self._store = store
        self._clock = clock
        self._keep = timedelta(days=keep_days)

    async def run(self) -> None:
        """One round a minute until cancelled. A store that is away is met again in the next one."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.round()
            await asyncio.sleep(ROUND_S)

    async def round(self) -> None:
        """Take what is due now, in small transactions. Raises `Unavailable`."""
        before = self._clock.now() - self._keep
        due = await self._store.read(lambda reader: retention.due(reader, before, TIMELINES_A_ROUND))
        for timeline in due:
            while await self._store.run(partial(retention.prune, timeline=timeline, before=before), timeline):
                pass
        forgotten_before = self._clock.now() - idempotency.KEPT_FOR
        while await self._store.run(lambda tx: idempotency.forget(tx, forgotten_before)):
            pass
