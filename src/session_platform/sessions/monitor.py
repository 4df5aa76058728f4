"""Time passes in sessions: touches are written, silent sessions expire, open ones announce themselves.

It keeps no list of sessions: at each tick it asks the store what became due since the last one. A tick that fails, or comes
late, is made up for by the next; one ``session.active`` then stands for all that were missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from session_platform.clock import Clock
from session_platform.errors import Unavailable
from session_platform.sessions import record as records
from session_platform.sessions.lifecycle import Sessions
from session_platform.sessions.record import Due
from session_platform.sessions.touches import Touches
from session_platform.store.port import Store, Tx

TICK_S: Final = 1.0
# After a long stop all sessions are silent at once: some at each tick, so that other commands come in between.
_EXPIRE_A_TICK: Final = 500
# One transaction announces so many.
_BATCH: Final = 50


class Monitor:
    """Owned by one task: ``run``, or a test's ``tick``."""

    def __init__(self, store: Store, sessions: Sessions, touches: Touches, clock: Clock) -> None:
        self._store = store
        self._sessions = sessions
        self._touches = touches
        self._clock = clock
        self._looked_at = clock.now()

    async def run(self, tick_s: float = TICK_S) -> None:
        """Tick every ``tick_s``, and at once for an urgent touch, until cancelled."""
        while True:
            try:
                await self.tick()
            except Unavailable:
                # The store says so itself (`Store.trouble`); nothing is lost, the next tick looks from the same moment.
                await asyncio.sleep(tick_s)
            else:
                await self._touches.urgent(tick_s)

    async def tick(self) -> None:
        """Do what is due now. Raises `Unavailable`."""
        now = self._clock.now()
        await self._touches.flush_due()
        for due in await self._store.read(partial(records.silent, now=now, limit=_EXPIRE_A_TICK)):
            await self._store.run(partial(self._sessions.expire, session_id=due.session_id), due.member_id)
        dues = await self._store.read(partial(records.to_announce, before=self._looked_at, now=now))
        for start in range(0, len(dues), _BATCH):
            batch = dues[start : start + _BATCH]
            await self._store.run(partial(self._announce, batch=batch), *{due.member_id for due in batch})
        self._looked_at = now

    def _announce(self, tx: Tx, *, batch: Sequence[Due]) -> None:
        for due in batch:
            self._sessions.announce(tx, due.session_id)
