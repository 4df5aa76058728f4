"""Tokens: every good kind says who it is, everything else is `Unauthenticated` and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from session_platform.access import (
    AdminIdentity,
    Identity,
    KeyRing,
    MemberIdentity,
    ServiceIdentity,
    StaffIdentity,
    StaffRole,
    TokenVerifier,
    mint_development_token,
)
from session_platform.clock import ManualClock
from session_platform.errors import Unauthenticated
from tests.access.issuer import (
    ADMIN,
    EC,
    ED,
    KEYS,
    NOW,
    NOW_S,
    OMIT,
    RSA,
    SECRET,
    SERVICE,
    STAFF,
    STRANGER,
    Published,
    claims,
    hs256,
    jwks,
    sign,
    unsigned,
)

NOT_A_MEMBER = {"member_id": OMIT, "account_ids": OMIT}


async def verifier(**options: Any) -> TokenVerifier:
    ring = KeyRing(Published(jwks(RSA, EC, ED)), ManualClock())
    await ring.renew()
    return TokenVerifier(ring, development_secret=SECRET, **options)


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_a_members_token_of_each_algorithm_says_who_asks(algorithm: str) -> None:
    identity = (await verifier()).verify(sign(claims(jti="t1"), algorithm), NOW)
    assert identity == MemberIdentity(
        subject="s1",
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=60),
        token_id="t1",
        member_id="M1",
        account_ids=("A1", "A2"),
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (STAFF, StaffIdentity),
        ({**STAFF, "roles": ["care_team"], "specialities": OMIT}, StaffIdentity),
        (SERVICE, ServiceIdentity),
        (ADMIN, AdminIdentity),
    ],
)
async def test_every_other_kind_is_its_own_type(kind: dict[str, Any], expected: type[Identity]) -> None:
    identity = (await verifier()).verify(sign(claims(**NOT_A_MEMBER, **kind)), NOW)
    assert type(identity) is expected
    if isinstance(identity, StaffIdentity):
        assert StaffRole.CARE_TEAM in identity.roles
        assert identity.actor_id == "C1"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": NOW_S + 0.25},
        {"iat": NOW_S + 60, "exp": NOW_S + 120},
        {"nbf": NOW_S + 60},
        {"aud": ["other", "digital-session"]},
        {"account_ids": []},
        {"unknown": {"deep": [1]}},
        {"jti": None},
    ],
    ids=str,
)
async def test_what_is_just_within_the_rules_passes(changes: dict[str, Any]) -> None:
    assert isinstance((await verifier()).verify(sign(claims(**changes)), NOW), MemberIdentity)


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "expired this instant": {"exp": NOW_S},
    "expired a second ago, no leeway": {"exp": NOW_S - 1},
    "issued 61 s in the future": {"iat": NOW_S + 61, "exp": NOW_S + 600},
    "valid from 61 s in the future": {"nbf": NOW_S + 61},
    "another audience": {"aud": "somebody-else"},
    "no audience": {"aud": OMIT},
    "an audience that only contains the name": {"aud": "digital-session-2"},
    "an empty list of audiences": {"aud": []},
    "an audience that is a number": {"aud": 7},
    "no subject": {"sub": OMIT},
    "an empty subject": {"sub": ""},
    "a subject that is a number": {"sub": 7},
    "a subject with a control character": {"sub": "a\x00b"},
    "a subject of 257 characters": {"sub": "s" * 257},
    "no expiry": {"exp": OMIT},
    "an expiry as text": {"exp": str(NOW_S + 60)},
    "an expiry that is true": {"exp": True},
    "an expiry that is null": {"exp": None},
    "an expiry beyond all time": {"exp": 1e300},
    "an expiry of many digits": {"exp": 10**400},
    "no time of issue": {"iat": OMIT},
    "a time of issue before all time": {"iat": -1e300},
    "no issuer": {"iss": OMIT},
    "an issuer that is null": {"iss": None},
    "no roles": {"roles": OMIT},
    "empty roles": {"roles": []},
    "roles as text": {"roles": "member"},
    "an unknown role": {"roles": ["root"]},
    "a member and staff": {"roles": ["member", "care_team"], "staff_id": "C1", "name": "x"},
    "a member and a service": {"roles": ["member", "service"]},
    "a service and an admin": {**NOT_A_MEMBER, "roles": ["service", "admin"]},
    "a member without member_id": {"member_id": OMIT},
    "a member without account_ids": {"account_ids": OMIT},
    "a member with a staff_id": {"staff_id": "C1"},
    "a member_id that is a list": {"member_id": ["M1"]},
    "a member_id that is empty": {"member_id": ""},
    "a member_id that ends its line": {"member_id": "M1\n"},
    "account_ids as text": {"account_ids": "A1"},
    "account_ids with a number": {"account_ids": ["A1", 2]},
    "an account_id that is empty": {"account_ids": [""]},
    "staff without staff_id": {**NOT_A_MEMBER, **STAFF, "staff_id": OMIT},
    "staff without a name": {**NOT_A_MEMBER, **STAFF, "name": OMIT},
    "staff with a member_id": {**STAFF, "account_ids": OMIT},
    "staff with account_ids": {**STAFF, "member_id": OMIT},
    "specialities as text": {**NOT_A_MEMBER, **STAFF, "specialities": "PSYCHIATRY"},
    "a service with a member_id": {**SERVICE, "account_ids": OMIT},
    "an admin with a staff_id": {**NOT_A_MEMBER, **ADMIN, "staff_id": "C1"},
    "half a surrogate pair": {"sub": "\ud800"},
}


@pytest.mark.parametrize("changes", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
async def test_a_well_signed_token_with_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        (await verifier()).verify(sign(claims(**changes)), NOW)


PEM = RSA.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
DER = RSA.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

WRONG_TOKENS: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned(claims(), alg="none"),
    "alg NONE": lambda: unsigned(claims(), alg="NONE"),
    "alg none with a kid": lambda: unsigned(claims(), alg="none", kid="rsa-1"),
    "alg RS256 without a signature": lambda: unsigned(claims(), alg="RS256", kid="rsa-1"),
    "no alg": lambda: unsigned(claims(), kid="rsa-1"),
    "alg a list": lambda: unsigned(claims(), alg=["RS256"]),
    "HS256 keyed with the public key as PEM": lambda: hs256(claims(), PEM),
    "HS256 keyed with the public key as DER": lambda: hs256(claims(), DER),
    "HS256 keyed with the JWKS": lambda: sign(claims(), "HS256", OctKey.import_key(jwks(RSA))),
    "HS256 with another secret": lambda: sign(claims(), "HS256", OctKey.import_key(b"x" * 32)),
    "HS256 under a public key's name, another secret": lambda: sign(
        claims(), "HS256", OctKey.import_key(b"x" * 32), kid="ec-1"
    ),
    "another algorithm of a good key": lambda: sign(claims(), "RS512", RSA),
    "an unknown key": lambda: sign(claims(), "RS256", STRANGER, kid="new"),
    "an unknown key under a known name": lambda: sign(claims(), "RS256", STRANGER, kid="rsa-1"),
    "an RSA token under an EC key's name": lambda: sign(claims(), "RS256", RSA, kid="ec-1"),
    "a kid that is a number": lambda: unsigned(claims(), alg="RS256", kid=7),
    "a critical extension": lambda: sign(claims(), "RS256", RSA, crit=["b64"], b64=True),
    "four parts": lambda: sign(claims()) + ".x",
    "two parts": lambda: sign(claims()).rsplit(".", 1)[0],
    "empty": lambda: "",
    "dots": lambda: "..",
    "a huge token": lambda: sign(claims(padding="x" * 10_000)),
    "claims that are a list": lambda: sign(b"[]"),
    "claims that are no JSON": lambda: sign(b"{"),
    "claims with NaN": lambda: sign(json.dumps(claims(exp=float("nan"))).encode()),
    "claims nested without end": lambda: sign(b'{"x":' + b"[" * 5000),
    "a header nested without end": lambda: "W1tb" * 1500 + ".e30.AAAA",
    "claims changed after signing": lambda: _tampered(),
    "not ASCII": lambda: "é.é.é",
}


def _tampered() -> str:
    header, _, signature = sign(claims()).split(".")
    return ".".join((header, unsigned(claims(member_id="M2"), alg="x").split(".")[1], signature))


@pytest.mark.parametrize("make", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
async def test_what_is_not_a_token_signed_by_a_known_key_is_refused(make: Callable[[], str]) -> None:
    checked = await verifier()
    with pytest.raises(Unauthenticated):
        checked.verify(make(), NOW)
    with pytest.raises(Unauthenticated):
        await checked.authenticate(make(), NOW)


async def test_hs256_is_refused_where_no_development_secret_was_given() -> None:
    token = mint_development_token(SECRET, subject="s", roles=["admin"], now=NOW, expires_in_s=60)
    with pytest.raises(Unauthenticated):
        TokenVerifier().verify(token, NOW)


def test_a_development_token_speaks_for_whom_it_was_made() -> None:
    token = mint_development_token(
        SECRET, subject="M1", roles=["member"], now=NOW, expires_in_s=60, claims={"member_id": "M1", "account_ids": ("A1",)}
    )
    identity = TokenVerifier(development_secret=SECRET, issuers=["https://issuer.example"]).verify(token, NOW)
    assert isinstance(identity, MemberIdentity)
    assert identity.account_ids == ("A1",)
    assert identity.expires_at == NOW + timedelta(seconds=60)


def test_a_short_development_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        TokenVerifier(development_secret=b"short")


async def test_only_accepted_issuers_pass_when_they_are_named() -> None:
    checked = await verifier(issuers=["https://issuer.example"])
    assert checked.verify(sign(claims()), NOW)
    with pytest.raises(Unauthenticated):
        checked.verify(sign(claims(iss="https://other.example")), NOW)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))))
def test_no_text_makes_a_verifier_raise_anything_but_unauthenticated(text: str) -> None:
    with pytest.raises(Unauthenticated):
        TokenVerifier(development_secret=SECRET).verify(text, NOW)


@given(st.binary(max_size=300))
def test_no_signed_payload_makes_a_verifier_raise_anything_but_unauthenticated(payload: bytes) -> None:
    with pytest.raises(Unauthenticated):
        TokenVerifier(development_secret=SECRET).verify(sign(payload, "HS256", OctKey.import_key(SECRET)), NOW)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(claims())), JSON)
def test_whatever_stands_in_a_claim_there_is_an_identity_or_a_refusal(name: str, value: object) -> None:
    token = sign(json.dumps(claims(**{name: value})).encode(), "HS256", OctKey.import_key(SECRET))
    try:
        identity = TokenVerifier(development_secret=SECRET).verify(token, NOW)
    except Unauthenticated:
        return
    assert isinstance(identity, MemberIdentity)
    assert identity.expires_at > NOW
