"""What an error of PostgreSQL means: for the connection, for the command, and for the operator."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeVar

import psycopg

from session_platform.errors import Unavailable

V = TypeVar("V")

SETTING: Final = "SESSION_PLATFORM_DATABASE_URL"
AWAY: Final = f"The database server cannot be reached: start it, or mend {SETTING}."


class Away(Exception):
    """No connection can be made; ``sentence`` is for the operator."""

    def __init__(self, sentence: str = AWAY) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class StatementFailed(Exception):
    """A statement that PostgreSQL refused. It carries the SQLSTATE and what names the schema only: the rest of PostgreSQL's
    message may quote the values of a row."""


class Fault(Enum):
    """``LOST``: the connection is of no use, and whatever ran on it without COMMIT is gone. ``AGAIN``: another transaction was
    in the way; the command has a fair chance if it runs once more. ``UNAVAILABLE``: somebody has to mend or wait for something.
    ``BUG``: the command's own."""

    LOST = "lost"
    AGAIN = "again"
    UNAVAILABLE = "unavailable"
    BUG = "bug"


# By SQLSTATE, or by its class. 23505: a row that this command looked for came meanwhile; run again it finds it, and if the
# command itself is to blame it fails again.
_FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "08": Fault.LOST,
        "25P03": Fault.LOST,
        "57P": Fault.LOST,
        "40001": Fault.AGAIN,
        "40P01": Fault.AGAIN,
        "23505": Fault.AGAIN,
        "25006": Fault.UNAVAILABLE,
        "53": Fault.UNAVAILABLE,
        "55P03": Fault.UNAVAILABLE,
        "57014": Fault.UNAVAILABLE,
        "58": Fault.UNAVAILABLE,
        "XX001": Fault.UNAVAILABLE,
        "XX002": Fault.UNAVAILABLE,
    }
)
_SENTENCES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "25006": f"The database takes no writes (is it a standby?): let {SETTING} name the primary.",
        "53100": "The disk of the database server is full: free some space.",
        "53300": "The database server takes no more connections: raise its max_connections.",
        "53": "The database server lacks memory or another resource: look into its log.",
        "57014": "The database server takes too long: look at its load.",
        "58": "The disk of the database server fails: look into its log.",
        "XX": "The database is damaged: stop the platform and restore a backup.",
    }
)
_NAMES_THE_SCHEMA: Final = ("23", "42")


def fault_of(error: BaseException) -> Fault:
    if not isinstance(error, psycopg.Error):
        return Fault.BUG
    if error.sqlstate is None:
        return Fault.LOST if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else Fault.BUG
    return _by_state(_FAULTS, error.sqlstate) or Fault.BUG


def sentence_for(error: BaseException) -> str | None:
    """What an operator should do about it; None where there is nothing to do, or not for an operator."""
    if isinstance(error, Away):
        return error.sentence
    return _by_state(_SENTENCES, error.sqlstate) if isinstance(error, psycopg.Error) and error.sqlstate else None


def as_seen_by_callers(error: BaseException) -> BaseException:
    """`Unavailable` where the database could not take it, `StatementFailed` where it refused; any other error as it is."""
    if isinstance(error, Away):
        return Unavailable()
    if not isinstance(error, psycopg.Error):
        return error
    if fault_of(error) is Fault.BUG or error.sqlstate == "23505":
        return StatementFailed(_text_of(error))
    return Unavailable()


def _text_of(error: psycopg.Error) -> str:
    state = error.sqlstate
    if state is None:
        return type(error).__name__
    named = error.diag.message_primary if state.startswith(_NAMES_THE_SCHEMA) else None
    return f"{state} {named or type(error).__name__}"


def _by_state(table: Mapping[str, V], state: str) -> V | None:
    return next((found for length in (5, 3, 2) if (found := table.get(state[:length])) is not None), None)
