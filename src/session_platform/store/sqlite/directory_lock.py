"""One process at a time holds a data directory. Readers of other processes are not kept out."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from session_platform.errors import StartError

LOCK_FILE: Final = "lock"


class DirectoryLock:
    """An flock on a file of the directory: the kernel lets go of it when the process dies, however that happens."""

    def __init__(self, directory: Path) -> None:
        """Create the directory if needed and take the lock. Raises `StartError`."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file: int | None = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartError(
                f"The data directory {directory} cannot be used ({error.strerror}): choose another --data."
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise StartError(
                f"The data directory {directory} is in use by another session-platform: stop that one or choose another --data."
            ) from error

    def release(self) -> None:
        """Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
