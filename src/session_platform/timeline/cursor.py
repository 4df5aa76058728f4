"""Cursors: positions in a timeline as opaque, authenticated text.

A cursor is a function of the event it stands behind (and of the key), so it is equal whichever tier or transport hands it out,
and is computed once an event. The timeline's name is authenticated and not in it: only a short keyed label is.
"""

from __future__ import annotations

import base64
import hmac
import re
import struct
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from session_platform.errors import BadCursor
from session_platform.store.port import Position

_VERSION: Final = 1
_LABEL_BYTES: Final = 8
_MAC_BYTES: Final = 12
_KEY_MIN_BYTES: Final = 16
_KEY_MAX_BYTES: Final = 64
_CLAIMS: Final = struct.Struct(">BHIQI8s")
"""Version, key number, epoch, seq, tag, timeline label. With the MAC behind it 39 bytes: 52 characters without a bit to spare,
so one position has exactly one spelling."""

_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{52}")
_LABEL_IN_BYTES: Final = slice(_CLAIMS.size - _LABEL_BYTES, _CLAIMS.size)


class CursorCodec:
    """Writes cursors with the newest key and reads those of every key it was given.

    ``keys``: number (1 to 65535) to secret (16 to 64 bytes). The highest number signs; the lowest names timelines, so that a
    label survives rotation. Raises `ValueError` for keys that could not protect anything.
    """

    __slots__ = ("_authenticators", "_current", "_labeller")

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        if not keys or not all(0 < number < 2**16 for number in keys):
            raise ValueError("cursors need at least one key, numbered from 1 to 65535")
        if not all(_KEY_MIN_BYTES <= len(key) <= _KEY_MAX_BYTES for key in keys.values()):
            raise ValueError("a cursor key has 16 to 64 bytes")
        self._current = max(keys)
        self._authenticators = {
            number: blake2b(digest_size=_MAC_BYTES, key=key, person=b"cursor") for number, key in keys.items()
        }
        self._labeller = blake2b(digest_size=_LABEL_BYTES, key=keys[min(keys)], person=b"timeline")

    def encode(self, timeline: str, position: Position) -> str:
        """The cursor of a position: 52 characters of base64url."""
        named = timeline.encode()
        claims = _CLAIMS.pack(_VERSION, self._current, *position, self._label(named))
        return base64.urlsafe_b64encode(claims + self._mac(self._current, claims, named)).decode()

    def decode(self, text: str, timeline: str) -> Position:
        """The position that a cursor of this timeline stands for. Raises `BadCursor` for anything this codec did not write."""
        raw = _raw(text)
        if raw is None:
            raise BadCursor
        claims = raw[: _CLAIMS.size]
        version, number, epoch, seq, tag, _ = _CLAIMS.unpack(claims)
        if version != _VERSION or number not in self._authenticators:
            raise BadCursor
        if not hmac.compare_digest(raw[_CLAIMS.size :], self._mac(number, claims, timeline.encode())):
            raise BadCursor
        return Position(epoch, seq, tag)

    def label(self, timeline: str) -> str:
        """The name of a timeline for the outside: the same at every call, and nobody learns the timeline's own name from it."""
        return _text(self._label(timeline.encode()))

    def _label(self, named: bytes) -> bytes:
        labeller = self._labeller.copy()
        labeller.update(named)
        return labeller.digest()

    def _mac(self, number: int, claims: bytes, named: bytes) -> bytes:
        authenticator = self._authenticators[number].copy()
        authenticator.update(claims)
        authenticator.update(named)
        return authenticator.digest()


def claimed_label(text: str) -> str | None:
    """The `CursorCodec.label` of the timeline that a cursor claims to be of; None when it is no cursor at all. The claim is not
    authenticated: it only says with which timeline to try `CursorCodec.decode`."""
    raw = _raw(text)
    return None if raw is None else _text(raw[_LABEL_IN_BYTES])


def _raw(text: str) -> bytes | None:
    return base64.urlsafe_b64decode(text) if _TEXT.fullmatch(text) else None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
