"""Bearer tokens: a signature by a known key, then the rules of `claims`; and the development tokens of ``--insecure``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from msgspec import UNSET, Struct, UnsetType

from session_platform.access.claims import AUDIENCE, identity_from
from session_platform.access.identity import Identity, StaffIdentity
from session_platform.access.keys import KeyRing, canonical
from session_platform.access.watch import RightsWatch
from session_platform.errors import Revoked, Unauthenticated, Unavailable

TOKEN_MAX_CHARACTERS: Final = 8192
DEVELOPMENT_ISSUER: Final = "session-platform-development"
DEVELOPMENT_SECRET_MIN_BYTES: Final = 32

_PUBLIC_KEY_ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})


class _Registry(jws.JWSRegistry):
    """joserfc, without its warning about the name EdDSA, which every issuer still writes: the ring holds Ed25519 alone."""

    max_header_length = TOKEN_MAX_CHARACTERS
    max_payload_length = TOKEN_MAX_CHARACTERS

    def get_alg(self, name: str) -> Any:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


_registry: Final = _Registry(algorithms=["RS256", "ES256", "Ed25519", "HS256"], strict_check_header=False)


class _Header(Struct, frozen=True):
    alg: str
    kid: str | None = None
    crit: msgspec.Raw | UnsetType = UNSET


class _UnknownKey(Unauthenticated):
    """Signed by a key that is not in the ring: perhaps it is new."""

    def __init__(self, header: _Header) -> None:
        self.header = header
        super().__init__()


class TokenVerifier:
    """Says who a token speaks for.

    ``keys`` verifies tokens of real issuers (``issuers``: the accepted ``iss``, empty accepts any whose key is in the ring).
    ``development_secret`` accepts HS256 tokens made by `mint_development_token`; without it HS256 is refused like any other
    unknown algorithm. Neither kind of key is ever tried for the other's algorithm. ``watch`` knows what was revoked; without it
    nothing is.
    """

    def __init__(
        self,
        keys: KeyRing | None = None,
        *,
        development_secret: bytes | None = None,
        issuers: Collection[str] = (),
        watch: RightsWatch | None = None,
    ) -> None:
        if development_secret is not None and len(development_secret) < DEVELOPMENT_SECRET_MIN_BYTES:
            raise ValueError(f"a development secret has at least {DEVELOPMENT_SECRET_MIN_BYTES} bytes")
        self._keys = keys
        self._secret = None if development_secret is None else OctKey.import_key(development_secret)
        self._issuers = frozenset(issuers)
        self._watch = watch

    async def renew(self) -> None:
        """Read the keys now if that is due: at the start, so that `trouble` knows at once. Raises nothing."""
        if self._keys is not None:
            await self._keys.renew()

    async def look(self) -> None:
        """Know at once, in this process, what was revoked so far: to be awaited behind the commit of a revocation. Raises
        `Unavailable`, and then it is known within two seconds, as everywhere."""
        if self._watch is not None:
            await self._watch.look()

    async def authenticate(self, token: str, now: datetime) -> Identity:
        """`verify`, with keys that are up to date (an unknown one is looked for anew, at most once a minute) and with what was
        revoked until at most two seconds ago.

        Raises `Unauthenticated`, `Revoked`, and `Unavailable` while no keys could be read at all or, for staff, while changes
        of rights cannot be read. Nothing is awaited behind the check for revocation: who acts on the identity in the same turn
        of the loop misses none.
        """
        identity = await self._authenticated(token, now)
        if self._watch is None:
            return identity
        await self._watch.renew()
        if self._watch.covers(identity):
            raise Revoked
        if isinstance(identity, StaffIdentity) and not self._watch.fresh:
            raise Unavailable
        return identity

    async def _authenticated(self, token: str, now: datetime) -> Identity:
        await self.renew()
        try:
            return self.verify(token, now)
        except _UnknownKey as unknown:
            if self._keys is None or not await self._keys.look_for(canonical(unknown.header.alg), unknown.header.kid):
                if self._keys is not None and not self._keys.loaded:
                    raise Unavailable from None
                raise Unauthenticated from None
        return self.verify(token, now)

    def verify(self, token: str, now: datetime) -> Identity:
        """Who the token speaks for, with the keys in memory. Raises `Unauthenticated` for anything but a valid token."""
        header = _read_header(token)
        key = self._key_for(header)
        try:
            payload = jws.deserialize_compact(token, key, registry=_registry).payload
        except (JoseError, ValueError, TypeError, RecursionError):
            raise Unauthenticated from None
        return identity_from(payload, now, () if header.alg == "HS256" else self._issuers)

    def public_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys that tokens are verified with, as a JWKS."""
        return {"keys": []} if self._keys is None else self._keys.public()

    def trouble(self) -> str | None:
        """None unless the keys could not be read when that was tried last; then one sentence for ``/readyz``."""
        return None if self._keys is None else self._keys.trouble()

    def _key_for(self, header: _Header) -> OctKey | RSAKey | ECKey | OKPKey:
        if header.alg == "HS256" and self._secret is not None:
            return self._secret
        algorithm = canonical(header.alg)
        if algorithm not in _PUBLIC_KEY_ALGORITHMS or self._keys is None:
            raise Unauthenticated
        found = self._keys.find(algorithm, header.kid)
        if found is None:
            raise _UnknownKey(header)
        return found.key


def _read_header(token: str) -> _Header:
    """The header of something shaped like a signed token; ``crit`` names extensions, and none is understood here."""
    if len(token) > TOKEN_MAX_CHARACTERS or token.count(".") != 2:
        raise Unauthenticated
    encoded = token.split(".", 1)[0]
    try:
        header = msgspec.json.decode(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)), type=_Header)
    except (binascii.Error, ValueError, RecursionError):
        raise Unauthenticated from None
    if header.crit is not UNSET:
        raise Unauthenticated
    return header


def mint_development_token(
    secret: bytes,
    *,
    subject: str,
    roles: Sequence[str],
    now: datetime,
    expires_in_s: int,
    claims: Mapping[str, str | Sequence[str]] | None = None,
) -> str:
    """A token that a verifier with the same ``development_secret`` accepts; ``claims`` are those of its kind, such as
    ``member_id``, and ``jti``, by which it can be revoked."""
    issued_at = int(now.timestamp())
    standard = {"sub": subject, "roles": list(roles), "iat": issued_at, "exp": issued_at + expires_in_s}
    named = {name: value if isinstance(value, str) else list(value) for name, value in (claims or {}).items()}
    return jwt.encode(
        {"alg": "HS256"},
        {**standard, "iss": DEVELOPMENT_ISSUER, "aud": AUDIENCE, **named},
        OctKey.import_key(secret),
        ["HS256"],
    )
