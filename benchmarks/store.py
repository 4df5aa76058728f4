"""Durable commands a second: each acknowledged after an fsync, at 1, 10 and 100 callers who each wait for their answer.

``row`` changes one row; ``event`` also emits one event with its number. ``python -m benchmarks.store`` prints a table.
"""

from __future__ import annotations

import asyncio
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from session_platform.clock import SystemClock
from session_platform.contract import TaskInProgressEvent
from session_platform.ids import IdMint
from session_platform.store import Tx, inbox
from session_platform.store.sqlite import SqliteStore

CALLERS = (1, 10, 100)
MEASURED_S = 2.0

Command = Callable[[Tx], object]


class Speed(NamedTuple):
    """Commands a second, and the milliseconds that a caller waits."""

    per_second: float
    p50_ms: float
    p99_ms: float


def row_command(member_id: str, numbers: Iterator[int]) -> Command:
    number = next(numbers)
    return lambda tx: inbox.advance(tx, "benchmark", member_id, number)


def event_command(member_id: str, numbers: Iterator[int]) -> Command:
    event = TaskInProgressEvent(task_id="task_benchmark", member_id=member_id, session_id="sess_benchmark")
    number = next(numbers)

    def command(tx: Tx) -> int:
        inbox.advance(tx, "benchmark", member_id, number)
        return tx.emit(event)

    return command


async def measure(store: SqliteStore, callers: int, make: Callable[[str, Iterator[int]], Command], run: str) -> Speed:
    """So many callers, each with a member of its own, one command after the other."""
    waits_s: list[float] = []
    until = time.perf_counter() + MEASURED_S

    async def caller(number: int) -> None:
        member_id, numbers = f"M{run}{number}", count(1)
        while (began := time.perf_counter()) < until:
            await store.run(make(member_id, numbers), member_id)
            waits_s.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    took_s = time.perf_counter() - began
    cuts = statistics.quantiles(waits_s, n=100)
    return Speed(len(waits_s) / took_s, cuts[49] * 1000, cuts[98] * 1000)


async def main() -> None:
    print(f"durable commands a second ({platform.machine()}, {platform.system()}, Python {platform.python_version()})\n")
    print("| command | callers | commands/s | wait p50 ms | p99 ms |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        store = await SqliteStore.open(Path(directory) / "store", SystemClock(), IdMint())
        for name, make in (("row", row_command), ("event", event_command)):
            for callers in CALLERS:
                speed = await measure(store, callers, make, f"{name}{callers}x")
                print(f"| {name} | {callers} | {speed.per_second:,.0f} | {speed.p50_ms:.2f} | {speed.p99_ms:.2f} |", flush=True)
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
