"""Finding a process that somebody else started."""

from __future__ import annotations

import asyncio
import subprocess


def children(pid: int) -> list[int]:
    """The processes that ``pid`` started and that still run."""
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True) as listing:
        rows = [line.split() for line in listing.communicate()[0].splitlines()]
    assert listing.returncode == 0
    found = [int(child) for child, parent, state in rows if int(parent) == pid and not state.startswith("Z")]
    return [child for child in found if child != listing.pid]


async def another_child(pid: int, child: int) -> int:
    """The one that took the place of ``child``."""
    async with asyncio.timeout(60):
        while True:
            for other in await asyncio.to_thread(children, pid):
                if other != child:
                    return other
