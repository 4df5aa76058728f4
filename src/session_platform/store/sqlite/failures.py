"""What an error of SQLite means: the disk or another program (`Unavailable`, and a sentence for the operator), or a bug."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import apsw

from session_platform.errors import Unavailable

_LOCKED: Final = "Another program holds the database locked: end it."
_READ_ONLY: Final = "The data directory cannot be written to: check its owner, its mode and how its disk is mounted."
_DAMAGED: Final = "The database is damaged: stop the platform and restore a backup of the data directory."

_SENTENCES: Final[Mapping[type[BaseException], str]] = MappingProxyType(
    {
        apsw.FullError: "The disk of the data directory is full: free some space.",
        apsw.IOError: "The disk of the data directory fails: look into the system's log.",
        apsw.BusyError: _LOCKED,
        apsw.LockedError: _LOCKED,
        apsw.ProtocolError: _LOCKED,
        apsw.ReadOnlyError: _READ_ONLY,
        apsw.PermissionsError: _READ_ONLY,
        apsw.CantOpenError: _READ_ONLY,
        apsw.CorruptError: _DAMAGED,
        apsw.NotADBError: _DAMAGED,
        apsw.NoMemError: "There is no memory left for the database: give the process more.",
    }
)


def sentence_for(error: BaseException) -> str | None:
    """What an operator should do about it; None where the error is no matter of the disk or of another program."""
    return _SENTENCES.get(type(error))


def as_seen_by_callers(error: BaseException) -> BaseException:
    """`Unavailable` in place of what an operator must mend; any other error as it is."""
    if sentence_for(error) is None:
        return error
    unavailable = Unavailable()
    unavailable.__cause__ = error
    return unavailable
