"""``python -m tests.faults.filling_disk ROOM up …``: the command, on a disk that can fill up.

SIGUSR1: no file may grow beyond ROOM bytes, or if that is ``log`` beyond somewhat more than the database's log has now; writing
behind that fails. SIGUSR2: there is space again. A limit on the size of files does it: that needs no right and no mount.
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Any

from session_platform.app.cli import main
from session_platform.store.sqlite.database import DATABASE_FILE

SOMEWHAT_BYTES = 10_000


def limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill(*_: Any) -> None:
    limit(LOG.stat().st_size + SOMEWHAT_BYTES if ROOM == "log" else int(ROOM))


def free(*_: Any) -> None:
    limit(resource.RLIM_INFINITY)


if __name__ == "__main__":
    ROOM = sys.argv.pop(1)
    LOG = Path(sys.argv[sys.argv.index("--data") + 1]) / f"{DATABASE_FILE}-wal"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, fill)
    signal.signal(signal.SIGUSR2, free)
    main()
