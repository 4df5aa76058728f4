"""Reading a data directory from another process, beside the one that owns it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from session_platform.errors import StartError
from session_platform.store.port import Reader
from session_platform.store.sqlite.database import DATABASE_FILE, connect
from session_platform.store.sqlite.transaction import SqliteReader


@contextmanager
def snapshot(directory: Path) -> Iterator[Reader]:
    """What is committed now, as one consistent view. Takes no lock that the owner would notice. Raises `StartError`."""
    if not (directory / DATABASE_FILE).exists():
        raise StartError(f"There is no platform's data in {directory}: name its folder with --data.")
    try:
        connection = connect(directory, None, read_only=True)
    except apsw.Error:
        raise StartError(f"The data in {directory} cannot be read now: look at the platform that runs on it.") from None
    try:
        with connection:
            yield SqliteReader(connection)
    finally:
        connection.close()
