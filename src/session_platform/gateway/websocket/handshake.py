"""The upgrade: a request head becomes a 101 or a refusal that says why. Pure.

Everything that can be refused by an HTTP status is refused here. What a browser could not read that way (a bad token, too many
connections) is refused behind the upgrade, by the connection's protocol.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import msgspec

from session_platform.access import OriginPolicy, token_in_path, token_in_query
from session_platform.errors import PROBLEM_TYPES

SUBPROTOCOL: Final = "digital-session.v1"
PATH: Final = "/v1"
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION: Final = "13"

PlaintextRefused = Callable[[str | None, str | None], bool]
"""(address of the peer, its X-Forwarded-Proto) → whether its plaintext must be refused."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Who may come in, and how."""

    origins: OriginPolicy
    plaintext_refused: PlaintextRefused


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes to send; ``accepted`` says whether WebSocket frames follow or the connection ends."""

    accepted: bool
    response: bytes


class _Refused(Exception):
    def __init__(self, status: HTTPStatus, code: str, detail: str, kind: str | None = None) -> None:
        self.status = status
        self.code = code
        self.detail = detail
        self.kind = kind or code


def answer(head: bytes, peer: str | None, gate: Gate) -> Answer:
    """Judge a complete request head (up to the blank line) that came from ``peer``."""
    try:
        target, headers = _parsed(head)
        _check_address(target)
        _check_way(headers, peer, gate)
        key = _checked_key(headers)
    except _Refused as refused:
        return Answer(accepted=False, response=_refusal(refused))
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    response = b"".join(
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
            accept,
            b"\r\nSec-WebSocket-Protocol: ",
            SUBPROTOCOL.encode(),
            b"\r\n\r\n",
        )
    )
    return Answer(accepted=True, response=response)


def _parsed(head: bytes) -> tuple[str, Mapping[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or words[0] != "GET" or words[2] != "HTTP/1.1":
        raise _Refused(HTTPStatus.BAD_REQUEST, "bad_request", "A WebSocket is asked for with GET and HTTP/1.1.")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            name = name.lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    return words[1], headers


def _check_address(target: str) -> None:
    path, _, query = target.partition("?")
    if token_in_path(path) or token_in_query(query):
        raise _Refused(
            HTTPStatus.BAD_REQUEST, "bad_request", "A token does not belong in an address: send it in the connect frame."
        )
    if path != PATH:
        raise _Refused(HTTPStatus.NOT_FOUND, "forbidden_or_missing", f"The WebSocket is at {PATH}.")


def _check_way(headers: Mapping[str, str], peer: str | None, gate: Gate) -> None:
    if gate.plaintext_refused(peer, headers.get("x-forwarded-proto")):
        raise _Refused(HTTPStatus.FORBIDDEN, "forbidden", "Plaintext is refused: use wss.", "plaintext_refused")
    if not gate.origins.allows(headers.get("origin")):
        raise _Refused(HTTPStatus.FORBIDDEN, "forbidden", "This origin is not on the allow-list.", "foreign_origin")


def _checked_key(headers: Mapping[str, str]) -> bytes:
    if "websocket" not in _tokens(headers, "upgrade") or "upgrade" not in _tokens(headers, "connection"):
        raise _Refused(HTTPStatus.BAD_REQUEST, "bad_request", "This is not a request to upgrade to a WebSocket.")
    if headers.get("sec-websocket-version") != _VERSION:
        raise _Refused(HTTPStatus.UPGRADE_REQUIRED, "bad_request", f"Sec-WebSocket-Version must be {_VERSION}.")
    key = headers.get("sec-websocket-key", "")
    if not _is_nonce(key):
        raise _Refused(HTTPStatus.BAD_REQUEST, "bad_request", "Sec-WebSocket-Key must be 16 bytes in base64.")
    if SUBPROTOCOL not in _listed(headers, "sec-websocket-protocol"):
        raise _Refused(HTTPStatus.BAD_REQUEST, "bad_request", f"The subprotocol must be {SUBPROTOCOL}.")
    return key.encode()


def _is_nonce(key: str) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def _listed(headers: Mapping[str, str], name: str) -> list[str]:
    return [each.strip() for each in headers.get(name, "").split(",")]


def _tokens(headers: Mapping[str, str], name: str) -> list[str]:
    return [each.lower() for each in _listed(headers, name)]


def _refusal(refused: _Refused) -> bytes:
    status = refused.status
    problem = {
        "type": PROBLEM_TYPES + refused.kind,
        "title": status.phrase,
        "status": status.value,
        "detail": refused.detail,
        "code": refused.code,
    }
    body = msgspec.json.encode(problem)
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if status is HTTPStatus.UPGRADE_REQUIRED:
        lines += ["Upgrade: websocket", f"Sec-WebSocket-Version: {_VERSION}"]
    return "\r\n".join([*lines, "", ""]).encode() + body
