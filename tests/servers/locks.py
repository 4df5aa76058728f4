"""Locks of files, which the kernel lets go of when their holder ends, however it ends.

They are POSIX locks: a holder's children do not inherit them, a shared one becomes exclusive in one step, and closing *any*
descriptor of the file gives the lock up. So a process opens such a file once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_threads: Final[dict[Path, threading.Lock]] = {}


@contextlib.contextmanager
def exclusively(path: Path) -> Iterator[None]:
    """One process and thread at a time; the others wait. Not to be taken twice by one thread."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _threads.setdefault(path, threading.Lock()):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Hold:
    """While at least one process holds ``directory``, the server in it is kept. One hold a process and directory.

    Makes the directory, and the run's directory that it stands in, where there is none; waits while a keeper is ending what
    was there before.
    """

    def __init__(self, directory: Path) -> None:
        while True:
            descriptor = _open(directory / "alive")
            if descriptor is not None:
                fcntl.lockf(descriptor, fcntl.LOCK_SH)
                if _is_at(directory / "alive", descriptor):
                    break
                os.close(descriptor)
        self._descriptor = descriptor

    def release(self) -> bool:
        """Whether this was the last one, so that the keeper now ends."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            return True
        finally:
            os.close(self._descriptor)


def _open(path: Path) -> int | None:
    """None: a keeper took the directory away at this moment."""
    try:
        for place in (path.parent.parent, path.parent):
            place.mkdir(exist_ok=True)
            place.chmod(0o711)  # a server that does not run as root has to get through
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
