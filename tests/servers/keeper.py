"""``python keeper.py DIRECTORY PROGRAM``: run a program for as long as somebody holds the directory, then remove both.

It runs by its path, with nothing but the standard library, and goes into the background once the program runs. The
program is a JSON object: ``argv``, ``end`` (the signal that ends it at once), ``user`` ([uid, gid] or null). In the directory:

* ``alive``: the users' lock. While anybody has it shared, the program is kept; kill -9 of the last user frees it.
* ``kept``: the keeper's lock, held for as long as the program runs.
* ``keeper``, ``pid`` and ``status``: the processes of the keeper and of the program, and later how that one ended.
* ``log``: what the program printed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
ENDS_WITHIN_S: Final = 10.0


def main(directory: Path, program: dict[str, Any]) -> int:
    """0 once the program runs; what keeps it from running stands in the log."""
    reading, writing = os.pipe()
    if os.fork():
        os.close(writing)
        return 0 if os.read(reading, 1) else 1
    os.setsid()
    os.close(reading)
    _lock(directory / "kept", fcntl.LOCK_EX)
    with (directory / "log").open("ab") as log:
        for descriptor in (sys.stdout.fileno(), sys.stderr.fileno()):
            os.dup2(log.fileno(), descriptor)
    child = _run(directory, program)
    (directory / "keeper").write_text(str(os.getpid()))
    (directory / "pid").write_text(str(child.pid))
    os.write(writing, b"+")
    os.close(writing)
    unused = threading.Event()
    threading.Thread(target=_end_when_unused, args=(directory, child, program["end"], unused), daemon=True).start()
    (directory / "status").write_text(str(child.wait()))
    if unused.is_set():
        _remove(directory)
    return 0


def _run(directory: Path, program: dict[str, Any]) -> subprocess.Popen[bytes]:
    uid, gid = program["user"] or (None, None)
    return subprocess.Popen(
        program["argv"],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        user=uid,
        group=gid,
        extra_groups=None if gid is None else [],
        preexec_fn=_dies_with(os.getpid(), program["end"]),
    )


def _dies_with(keeper: int, number: int) -> Callable[[], None]:
    """Linux ends the program with its keeper, too, even if somebody kills that one."""
    if sys.platform != "linux":
        return lambda: None
    prctl = ctypes.CDLL(None).prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != keeper:
            os._exit(1)

    return ask


def _end_when_unused(directory: Path, child: subprocess.Popen[bytes], number: int, unused: threading.Event) -> None:
    _lock(directory / "alive", fcntl.LOCK_EX)
    unused.set()
    child.send_signal(number)
    child.send_signal(signal.SIGCONT)
    try:
        child.wait(ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        child.kill()


def _lock(path: Path, kind: int) -> None:
    """Held until this process ends."""
    fcntl.lockf(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), kind)


def _remove(directory: Path) -> None:
    """Out of the way in one step, so that the next one with this name starts from nothing."""
    gone = directory.with_name(f"{directory.name}.{os.getpid()}")
    directory.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    try:
        directory.parent.rmdir()
    except OSError:  # the run's other servers are still there
        return


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
