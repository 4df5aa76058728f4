"""Origins, plaintext and tokens in addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.access import OriginPolicy, TransportPolicy, token_in_path, token_in_query
from tests.access.issuer import claims, sign

LISTED = OriginPolicy(["https://app.example.org", "https://care.example.org:8443"])


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("https://app.example.org", True),
        ("https://APP.example.org:443", True),
        ("https://care.example.org:8443", True),
        ("http://app.example.org", False),
        ("https://app.example.org:444", False),
        ("https://app.example.org.evil.example", False),
        ("https://evil.example/https://app.example.org", False),
        ("https://app.example.org@evil.example", False),
        ("https://x@app.example.org", False),
        ("https://app.example.org/", False),
        ("null", False),
        ("https://app.example\t.org", False),
        (" https://app.example.org", False),
        ("https://app.example.org\n", False),
        ("", False),
        ("https://", False),
        ("https://[", False),
        ("https://app.example.org:99999", False),
        ("http://localhost:3000", False),
    ],
)
def test_only_listed_origins_and_none_at_all_pass(origin: str | None, allowed: bool) -> None:
    assert LISTED.allows(origin) is allowed


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("http://[::1]:5173", True),
        ("http://app.localhost", True),
        ("http://localhost.evil.example", False),
        ("http://127.0.0.1.evil.example", False),
        ("http://10.0.0.1", False),
        ("null", False),
    ],
)
def test_insecure_lets_loopback_in_and_nobody_else(origin: str, allowed: bool) -> None:
    assert OriginPolicy([], insecure=True).allows(origin) is allowed


@pytest.mark.parametrize("entry", ["*", "app.example.org", "https://app.example.org/path", ""])
def test_an_entry_that_is_no_origin_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(ValueError, match="scheme"):
        OriginPolicy([entry])


@given(st.text())
def test_no_text_as_an_origin_does_harm(text: str) -> None:
    assert LISTED.allows(text) in {True, False}


@pytest.mark.parametrize(
    ("insecure", "peer", "proto", "refused"),
    [
        (True, "127.0.0.1", None, False),
        (True, "::1", None, False),
        (True, "10.1.2.3", None, True),
        (False, "127.0.0.1", None, True),
        (False, "10.1.2.3", "https", False),
        (False, "10.1.2.3", "HTTPS, https", False),
        (False, "10.1.2.3", "https, http", True),
        (False, "10.1.2.3", "http", True),
        (False, "10.1.2.3", "", True),
        (False, "10.1.2.3", None, True),
        (False, "192.0.2.1", "https", True),
        (False, "2001:db8::7", "https", False),
        (False, "a name", "https", True),
        (False, None, "https", True),
    ],
)
def test_plaintext_needs_insecure_on_loopback_or_a_trusted_proxy(
    insecure: bool, peer: str | None, proto: str | None, refused: bool
) -> None:
    policy = TransportPolicy(insecure, ["10.0.0.0/8", "2001:db8::/32"])
    assert policy.plaintext_refused(peer, proto) is refused


def test_a_trusted_proxy_that_is_no_address_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="proxy"):
        TransportPolicy(False, ["proxy.example.org"])


TOKEN = sign(claims())


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", False),
        ("device_id=phone-1&limit=3", False),
        ("page_token=abc", False),
        ("cursor=AQEAAAAB", False),
        ("token=x", True),
        ("a=1&Access_Token=x", True),
        ("ACCESS-TOKEN=x", True),
        ("authorization=Bearer%20x", True),
        ("jwt", True),
        ("%74oken=x", True),
        (f"x={TOKEN}", True),
        (f"x=Bearer%20{TOKEN.replace('.', '%2E')}", True),
        ("x=eyJhbGciOi.short", False),
    ],
)
def test_a_token_in_a_query_is_seen_by_its_name_or_its_shape(query: str, found: bool) -> None:
    assert token_in_query(query) is found


def test_a_token_in_a_path_is_seen() -> None:
    assert token_in_path(f"/v1/sessions/{TOKEN}")
    assert not token_in_path("/v1/sessions/sess_01jhm2")


@given(st.text())
def test_no_text_as_a_query_does_harm(text: str) -> None:
    assert token_in_query(text) in {True, False}
