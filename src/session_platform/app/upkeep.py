"""What time does to the store: old events are taken from their timelines, and each room forgets what nobody will ask for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from functools import partial
from typing import Final

from session_platform import eligibility
from session_platform.clock import Clock
from session_platform.errors import Unavailable
from session_platform.store import Store, Tx, idempotency, retention

ROUND_S: Final = 60.0
TIMELINES_A_ROUND: Final = 200
BEHIND_EVENTS: Final = timedelta(days=1)
"""What an event refers to stays this much longer than the event: it goes by rounds, and who replays reads behind it."""

Forget = Callable[[Tx], int]
"""Delete some of what is over, in one small transaction: how many rows; 0 when nothing is left."""


class Upkeep:
    """``keep_days``: how long a timeline keeps its events (the wire contract promises seven days). Nothing is taken that one of
    the consumer ``groups`` has not handled. ``forgets`` are further rooms'."""

    def __init__(
        self, store: Store, clock: Clock, keep_days: float, groups: Collection[str], forgets: Iterable[Forget] = ()
    ) -> None:
        self._store = store
        self._clock = clock
        self._keep = timedelta(days=keep_days)
        self._groups = tuple(groups)
        self._forgets: tuple[Forget, ...] = (
            lambda tx: idempotency.forget(tx, tx.now - idempotency.KEPT_FOR),
            lambda tx: eligibility.forget(tx, tx.now - self._keep - BEHIND_EVENTS),
            *forgets,
        )

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
            prune = partial(retention.prune, timeline=timeline, before=before, groups=self._groups)
            while await self._store.run(prune, timeline):
                pass
        for forget in self._forgets:
            while await self._store.run(forget):
                pass
