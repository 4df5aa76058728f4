"""The upgrade: who gets a 101, and which refusal the others read."""

from __future__ import annotations

import json

import pytest

from session_platform.access import OriginPolicy, TransportPolicy
from session_platform.gateway.websocket import Gate, answer

GATE = Gate(OriginPolicy(("https://app.example.org",)), TransportPolicy(trusted_proxies=("10.0.0.0/8",)).plaintext_refused)
PROXY = "10.1.2.3"
HEADERS = {
    "host": "sessions.example.org",
    "upgrade": "websocket",
    "connection": "keep-alive, Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-protocol": "other, digital-session.v1",
    "x-forwarded-proto": "https",
}


def head(line: str = "GET /v1 HTTP/1.1", **changes: str | None) -> bytes:
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None), "", ""]
    return "\r\n".join(lines).encode()


def refused(request: bytes, peer: str | None = PROXY) -> tuple[int, str]:
    judged = answer(request, peer, GATE)
    assert not judged.accepted
    top, _, body = judged.response.partition(b"\r\n\r\n")
    problem = json.loads(body)
    status = int(top.split()[1])
    assert problem["status"] == status
    assert f"content-length: {len(body)}".encode() in top.lower()
    assert b"connection: close" in top.lower()
    return status, problem["code"]


def test_a_good_request_is_accepted_as_the_rfc_shows_it() -> None:
    judged = answer(head(), PROXY, GATE)
    assert judged.accepted
    assert judged.response.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in judged.response
    assert b"\r\nSec-WebSocket-Protocol: digital-session.v1\r\n" in judged.response
    assert b"Extensions" not in answer(head(sec_websocket_extensions="permessage-deflate"), PROXY, GATE).response


@pytest.mark.parametrize("origin", [None, "https://app.example.org", "https://app.example.org:443"])
def test_allowed_origins_pass_and_so_does_a_client_without_one(origin: str | None) -> None:
    assert answer(head(origin=origin), PROXY, GATE).accepted


@pytest.mark.parametrize("origin", ["https://evil.example", "http://app.example.org", "null", "", "http://localhost:3000"])
def test_other_origins_are_refused_with_403(origin: str) -> None:
    assert refused(head(origin=origin)) == (403, "forbidden")


@pytest.mark.parametrize(
    "line", ["GET / HTTP/1.1", "GET /v1/ HTTP/1.1", "GET /v1/sessions HTTP/1.1", "GET /v2 HTTP/1.1", "GET http://h/v1 HTTP/1.1"]
)
def test_only_v1_is_a_websocket(line: str) -> None:
    assert refused(head(line))[0] == 404


@pytest.mark.parametrize(
    "target", ["/v1?token=x", "/v1?access_token=", "/v1?a=eyJhbGciOiJI.eyJzdWIi.c2ln", "/v1/eyJhbGciOiJI.eyJzdWIi.c2ln"]
)
def test_a_token_in_the_address_is_refused_with_400(target: str) -> None:
    assert refused(head(f"GET {target} HTTP/1.1"))[0] == 400


@pytest.mark.parametrize(
    ("peer", "forwarded"),
    [(PROXY, None), (PROXY, "http"), (PROXY, "https, http"), ("192.0.2.1", "https"), ("127.0.0.1", None), (None, "https")],
)
def test_plaintext_is_refused_unless_a_trusted_proxy_says_https(peer: str | None, forwarded: str | None) -> None:
    assert refused(head(x_forwarded_proto=forwarded), peer) == (403, "forbidden")


@pytest.mark.parametrize("offered", [None, "", "other", "digital-session.v2", "DIGITAL-SESSION.V1"])
def test_without_the_subprotocol_it_is_400(offered: str | None) -> None:
    assert refused(head(sec_websocket_protocol=offered)) == (400, "bad_request")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (head("POST /v1 HTTP/1.1"), 400),
        (head("GET /v1 HTTP/1.0"), 400),
        (head("GET /v1"), 400),
        (head(upgrade="h2c"), 400),
        (head(connection="close"), 400),
        (head(sec_websocket_key=None), 400),
        (head(sec_websocket_key="c2hvcnQ="), 400),
        (head(sec_websocket_key="not base64 at all!!!!!!!"), 400),
        (head(sec_websocket_key="ümlaut"), 400),
        (head(sec_websocket_version="8"), 426),
        (head(sec_websocket_version=None), 426),
    ],
)
def test_what_is_no_upgrade_is_refused(request_head: bytes, status: int) -> None:
    assert refused(request_head)[0] == status


def test_a_header_given_twice_is_one_list() -> None:
    request = head(sec_websocket_protocol=None).replace(
        b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: digital-session.v1\r\n\r\n"
    )
    assert answer(request, PROXY, GATE).accepted
    twice = head().replace(b"\r\n\r\n", b"\r\nOrigin: https://app.example.org\r\nOrigin: https://app.example.org\r\n\r\n")
    assert refused(twice)[0] == 403
