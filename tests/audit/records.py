"""An audit with something in it, over a real store."""

from __future__ import annotations

from session_platform.access import audit
from session_platform.access.audit import Sealer, Verification, verify
from session_platform.clock import ManualClock
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore

ROWS = "SELECT id, audit_id, place, link FROM audit ORDER BY id"


async def note(store: SqliteStore, count: int = 1, **fields: str) -> None:
    """``count`` records in one transaction."""

    def command(tx: Tx) -> None:
        for number in range(count):
            wanted = {"actor": f"user-{number % 3}", "action": "context.read", "member_id": "M123456", **fields}
            audit.record(tx, outcome="allowed", **wanted)

    await store.run(command)


async def sealed(store: SqliteStore, clock: ManualClock, count: int = 5) -> list[str]:
    """``count`` sealed records in batches of two: their ids."""
    sealer = Sealer(store, clock, "test")
    for _ in range(0, count, 2):
        await note(store, 2)
        await sealer.seal()
    return [row[1] for row in await store.read(lambda reader: reader.all(ROWS))]


async def verified(store: SqliteStore, wanted: bytes | None = None) -> Verification:
    return await store.read(lambda reader: verify(reader, wanted))
