"""``python -m tests.faults.breaking_part up …``: the command, with a part that breaks on SIGUSR1."""

from __future__ import annotations

import signal
from typing import Any

from session_platform.app.cli import main
from session_platform.sessions import Monitor

SAID = "words of a member"
breaking = False
tick = Monitor.tick


def break_it(*_: Any) -> None:
    global breaking
    breaking = True


async def breaks(self: Monitor) -> None:
    if breaking:
        raise LookupError(SAID)
    await tick(self)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, break_it)
    Monitor.tick = breaks  # type: ignore[method-assign]
    main()
