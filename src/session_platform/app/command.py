"""The console script's first lines: whoever presses Ctrl-C while the rest is still being imported is not shown a traceback."""

from __future__ import annotations

import sys

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells have it."""


def main() -> None:
    """``session-platform``."""
    try:
        from session_platform.app.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
