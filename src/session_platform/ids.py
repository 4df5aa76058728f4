"""Ids the platform mints: a prefix that says what it names, then 26 characters that sort by creation time as text.

The 26 characters are a ULID (48 bits of milliseconds, 80 bits of randomness, Crockford base 32), in lower case. Within one
mint ids rise strictly, also inside one millisecond and when the wall clock steps back: the last value is counted up instead.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import datetime

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS = 80


class IdMint:
    """Mints ids; safe to share between threads. ``random_bits`` is the source of randomness (tests hand in their own)."""

    def __init__(self, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._random_bits = random_bits
        self._last = 0
        self._lock = threading.Lock()

    def mint(self, prefix: str, now: datetime) -> str:
        """A new id such as ``sess_01jhm2…``; ``prefix`` without the underscore."""
        with self._lock:
            value = (int(now.timestamp() * 1000) << _RANDOM_BITS) | self._random_bits(_RANDOM_BITS)
            if value >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:
                value = self._last + 1
            self._last = value
        return f"{prefix}_{_base32(value)}"


def _base32(value: int) -> str:
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))
