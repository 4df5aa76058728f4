"""Where the database is, and what every connection of ours asks of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.numeric import Int8BinaryDumper

from session_platform.errors import StartError
from session_platform.store.postgres.failures import SETTING, Away, sentence_for

NO_ADDRESS: Final = f"The setting {SETTING} is no address of a PostgreSQL database."
CONNECT_TIMEOUT_S: Final = 3
STATEMENTS_PREPARED: Final = 500

# A command computes and waits for nothing but its statements: a pause of seconds is a process that stands still, and whoever
# reads the log waits behind its transaction. Waiting for a timeline's lock holds up nobody who reads.
LIMITS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "statement_timeout": "10s",
        "lock_timeout": "8s",
        "idle_in_transaction_session_timeout": "3s",
        "default_transaction_isolation": "read committed",
        "search_path": "public",
    }
)
# A server that vanished without a word is noticed by the kernel.
_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 10_000,
        "application_name": "session-platform",
    }
)
# What the server is set to stays, unless an acknowledged commit could be lost by it.
_BE_DURABLE: Final = """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""

Connection = psycopg.Connection[tuple[Any, ...]]


class Address:
    """``url`` is a PostgreSQL URL or connection string. Raises `StartError` for what is neither. Never prints itself: it may
    hold the password."""

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.Error:
            raise StartError(NO_ADDRESS) from None
        limits = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in LIMITS.items())
        self._parameters: dict[str, Any] = {**_DEFAULTS, **given, "options": f"{limits} {given.get('options', '')}".strip()}

    def connect(self) -> Connection:
        """A connection without a transaction; say `be_durable` to it before anything is committed. Raises `psycopg.Error`."""
        connection = psycopg.connect(autocommit=True, **self._parameters)
        connection.adapters.register_dumper(int, Int8BinaryDumper)
        connection.adapters.register_dumper(bool, Int8BinaryDumper)
        connection.prepared_max = STATEMENTS_PREPARED
        return connection


def be_durable(connection: Connection) -> None:
    """Raises `psycopg.Error`."""
    connection.execute(_BE_DURABLE)


def why_not_connected(error: psycopg.Error) -> Away:
    """The server says before any SQLSTATE reaches us why it does not let us in, in words."""
    said = str(error)
    if said.startswith("invalid") or "Servname not supported" in said:
        return Away(NO_ADDRESS)
    if "password" in said or "authentication failed" in said or "pg_hba.conf" in said:
        return Away(f"The database server does not let us in: mend user and password in {SETTING}.")
    if "role" in said and "does not exist" in said:
        return Away(f"The database server does not know the user in {SETTING}: create it, or mend the setting.")
    if "database" in said and "does not exist" in said:
        return Away(f"The database server has no database of the name in {SETTING}: create it, or mend the setting.")
    if "too many" in said or "remaining connection slots" in said:
        return Away("The database server takes no more connections: raise its max_connections.")
    sentence = sentence_for(error)
    return Away() if sentence is None else Away(sentence)
