"""Heartbeats: noted at once, written in batches.

The failure story: a touch lives in this process until it is written, so a process that dies loses at most the touches of the
last `FLUSH_EVERY`. A touch that decides something, because it ends an idle time or comes near the expiry, is written at once.
Behind one that this process wrote less than `_FRESH_FOR` ago there can be no such touch; every other is treated as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Final

from session_platform.clock import Clock
from session_platform.errors import Unavailable
from session_platform.sessions import record as records
from session_platform.sessions.model import FLUSH_EVERY, IDLE_AFTER, LifeState, WorkOf, state_of
from session_platform.sessions.presence import announce
from session_platform.store.port import Store, Tx

_FRESH_FOR: Final = IDLE_AFTER - FLUSH_EVERY
# One transaction writes so many, so that a flush never holds up other commands for long.
_BATCH: Final = 200


class Touches:
    """The touches of this process. ``touch`` and ``pending`` are plain and quick; the monitor calls ``flush_due``."""

    def __init__(self, store: Store, clock: Clock, active_work: WorkOf) -> None:
        self._store = store
        self._clock = clock
        self._active_work = active_work
        # At most one entry a session that somebody is in just now: a flush forgets what it wrote `_FRESH_FOR` ago.
        self._noted: dict[str, datetime] = {}
        self._written: dict[str, datetime] = {}
        self._urgent = asyncio.Event()
        self._flushed_at = clock.now()

    def touch(self, session_id: str, active: bool) -> None:
        """A heartbeat in a session. Only an ``active`` one, the person did something, keeps the session alive."""
        if not active:
            return
        now = self._clock.now()
        self._noted[session_id] = max(now, self._noted.get(session_id, now))
        if session_id not in self._written:
            self._urgent.set()

    def pending(self, session_id: str) -> datetime | None:
        """The newest touch that is not written yet. Safe to call from any thread."""
        return self._noted.get(session_id)

    async def urgent(self, timeout_s: float) -> None:
        """Wait until a touch cannot wait for the next flush, or for ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def flush_due(self) -> None:
        """Flush when `FLUSH_EVERY` has passed, or at once where a touch is urgent. Raises `Unavailable`."""
        if self._urgent.is_set() or abs(self._clock.now() - self._flushed_at) >= FLUSH_EVERY:
            await self.flush()

    async def flush(self) -> None:
        """Write what was noted. Raises `Unavailable`; then nothing is forgotten, and what is left is urgent."""
        # Before the first await: a touch that comes meanwhile may be urgent again.
        self._urgent.clear()
        noted = sorted(self._noted.items())
        try:
            for start in range(0, len(noted), _BATCH):
                await self._flush(noted[start : start + _BATCH])
        except Unavailable:
            self._urgent.set()
            raise
        self._flushed_at = self._clock.now()
        self._written = {key: at for key, at in self._written.items() if self._flushed_at - at < _FRESH_FOR}

    async def _flush(self, batch: Sequence[tuple[str, datetime]]) -> None:
        await self._store.run(partial(_write, batch=batch, active_work=self._active_work))
        for session_id, at in batch:
            self._written[session_id] = at
            # A touch that came meanwhile is a newer one: it stays for the next flush.
            if self._noted.get(session_id) == at:
                del self._noted[session_id]


def _write(tx: Tx, *, batch: Sequence[tuple[str, datetime]], active_work: WorkOf) -> None:
    """Sorted by id, so that two processes that flush the same sessions cannot wait for each other. No head is locked: the row
    is enough, and the statement itself refuses a session that has ended."""
    for session_id, at in batch:
        record = records.by_id(tx, session_id)
        if record is None or not records.move(tx, session_id, at):
            continue
        work = active_work(tx, session_id)
        open_requests = len(work.service_requests)
        before = state_of(at, record.last_activity_at, None, open_requests)
        if (before, state_of(tx.now, at, None, open_requests)) == (LifeState.IDLE, LifeState.ACTIVE):
            announce(tx, record, at, work)
