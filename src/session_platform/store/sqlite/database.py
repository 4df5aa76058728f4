"""The database file: made whole or not at all, checked before use, migrated, and opened with what durability needs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Final

import apsw

from session_platform.errors import StartError
from session_platform.store.sqlite.failures import sentence_for

DATABASE_FILE: Final = "store.db"
_UNFINISHED_FILE: Final = "store.db.new"
BUSY_TIMEOUT_MS: Final = 1000
STATEMENTS_CACHED: Final = 500
QUICK_CHECK_MAX_S: Final = 0.3

# FULL: every commit is on the disk before it is acknowledged (NORMAL survives a kill, not a power cut). The two fullfsync are
# macOS's, where a plain fsync stops at the drive's cache. journal_size_limit gives the log's space back after a peak.
SETTINGS: Final[Mapping[str, str | int]] = MappingProxyType(
    {
        "journal_mode": "wal",
        "synchronous": 2,
        "fullfsync": 1,
        "checkpoint_fullfsync": 1,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "journal_size_limit": 64 * 1024 * 1024,
        "cache_size": -32 * 1024,
        "temp_store": 2,
    }
)

# `probes` is what the writer counts up to find out whether it can write.
_VERSIONS: Final = """
    CREATE TABLE IF NOT EXISTS schema_version (
        version INTEGER PRIMARY KEY, name TEXT NOT NULL, probes INTEGER NOT NULL DEFAULT 0
    ) STRICT
"""
_NOTE_VERSION: Final = "INSERT INTO schema_version (version, name) VALUES (:version, :name)"
_VERSION: Final = "SELECT COALESCE(MAX(version), 0) FROM schema_version"
_IS_OURS: Final = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'"


def prepare(directory: Path, vfs: str | None) -> None:
    """Create, check and migrate the database of a directory whose lock we hold. Raises `StartError`; a file that is torn or no
    database is reported and left as it is."""
    path = directory / DATABASE_FILE
    with start_errors(path):
        if not path.exists():
            _create(directory, vfs)
        elif path.stat().st_size == 0:
            raise StartError(f"The database {path} is empty: restore a backup, or remove the file to start anew.")
        connection = _open(path, vfs)
        try:
            _check(connection, path)
            _configure(connection)
            _migrate(connection, path)
        finally:
            connection.close()


def connect(directory: Path, vfs: str | None, *, read_only: bool = False) -> apsw.Connection:
    """A connection with our settings to a database that exists. Raises `apsw.Error`."""
    connection = _open(directory / DATABASE_FILE, vfs)
    try:
        _configure(connection)
        if read_only:
            connection.pragma("query_only", 1)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(path: Path, vfs: str | None) -> apsw.Connection:
    connection = apsw.Connection(str(path), apsw.SQLITE_OPEN_READWRITE, vfs, STATEMENTS_CACHED)
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    return connection


def _configure(connection: apsw.Connection) -> None:
    for name, value in SETTINGS.items():
        connection.pragma(name, value)


def _create(directory: Path, vfs: str | None) -> None:
    """Under another name until it is whole: a file of the final name that is not is torn, never half made by us."""
    path, unfinished = directory / DATABASE_FILE, directory / _UNFINISHED_FILE
    if path.with_name(f"{DATABASE_FILE}-wal").exists():
        raise StartError(f"The database {path} is missing, but its log is there: restore a backup of the whole directory.")
    for leftover in directory.glob(f"{_UNFINISHED_FILE}*"):
        leftover.unlink()
    os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = _open(unfinished, vfs)
    try:
        _migrate(connection, path)
    finally:
        connection.close()
    unfinished.rename(path)
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check(connection: apsw.Connection, path: Path) -> None:
    """Whether the file is ours and whole, as far as `QUICK_CHECK_MAX_S` reaches: a start must not take longer the more there
    is. SQLite itself refuses a file that lacks pages."""
    if connection.execute(_IS_OURS).fetchone() != (1,):
        raise StartError(f"The file {path} is a database of another program: choose another --data.")
    until = time.monotonic() + QUICK_CHECK_MAX_S
    connection.set_progress_handler(lambda: time.monotonic() > until, 1000)
    try:
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise apsw.CorruptError
    except apsw.InterruptError:
        return
    finally:
        connection.set_progress_handler(None)


def _migrate(connection: apsw.Connection, path: Path) -> None:
    """Every step that the file has not had yet, each in a transaction with its row in ``schema_version``."""
    steps = migrations()
    connection.execute(_VERSIONS)
    version = connection.execute(_VERSION).get
    if version > len(steps):
        raise StartError(
            f"The database {path} has schema {version}, this session-platform knows {len(steps)}: start the one that wrote it."
        )
    for number, (name, script) in enumerate(steps[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute(script)
            connection.execute(_NOTE_VERSION, {"version": number, "name": name})
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def migrations() -> list[tuple[str, str]]:
    """Name and SQL of every step, in order; step n is the file whose name begins with n in four digits."""
    folder = files("session_platform.store.sqlite") / "migrations"
    return sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql"))


@contextmanager
def start_errors(path: Path) -> Iterator[None]:
    """What goes wrong with the database inside becomes a `StartError` that names it."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StartError(
            f"The database {path} is damaged or no database: restore a backup of the directory, or move it away."
        ) from error
    except apsw.Error as error:
        raise StartError(f"The database {path} cannot be opened: {sentence_for(error) or error}") from error
    except OSError as error:
        raise StartError(f"The database {path} cannot be opened: {error.strerror}.") from error
