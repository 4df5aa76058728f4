"""The sealer: gives records their place in the chain, in batches, one process at a time.

The failure story: a batch is one transaction (links, seal, lease), so a process that dies in it leaves the records unsealed as
they were, and the next one begins at the same place. The lease keeps a second process from doing the same work; that two can
never seal the same place, the lease's row in that very transaction and the unique places say, whatever the clocks do.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Final

import structlog

from session_platform.access.audit import stored
from session_platform.access.audit.chain import START, Head, link_of
from session_platform.clock import Clock, to_micros
from session_platform.errors import Unavailable
from session_platform.store import Store, Tx

EVERY_S: Final = 1.0
BATCH_MAX: Final = 500
"""A batch holds up other commands for a few milliseconds."""
LEASE_FOR: Final = timedelta(seconds=5)
HEAD_NOTED_EVERY_S: Final = 600.0

_TAKE_LEASE: Final = """
INSERT INTO audit_sealer (name, owner, until) VALUES ('sealer', :owner, :until)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until
WHERE audit_sealer.owner = excluded.owner OR audit_sealer.until <= :now
"""
_RELEASE_LEASE: Final = "DELETE FROM audit_sealer WHERE name = 'sealer' AND owner = :owner"
_NEXT: Final = """
SELECT id, audit_id, at, actor, action, member_id, session_id, outcome, reason FROM audit
WHERE place IS NULL ORDER BY id LIMIT :limit
"""
_SEAL_RECORD: Final = "UPDATE audit SET place = :place, link = :link WHERE id = :id AND place IS NULL"
_ADD_SEAL: Final = "INSERT INTO audit_seal (number, place, link, at) VALUES (:number, :place, :link, :at)"

_log: Final = structlog.get_logger("session_platform.audit")


class Sealer:
    """``owner`` names this process among those that share the store."""

    def __init__(self, store: Store, clock: Clock, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self._noted_at_s: float | None = None

    async def run(self) -> None:
        """Seal every second what is there, until cancelled. A store that is away is met again a second later."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.seal()
            await asyncio.sleep(EVERY_S)

    async def seal(self) -> int:
        """Seal every record that waits, unless another process does: how many were sealed here. Raises `Unavailable`."""
        sealed_in_all = 0
        while await self._store.read(stored.waiting):
            head, count = await self._store.run(self._seal_batch)
            sealed_in_all += count
            if count:
                self._note(head)
            if count < BATCH_MAX:
                break
        return sealed_in_all

    async def close(self) -> None:
        """Seal what waits, then leave the rest to whoever comes next, who need not wait for the lease. Behind the end of `run`.
        Raises `Unavailable`."""
        await self.seal()
        await self._store.run(lambda tx: tx.execute(_RELEASE_LEASE, owner=self._owner))

    def _seal_batch(self, tx: Tx) -> tuple[Head, int]:
        now_us, until_us = to_micros(tx.now), to_micros(tx.now + LEASE_FOR)
        if not tx.execute(_TAKE_LEASE, owner=self._owner, now=now_us, until=until_us):
            return START, 0
        seal, head = stored.newest_seal(tx), stored.head(tx)
        rows = tx.all(_NEXT, limit=BATCH_MAX)
        for row_id, *fields in rows:
            place = head.place + 1
            head = Head(place, link_of(head.link, place, stored.entry_of(fields)))
            tx.execute(_SEAL_RECORD, id=row_id, place=place, link=head.link)
        if rows:
            number = 1 if seal is None else seal.number + 1
            tx.execute(_ADD_SEAL, number=number, place=head.place, link=head.link, at=now_us)
        return head, len(rows)

    def _note(self, head: Head) -> None:
        """Where logs are kept on another machine, each such line is a head that nobody here can take back."""
        now_s = self._clock.monotonic()
        if self._noted_at_s is None or now_s - self._noted_at_s >= HEAD_NOTED_EVERY_S:
            self._noted_at_s = now_s
            _log.info("audit.head", place=head.place, head=head.link.hex())
