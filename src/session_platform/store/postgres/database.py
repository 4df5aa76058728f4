"""The database: checked before use and migrated, by one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

import psycopg

from session_platform.errors import StartError
from session_platform.store.postgres.address import Address, Connection, be_durable, why_not_connected
from session_platform.store.postgres.failures import SETTING, sentence_for

OLDEST_SERVER: Final = 140000
MIGRATION_LOCK: Final = (1936026736, 0)
"""In the space of two-part keys, where no timeline's lock is."""

_LOCK: Final = "SELECT pg_advisory_xact_lock(%s::int, %s::int)"
_IS_OURS: Final = "SELECT to_regclass('schema_version') IS NOT NULL"
_IS_EMPTY: Final = (
    "SELECT NOT EXISTS (SELECT 1 FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)"
)
_ENCODING: Final = "SELECT current_setting('server_encoding')"
_CREATE_VERSIONS: Final = """
    CREATE TABLE schema_version (version BIGINT PRIMARY KEY, name TEXT COLLATE "C" NOT NULL, probes BIGINT NOT NULL DEFAULT 0)
"""
_VERSION: Final = "SELECT COALESCE(MAX(version), 0) FROM schema_version"
_NOTE_VERSION: Final = "INSERT INTO schema_version (version, name) VALUES (%s, %s)"
# Every id, and every position of a group, lies below what the next transaction gets. Otherwise this is a dump that was restored
# on a server whose transactions count from elsewhere: the log goes on above them.
_RAISE_BASE: Final = """
    UPDATE log_base SET base = base + known.highest + 1 - log_id(pg_current_xact_id(), 0)
    FROM (
        SELECT GREATEST((SELECT MAX(id) FROM outbox), (SELECT MAX(last_id) FROM consumer_group)) AS highest
    ) AS known
    WHERE known.highest >= log_id(pg_current_xact_id(), 0)
"""


def prepare(address: Address, *, migrate: bool = True) -> None:
    """Check the database and, with ``migrate``, bring it to the schema that this program knows, in one transaction; without it,
    an older one is refused. Raises `StartError` in one sentence that names the setting."""
    with start_errors(), address.connect() as connection, connection.transaction():
        be_durable(connection)
        _check_server(connection)
        connection.execute(_LOCK, MIGRATION_LOCK)
        if migrate:
            _migrate(connection)
        check_version(connection)
        connection.execute(_RAISE_BASE)


def check_version(connection: Connection) -> None:
    """Raises `StartError` unless the schema is the one that this program knows."""
    known, found = len(migrations()), _version(connection)
    if found < known:
        raise StartError(
            f"The database in {SETTING} has schema {found}, this session-platform needs {known}: let its `up` migrate it first."
        )
    if found > known:
        raise StartError(
            f"The database in {SETTING} has schema {found}, this session-platform knows {known}: start the one that wrote it."
        )


def migrations() -> list[tuple[str, str]]:
    """Name and SQL of every step, in order; step n is the file whose name begins with n in four digits."""
    folder = files("session_platform.store.postgres") / "migrations"
    return sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql"))


@contextmanager
def start_errors() -> Iterator[None]:
    """What goes wrong with the database inside becomes a `StartError` that names the setting."""
    try:
        yield
    except psycopg.Error as error:
        raise StartError(_sentence(error)) from None


def _sentence(error: psycopg.Error) -> str:
    if error.sqlstate is None:
        return why_not_connected(error).sentence
    if error.sqlstate == "42501":
        return f"The user in {SETTING} may not create or read the platform's tables: make it the owner of the database."
    return sentence_for(error) or f"The database in {SETTING} cannot be prepared: {error.diag.message_primary}."


def _check_server(connection: Connection) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        raise StartError(f"The server in {SETTING} is older than PostgreSQL 14: use a newer one.")
    if _one(connection, _ENCODING) != "UTF8":
        raise StartError(f"The database in {SETTING} is not encoded in UTF8: create one that is.")


def _migrate(connection: Connection) -> None:
    """Every step that the database has not had yet, each with its row in ``schema_version``."""
    if not _one(connection, _IS_OURS):
        if not _one(connection, _IS_EMPTY):
            raise StartError(f"The database in {SETTING} belongs to another program: name an empty one.")
        connection.execute(_CREATE_VERSIONS)
    version = _version(connection)
    for number, (name, script) in enumerate(migrations()[version:], start=version + 1):
        connection.execute(script.encode())
        connection.execute(_NOTE_VERSION, (number, name))


def _version(connection: Connection) -> int:
    return int(_one(connection, _VERSION)) if _one(connection, _IS_OURS) else 0


def _one(connection: Connection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]
