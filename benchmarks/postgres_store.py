"""Durable commands a second on PostgreSQL beside SQLite, on the same disk: 1, 10 and 100 callers who wait for their answer.

A command changes a row and emits one event with its number. PostgreSQL is started for this and syncs as in production. The two
alternate, three times, and the table has the medians. ``python -m benchmarks.postgres_store`` prints it.
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import NamedTuple

from benchmarks.store import CALLERS, event_command
from session_platform.clock import SystemClock
from session_platform.ids import IdMint
from session_platform.store import Store
from session_platform.store.postgres import PostgresStore
from session_platform.store.sqlite import SqliteStore
from tests.servers import private_postgres

ROUNDS = 3
MEASURED_S = 2.0


class Speed(NamedTuple):
    """Commands a second, and the milliseconds that a caller waits."""

    per_second: float
    p50_ms: float
    p95_ms: float


async def measure(store: Store, callers: int, run: str) -> Speed:
    """So many callers, each with a member of its own, one command after the other."""
    waits_s: list[float] = []
    until = time.perf_counter() + MEASURED_S

    async def caller(number: int) -> None:
        member_id, numbers = f"M{run}{number}", count(1)
        while (began := time.perf_counter()) < until:
            await store.run(event_command(member_id, numbers), member_id)
            waits_s.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    took_s = time.perf_counter() - began
    cuts = statistics.quantiles(waits_s, n=20)
    return Speed(len(waits_s) / took_s, cuts[9] * 1000, cuts[18] * 1000)


async def main() -> None:
    print(f"durable commands a second ({platform.machine()}, {platform.system()}, Python {platform.python_version()})\n")
    found: dict[tuple[int, str], list[Speed]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as directory:
        async with private_postgres(durable=True) as server, server.server.database() as url:
            stores: dict[str, Store] = {
                "SQLite": await SqliteStore.open(Path(directory) / "store", SystemClock(), IdMint()),
                "PostgreSQL": await PostgresStore.open(url, SystemClock(), IdMint()),
            }
            for turn in range(ROUNDS):
                for callers in CALLERS:
                    for name, store in stores.items():
                        found[callers, name].append(await measure(store, callers, f"{turn}x{callers}x"))
            for store in stores.values():
                await store.close()
    print("| store | callers | commands/s | wait p50 ms | p95 ms |")
    print("|---|---|---|---|---|")
    for (callers, name), speeds in found.items():
        per_second, p50_ms, p95_ms = (statistics.median(each) for each in zip(*speeds, strict=True))
        print(f"| {name} | {callers} | {per_second:,.0f} | {p50_ms:.2f} | {p95_ms:.2f} |")


if __name__ == "__main__":
    asyncio.run(main())
