"""What every request passes before it reaches a call, and every answer on its way out: pure ASGI, one object.

In this order: plaintext, a token in the address, a foreign origin; then CORS, HEAD and OPTIONS; and a fault of ours becomes a
problem that says nothing. What the calls themselves decide (who, which body, which right) is none of its business.

Plaintext has one exception: what orchestrators and Prometheus ask a process itself, from its machine or network, where there is
no TLS to speak. Those answers are about no member. An address that comes through a proxy is not asked from there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, MutableMapping
from ipaddress import ip_address, ip_network
from typing import Any, Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_platform.access import token_in_path, token_in_query
from session_platform.api.measure import METHODS, UNMATCHED, Figures
from session_platform.api.platform import Platform
from session_platform.api.problems import fault, problem_of
from session_platform.errors import (
    BadRequest,
    ForbiddenOrMissing,
    ForeignOrigin,
    PlaintextRefused,
    PlatformError,
    Unavailable,
)
from session_platform.telemetry import trace_id

ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Break-Glass-Reason, traceparent"
ALLOWED_METHODS: Final = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
PREFLIGHT_MAX_AGE_S: Final = 600
PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
NEARBY: Final = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "169.254.0.0/16", "fe80::/10"),
    )
)
"""This machine, private networks (RFC 1918, RFC 4193) and the link."""
FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "via")
"""Headers that a proxy leaves."""
CLIENT_WENT_AWAY: Final = 499
"""What is counted as the status where there was nobody to answer."""

_log: Final = structlog.get_logger("session_platform.api")


class Edge:
    """Wraps the routed application. ``methods_of`` tells the methods of a path, none for an unknown one."""

    def __init__(
        self, app: ASGIApp, platform: Platform, figures: Figures, methods_of: Callable[[Scope], frozenset[str]]
    ) -> None:
        self._app = app
        self._platform = platform
        self._figures = figures
        self._methods_of = methods_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        method: str = scope["method"]
        out = _Out(send, self._outgoing_headers(scope), silent=method == "HEAD")
        # The server keeps its own scope: it has to know that the answer to HEAD has no body.
        scope = {**scope, "method": "GET" if method == "HEAD" else method}
        given, known = Headers(scope=scope).get("traceparent"), method if method in METHODS else "OTHER"
        with (
            self._platform.tracing.span("http.request", given, method=known) as span,
            structlog.contextvars.bound_contextvars(trace_id=trace_id(span.traceparent)),
        ):
            scope["state"] = {**scope.get("state", {}), "traceparent": span.traceparent}
            await self._serve(scope, receive, out)
            route = _route(scope)
            span.tell(route=route or UNMATCHED, status=out.status)
            took_s = time.perf_counter() - started_s
            self._figures.count(method, route, out.status, took_s)
            say = _log.info if out.status >= 400 else _log.debug
            say("request", method=known, route=route, status=out.status, took_ms=round(took_s * 1000, 1))

    async def _serve(self, scope: Scope, receive: Receive, out: _Out) -> None:
        try:
            await self._answer(scope, receive, out)
        except ClientDisconnect:
            out.status = CLIENT_WENT_AWAY
        except asyncio.CancelledError:
            # Only a server that stops does this, to whoever takes too long: the task is the request's own, and ends here.
            if not out.started:
                await problem_of(Unavailable("The server stops: send the request again."))(scope, receive, out)
        except Exception as error:  # noqa: BLE001 (the border: whatever broke becomes an answer that says nothing)
            _log.error("request_failed", route=_route(scope), error=type(error).__name__, at=_where(error))
            if not out.started:
                await fault()(scope, receive, out)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await problem_of(refusal)(scope, receive, send)
        elif scope["method"] == "OPTIONS":
            await self._options(scope, headers)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> PlatformError | None:
        peer = scope["client"][0] if scope.get("client") else None
        forwarded = ",".join(headers.getlist("x-forwarded-proto")) or None
        plaintext = scope["scheme"] != "https" and not is_probe(scope["path"], peer, headers)
        if plaintext and self._platform.transport.plaintext_refused(peer, forwarded):
            return PlaintextRefused()
        if token_in_query(scope["query_string"].decode("latin-1")) or token_in_path(scope["path"]):
            return BadRequest("A token never stands in an address: send it in the Authorization header.")
        if not self._platform.origins.allows(headers.get("origin")):
            return ForeignOrigin()
        return None

    def _options(self, scope: Scope, headers: Headers) -> Response:
        if "origin" in headers and "access-control-request-method" in headers:
            return Response(
                status_code=204,
                headers={
                    "Access-Control-Allow-Methods": ALLOWED_METHODS,
                    "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                    "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
                },
            )
        methods = self._methods_of(scope)
        return Response(status_code=204, headers={"Allow": allow(methods)}) if methods else problem_of(ForbiddenOrMissing())

    def _outgoing_headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """Answers are one caller's own: nobody may keep them. To an allowed origin they are readable."""
        extra = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), (b"vary", b"Origin")]
        origin = Headers(scope=scope).get("origin")
        if origin is not None and self._platform.origins.allows(origin):
            extra.append((b"access-control-allow-origin", origin.encode("latin-1")))
            extra.append((b"access-control-expose-headers", b"Retry-After"))
        return extra


class _Out:
    """The way out: adds headers, drops the body of an answer to HEAD, remembers the status."""

    def __init__(self, send: Send, extra: list[tuple[bytes, bytes]], *, silent: bool) -> None:
        self._send = send
        self._extra = extra
        self._silent = silent
        self.started = False
        self.status = CLIENT_WENT_AWAY

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *self._extra]}
        elif self._silent and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def allow(methods: frozenset[str]) -> str:
    """The ``Allow`` header of a path that has ``methods``."""
    return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


def is_probe(path: str, peer: str | None, headers: Headers) -> bool:
    """Whether the process itself is asked how it is, by its own machine or network."""
    if path not in PROBES or peer is None or any(name in headers for name in FORWARDED):
        return False
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in NEARBY)


def _route(scope: MutableMapping[str, Any]) -> str | None:
    path: str | None = getattr(scope.get("route"), "path", None)
    return path


def _where(error: BaseException) -> str:
    """File and line where it was raised: the message of an exception may hold what somebody submitted."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
