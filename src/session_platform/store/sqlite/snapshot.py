"""Reading a data directory from another process, beside the one that owns it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import apsw

from session_platform.errors import StartError
from session_platform.store.port import Reader
from session_platform.store.sqlite.database import DATABASE_FILE, connect, migrations
from session_platform.store.sqlite.transaction import SqliteReader

_VERSION: Final = "SELECT COALESCE(MAX(version), 0) FROM schema_version"


@contextmanager
def snapshot(directory: Path) -> Iterator[Reader]:
    """What is committed now, as one consistent view. Takes no lock that the owner would notice. Raises `StartError`, also for
    the data of another version of the platform."""
    if not (directory / DATABASE_FILE).exists():
        raise StartError(f"There is no platform's data in {directory}: name its folder with --data.")
    try:
        connection = connect(directory, None, read_only=True)
        version = connection.execute(_VERSION).get
    except apsw.Error:
        raise StartError(f"The data in {directory} cannot be read now: look at the platform that runs on it.") from None
    try:
        if version != len(migrations()):
            raise StartError(
                f"The data in {directory} has schema {version}, this session-platform knows {len(migrations())}: "
                "use the version that runs on it."
            )
        with connection:
            yield SqliteReader(connection)
    finally:
        connection.close()
