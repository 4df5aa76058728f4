"""Keys that the platform makes for itself and that every process of it must share; an old one still verifies what it made."""

from __future__ import annotations

from typing import Final

from session_platform.clock import to_micros
from session_platform.store.port import Reader, Tx

_KEYS: Final = "SELECT number, value FROM secret WHERE purpose = :purpose ORDER BY number"
_ADD: Final = "INSERT INTO secret (purpose, number, value, at) VALUES (:purpose, :number, :value, :at)"


def keys(reader: Reader, purpose: str) -> dict[int, bytes]:
    """Every key of a purpose by its number, rising: the highest is the one to use."""
    return {number: value for number, value in reader.all(_KEYS, purpose=purpose)}


def rotate(tx: Tx, purpose: str, value: bytes) -> int:
    """Make ``value`` (the caller's randomness) the current key of a purpose: its number, from 1 upwards."""
    number = max(keys(tx, purpose), default=0) + 1
    tx.execute(_ADD, purpose=purpose, number=number, value=value, at=to_micros(tx.now))
    return number
