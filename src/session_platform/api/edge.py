"""What every request passes before it reaches a call, and every answer on its way out: pure ASGI, one object.

In this order: plaintext, a token in the address, a foreign origin; then CORS, HEAD and OPTIONS; and a fault of ours becomes a
problem that says nothing. What the calls themselves decide (who, which body, which right) is none of its business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from session_platform.access import token_in_path, token_in_query
from session_platform.api.measure import Figures
from session_platform.api.platform import Platform
from session_platform.api.problems import fault, problem_of
from session_platform.errors import BadRequest, Forbidden, ForbiddenOrMissing, PlatformError

ALLOWED_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Break-Glass-Reason, traceparent"
ALLOWED_METHODS: Final = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
PREFLIGHT_MAX_AGE_S: Final = 600
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
        try:
            await self._answer(scope, receive, out)
        except ClientDisconnect:
            out.status = CLIENT_WENT_AWAY
        except Exception as error:  # noqa: BLE001 (the border: whatever broke becomes an answer that says nothing)
            _log.error("request_failed", route=_route(scope), error=type(error).__name__, at=_where(error))
            if not out.started:
                await fault()(scope, receive, out)
        self._figures.count(method, _route(scope), out.status, time.perf_counter() - started_s)

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
        if scope["scheme"] != "https" and self._platform.transport.plaintext_refused(peer, forwarded):
            return Forbidden("Plaintext is refused: use https.")
        if token_in_query(scope["query_string"].decode("latin-1")) or token_in_path(scope["path"]):
            return BadRequest("A token never stands in an address: send it in the Authorization header.")
        if not self._platform.origins.allows(headers.get("origin")):
            return Forbidden("This origin is not on the allow-list.")
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


def _route(scope: MutableMapping[str, Any]) -> str | None:
    path: str | None = getattr(scope.get("route"), "path", None)
    return path


def _where(error: BaseException) -> str:
    """File and line where it was raised: the message of an exception may hold what somebody submitted."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
