"""The keys that verify tokens: a JWKS from a file or an address, read again when it may have changed.

Only keys that this platform verifies with are taken (RSA for RS256, P-256 for ES256, Ed25519 for EdDSA); the algorithm follows
from the key and never from the token, so no token can choose to be checked against a public key as if it were a secret.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from session_platform.clock import Clock

MAX_AGE_S: Final = 300.0
REFETCH_AT_MOST_EVERY_S: Final = 60.0
FIRST_LOAD_RETRY_S: Final = 1.0
FETCH_TIMEOUT_S: Final = 5.0
JWKS_MAX_BYTES: Final = 1024 * 1024
RSA_MIN_BITS: Final = 2048

Loader = Callable[[], Awaitable[bytes]]
"""Reads the JWKS document; raises `OSError`, `ValueError` or an error of httpx2 when it cannot."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the one algorithm that it verifies."""

    algorithm: str
    key_id: str | None
    key: RSAKey | ECKey | OKPKey


def canonical(algorithm: str) -> str:
    """The wire contract's name of an algorithm: RFC 9864 calls EdDSA over Ed25519, the only curve taken here, ``Ed25519``."""
    return "EdDSA" if algorithm == "Ed25519" else algorithm


def read_jwks(document: bytes) -> tuple[VerificationKey, ...]:
    """The keys of a JWKS that tokens may be signed with; others (encryption, secrets, other curves) are passed over.

    Raises `ValueError` for a document that is no JWKS.
    """
    try:
        parsed = json.loads(document)
    except RecursionError:
        raise ValueError("the document is not a JWKS") from None
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list):
        raise ValueError("the document is not a JWKS: it has no list of keys")  # noqa: TRY004 (what the file holds, not what a caller passed)
    return tuple(key for each in listed if isinstance(each, dict) and (key := _verification_key(each)) is not None)


def _verification_key(parameters: Mapping[str, Any]) -> VerificationKey | None:
    kind = _KINDS.get(f"{parameters.get('kty')} {parameters.get('crv')}")
    if kind is None or parameters.get("use", "sig") != "sig":
        return None
    algorithm, importer = kind
    if canonical(str(parameters.get("alg", algorithm))) != algorithm:
        return None
    public = {name: value for name, value in parameters.items() if name in _PUBLIC_PARAMETERS}
    try:
        key = importer(public)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAKey) and key.public_key.key_size < RSA_MIN_BITS:
        return None
    key_id = parameters.get("kid")
    return VerificationKey(algorithm, key_id if isinstance(key_id, str) else None, key)


_PUBLIC_PARAMETERS: Final = frozenset({"kty", "crv", "n", "e", "x", "y", "kid"})
_KINDS: Final[Mapping[str, tuple[str, Callable[[dict[str, Any]], RSAKey | ECKey | OKPKey]]]] = {
    "RSA None": ("RS256", RSAKey.import_key),
    "EC P-256": ("ES256", ECKey.import_key),
    "OKP Ed25519": ("EdDSA", OKPKey.import_key),
}


class KeyRing:
    """The current keys. `find` answers from memory; `renew` and `look_for` read the document again when that is due.

    A document that cannot be read leaves the last good keys in force: an issuer's outage locks nobody out.
    """

    def __init__(self, load: Loader, clock: Clock) -> None:
        self._load = load
        self._clock = clock
        self._keys: tuple[VerificationKey, ...] = ()
        self._loaded = False
        self._failed = False
        self._tried_at_s: float | None = None
        self._generation = 0
        self._lock = asyncio.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the document was ever read."""
        return self._loaded

    @property
    def generation(self) -> int:
        """Rises whenever the keys were read anew."""
        return self._generation

    def find(self, algorithm: str, key_id: str | None) -> VerificationKey | None:
        """The key with this id for this algorithm; without an id, the only key for it."""
        fitting = [key for key in self._keys if key.algorithm == algorithm and key_id in (None, key.key_id)]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None

    async def renew(self) -> None:
        """Read the document if it never was or is older than five minutes; after the first success at most one
        attempt a minute."""
        spacing_s = MAX_AGE_S if self._loaded and not self._failed else self._retry_s
        if self._due(spacing_s) and not (self._loaded and self._lock.locked()):
            await self._read(spacing_s)

    async def look_for(self, algorithm: str, key_id: str | None) -> bool:
        """An unknown key was asked for: read the document again, at most once a minute. Whether it is there now."""
        await self._read(self._retry_s)
        return self.find(algorithm, key_id) is not None

    def public(self) -> dict[str, list[dict[str, Any]]]:
        """The keys as a JWKS without anything private."""
        return {"keys": [{**each.key.as_dict(private=False), "alg": each.algorithm, "use": "sig"} for each in self._keys]}

    def trouble(self) -> str | None:
        """None unless the last attempt to read the document failed; then one sentence for ``/readyz``."""
        return "The JWKS that verifies tokens could not be read." if self._failed else None

    @property
    def _retry_s(self) -> float:
        return REFETCH_AT_MOST_EVERY_S if self._loaded else FIRST_LOAD_RETRY_S

    def _due(self, spacing_s: float) -> bool:
        return self._tried_at_s is None or self._clock.monotonic() - self._tried_at_s >= spacing_s

    async def _read(self, spacing_s: float) -> None:
        async with self._lock:
            if not self._due(spacing_s):
                return
            self._tried_at_s = self._clock.monotonic()
            try:
                self._keys = read_jwks(await self._load())
            except (OSError, ValueError, httpx2.HTTPError, httpx2.InvalidURL):
                self._failed = True
                return
            self._loaded, self._failed = True, False
            self._generation += 1


def jwks_at(location: str) -> Loader:
    """The loader for a setting that is a file's path or an ``http(s)://`` address."""
    if location.startswith(("https://", "http://")):
        return _from_address(location)
    path = Path(location)

    async def from_file() -> bytes:
        return await asyncio.to_thread(path.read_bytes)

    return from_file


def _from_address(url: str) -> Loader:
    async def load() -> bytes:
        async with (
            httpx2.AsyncClient(timeout=FETCH_TIMEOUT_S) as client,
            asyncio.timeout(FETCH_TIMEOUT_S),
            client.stream("GET", url) as answer,
        ):
            answer.raise_for_status()
            document = bytearray()
            async for piece in answer.aiter_bytes():
                document += piece
                if len(document) > JWKS_MAX_BYTES:
                    raise ValueError("the JWKS is too large")
            return bytes(document)

    return load
