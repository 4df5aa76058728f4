"""An issuer of tokens for tests: real keys of every kind, and tokens that differ from a good one in exactly one thing."""

from __future__ import annotations

import base64
import hmac
import json
import warnings
from typing import Any

from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from session_platform.clock import ManualClock

NOW = ManualClock().now()
NOW_S = int(NOW.timestamp())
SECRET = b"a development secret of some length"

RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed-1"})
STRANGER = RSAKey.generate_key(2048)
KEYS: dict[str, RSAKey | ECKey | OKPKey] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}

MEMBER = {"roles": ["member"], "member_id": "M1", "account_ids": ["A1", "A2"]}
STAFF = {"roles": ["care_team", "clinician"], "staff_id": "C1", "name": "Dana", "specialities": ["PSYCHIATRY"]}
SERVICE = {"roles": ["service"]}
ADMIN = {"roles": ["admin"]}
OMIT = object()


def claims(**changes: Any) -> dict[str, Any]:
    """A member's good claims with ``changes``; `OMIT` leaves one out."""
    whole = {
        "sub": "s1",
        "iss": "https://issuer.example",
        "aud": "digital-session",
        "iat": NOW_S,
        "exp": NOW_S + 60,
        **MEMBER,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not OMIT}


def sign(
    payload: dict[str, Any] | bytes,
    algorithm: str = "RS256",
    key: RSAKey | ECKey | OKPKey | OctKey | None = None,
    **header: Any,
) -> str:
    """A token over ``payload``; ``header`` adds to, or replaces, what stands in its header."""
    signer = key or KEYS[algorithm]
    named = {"alg": algorithm, **({"kid": signer.kid} if signer.kid else {}), **header}
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    registry = jws.JWSRegistry(algorithms=["RS256", "ES256", "EdDSA", "Ed25519", "HS256", "RS512"], strict_check_header=False)
    registry.max_payload_length = 1_000_000
    with warnings.catch_warnings(action="ignore", category=SecurityWarning):
        return jws.serialize_compact({k: v for k, v in named.items() if v is not OMIT}, body, signer, registry=registry)


def hs256(payload: dict[str, Any], secret: bytes) -> str:
    """HS256 by hand, keyed with what no good library lets through: a public key."""
    text = unsigned(payload, alg="HS256", kid="rsa-1")[:-1]
    return f"{text}.{_b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def unsigned(payload: dict[str, Any], **header: Any) -> str:
    """A token with the signature left out."""
    return f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(payload).encode())}."


def jwks(*keys: RSAKey | ECKey | OKPKey) -> bytes:
    return json.dumps({"keys": [key.as_dict(private=False) for key in keys]}).encode()


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Published:
    """A JWKS at an address that the test changes or takes down, and that counts how often it was fetched."""

    def __init__(self, document: bytes | None) -> None:
        self.document = document
        self.fetched = 0

    async def __call__(self) -> bytes:
        self.fetched += 1
        if self.document is None:
            raise OSError
        return self.document
