"""Where a request may come from and how: browsers' origins, plaintext, and tokens in addresses. Pure.

One allow-list governs CORS and the WebSocket's ``Origin``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_TOKEN_NAMES: Final = frozenset(
    {"token", "access_token", "id_token", "refresh_token", "authorization", "bearer", "jwt", "auth"}
)
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")


class OriginPolicy:
    """The allow-list of browser origins; with ``insecure`` loopback is on it too. Raises `ValueError` for an entry that is no
    origin."""

    def __init__(self, allowed: Iterable[str], insecure: bool = False) -> None:
        self._insecure = insecure
        self._allowed = frozenset(_normalised(each) for each in allowed)
        if None in self._allowed:
            raise ValueError("an allowed origin is a scheme, a host and perhaps a port, such as https://app.example.org")

    def allows(self, origin: str | None) -> bool:
        """Whether a request with this ``Origin`` header may go on; without one it may (native apps have none)."""
        if origin is None:
            return True
        normal = _normalised(origin)
        if normal is None:
            return False
        return normal in self._allowed or (self._insecure and is_loopback(normal[1]))


def _normalised(origin: str) -> tuple[str, str, int] | None:
    """(scheme, host, port); None for what is no origin, ``null`` included."""
    if not origin.isascii() or not origin.isprintable() or " " in origin:
        return None  # urlsplit would quietly drop some of it
    try:
        parts = urlsplit(origin)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    bare = parts.scheme in _DEFAULT_PORTS and parts.hostname and not (parts.path or parts.query or parts.fragment)
    if not bare or "@" in parts.netloc or port is None or parts.hostname is None:
        return None
    return parts.scheme, parts.hostname, port


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class TransportPolicy:
    """Who may speak plaintext: with ``insecure`` loopback, and ``trusted_proxies`` (addresses or networks) that say their
    client came by https. Raises `ValueError` for an entry that is neither."""

    def __init__(self, insecure: bool = False, trusted_proxies: Sequence[str] = ()) -> None:
        self._insecure = insecure
        self._trusted: tuple[IPv4Network | IPv6Network, ...] = tuple(ip_network(each, strict=False) for each in trusted_proxies)

    def plaintext_refused(self, peer: str | None, forwarded_proto: str | None) -> bool:
        """Whether a plaintext request must be refused. ``peer`` is the address at the other end of the socket,
        ``forwarded_proto`` the ``X-Forwarded-Proto`` header: each of its values must say https, since a client can send one."""
        if peer is None:
            return True
        if self._insecure and is_loopback(peer):
            return False
        return not (self._is_trusted(peer) and _all_https(forwarded_proto))

    def _is_trusted(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._trusted)


def _all_https(forwarded_proto: str | None) -> bool:
    return forwarded_proto is not None and all(each.strip().lower() == "https" for each in forwarded_proto.split(","))


def token_in_query(query_string: str) -> bool:
    """Whether a query string seems to carry a token: by a parameter's name, or by a value shaped like a JWT.

    Addresses end up in logs and histories of proxies and browsers, so such a request is refused whatever the token says.
    """
    if _JWT.search(unquote(query_string)):
        return True
    return any(
        name.strip().lower().replace("-", "_") in _TOKEN_NAMES
        for name, _ in parse_qsl(query_string, keep_blank_values=True, max_num_fields=None)
    )


def token_in_path(path: str) -> bool:
    """Whether a path seems to carry a token."""
    return _JWT.search(path) is not None
