"""The keys that verify tokens: found when new, gone when withdrawn, in force through an outage."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

import pytest
from joserfc.jwk import ECKey

from session_platform.access import (
    KeyRing,
    TokenVerifier,
    jwks_at,
)
from session_platform.access.keys import read_jwks
from session_platform.clock import ManualClock
from session_platform.errors import Unauthenticated, Unavailable
from tests.access.issuer import (
    EC,
    ED,
    NOW,
    NOW_S,
    OMIT,
    RSA,
    STRANGER,
    Published,
    claims,
    jwks,
    sign,
)


async def test_a_token_without_a_kid_needs_the_only_key_of_its_algorithm() -> None:
    clock = ManualClock()
    one, two = KeyRing(Published(jwks(RSA)), clock), KeyRing(Published(jwks(RSA, STRANGER)), clock)
    token = sign(claims(), kid=OMIT)
    assert await TokenVerifier(one).authenticate(token, NOW)
    with pytest.raises(Unauthenticated):
        await TokenVerifier(two).authenticate(token, NOW)


async def test_a_new_key_is_found_at_once_and_a_stranger_costs_one_fetch_a_minute() -> None:
    clock = ManualClock()
    published = Published(jwks(RSA))
    checked = TokenVerifier(KeyRing(published, clock))
    await checked.authenticate(sign(claims()), NOW)
    published.document = jwks(RSA, EC)
    clock.advance(60)
    assert await checked.authenticate(sign(claims(), "ES256"), NOW)
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await checked.authenticate(sign(claims(), "EdDSA"), NOW)
    assert published.fetched == 2
    clock.advance(60)
    with pytest.raises(Unauthenticated):
        await checked.authenticate(sign(claims(), "EdDSA"), NOW)
    assert published.fetched == 3


async def test_a_withdrawn_key_stops_verifying_within_five_minutes() -> None:
    clock = ManualClock()
    published = Published(jwks(RSA, EC))
    checked = TokenVerifier(KeyRing(published, clock))
    token = sign(claims(exp=NOW_S + 3600))
    assert await checked.authenticate(token, clock.now())
    published.document = jwks(EC)
    clock.advance(300)
    with pytest.raises(Unauthenticated):
        await checked.authenticate(token, clock.now())


async def test_an_issuers_outage_leaves_the_last_good_keys_in_force_and_is_reported() -> None:
    clock = ManualClock()
    published = Published(jwks(RSA))
    checked = TokenVerifier(KeyRing(published, clock))
    token = sign(claims(exp=NOW_S + 3600))
    assert await checked.authenticate(token, clock.now())
    assert checked.trouble() is None
    for broken in (None, b"<html>", b"[" * 100_000, b"[]", b'{"keys": 1}'):
        published.document = broken
        clock.advance(300)
        assert await checked.authenticate(token, clock.now())
        assert checked.trouble() is not None
    published.document = jwks(RSA)
    clock.advance(60)
    assert await checked.authenticate(token, clock.now())
    assert checked.trouble() is None


async def test_without_any_keys_the_platform_is_unavailable_rather_than_the_token_bad() -> None:
    clock = ManualClock()
    published = Published(None)
    checked = TokenVerifier(KeyRing(published, clock))
    with pytest.raises(Unavailable):
        await checked.authenticate(sign(claims()), NOW)
    assert checked.trouble() is not None
    published.document = jwks(RSA)
    clock.advance(1)
    assert await checked.authenticate(sign(claims()), NOW)


async def test_a_jwks_file_is_read_and_its_public_part_shown(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [ED.as_dict(private=True)]}))
    checked = TokenVerifier(KeyRing(jwks_at(str(path)), ManualClock()))
    assert await checked.authenticate(sign(claims(), "EdDSA"), NOW)
    (shown,) = checked.public_jwks()["keys"]
    assert shown["kid"] == "ed-1"
    assert "d" not in shown


@pytest.mark.parametrize(
    ("status", "body", "readable"),
    [
        ("200 OK", jwks(RSA), True),
        ("500 Oops", jwks(RSA), False),
        ("200 OK", b" " * 2_000_000, False),
        ("302 Found", b"", False),
    ],
)
async def test_a_jwks_at_an_address_is_fetched(status: str, body: bytes, readable: bool) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        checked = TokenVerifier(KeyRing(jwks_at(f"http://127.0.0.1:{port}/jwks.json"), ManualClock()))
        await checked.renew()
    assert (checked.trouble() is None) is readable


@pytest.mark.parametrize("location", ["http://", "https://[", "http://127.0.0.1:1/jwks.json", "no/such/file"])
async def test_a_jwks_that_is_nowhere_is_a_trouble_and_no_crash(location: str) -> None:
    checked = TokenVerifier(KeyRing(jwks_at(location), ManualClock()))
    await checked.renew()
    assert checked.trouble() is not None


def test_keys_that_tokens_may_not_be_signed_with_are_passed_over() -> None:
    good = RSA.as_dict(private=False)
    others = [
        {**good, "use": "enc"},
        {**good, "alg": "RS512"},
        {"kty": "oct", "k": "AAAA", "kid": "secret"},
        ECKey.generate_key("P-384").as_dict(private=False),
        {**good, "n": "AQAB"},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        "key",
    ]
    assert [key.key_id for key in read_jwks(json.dumps({"keys": [*others, good]}).encode())] == ["rsa-1"]
