"""Every refusal as an RFC 9457 problem: the one table from error code to HTTP status.

A problem says nothing of the request: no id, no submitted value, no trace. So two refusals of one kind are the same bytes, and
a foreign thing answers exactly as a missing one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.responses import Response

from session_platform.errors import PROBLEM_TYPES, ForeignOrigin, Invalid, PlaintextRefused, PlatformError

MEDIA_TYPE: Final = "application/problem+json"
CHALLENGE: Final = 'Bearer realm="digital-session"'


class Kind(Struct, frozen=True):
    """What a code is over HTTP."""

    status: int
    title: str


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "bad_request": Kind(400, "The request is malformed"),
        "unauthenticated": Kind(401, "No valid token"),
        "revoked": Kind(401, "Access was revoked"),
        "forbidden": Kind(403, "Not for this role"),
        "disabled_by_flag": Kind(403, "Switched off"),
        "forbidden_or_missing": Kind(404, "Not found"),
        "method_not_allowed": Kind(405, "Method not allowed"),
        "too_slow": Kind(408, "The body did not arrive in time"),
        "conflict": Kind(409, "The state forbids it"),
        "idempotency_mismatch": Kind(409, "The key was used with another body"),
        "too_large": Kind(413, "The body is too large"),
        "unsupported_media_type": Kind(415, "Not JSON"),
        "invalid": Kind(422, "Not acceptable"),
        "bad_cursor": Kind(422, "Not a cursor of this timeline"),
        "rate_limited": Kind(429, "Too many requests"),
        "unavailable": Kind(503, "Not available right now"),
    }
)


NARROWER: Final[Mapping[str | None, Kind]] = MappingProxyType(
    {
        PlaintextRefused.kind: Kind(403, "Plaintext is refused"),
        ForeignOrigin.kind: Kind(403, "Origin not allowed"),
    }
)
"""Refusals that share a code with a more general one and are told apart by ``type`` and ``title``."""


class FieldError(Struct, frozen=True):
    """``pointer`` is an RFC 6901 pointer into the body; a parameter's begins with /query/, /path/ or /header/."""

    pointer: str
    detail: str


class Problem(Struct, frozen=True, kw_only=True):
    """The body of every error answer. ``errors`` comes with 422, ``troubles`` with a ``/readyz`` that is not ready."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: tuple[FieldError, ...] | UnsetType = UNSET
    troubles: tuple[str, ...] | UnsetType = UNSET


def problem_of(error: PlatformError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to what raised ``error``; ``headers`` come on top of those that its kind needs."""
    kind = NARROWER.get(error.kind) or KINDS.get(error.code) or KINDS["unavailable"]
    problem = Problem(
        type=PROBLEM_TYPES + (error.kind or error.code),
        title=kind.title,
        status=kind.status,
        detail=error.message,
        code=error.code,
        errors=tuple(FieldError(each.pointer, each.detail) for each in error.problems) if isinstance(error, Invalid) else UNSET,
    )
    return answer_with(problem, {**_headers(error, kind.status), **(headers or {})})


def answer_with(problem: Problem, headers: Mapping[str, str]) -> Response:
    """``problem`` as a response."""
    return Response(msgspec.json.encode(problem), problem.status, dict(headers), MEDIA_TYPE)


def fault() -> Response:
    """The answer when something broke on our side: nothing about what it was."""
    return answer_with(
        Problem(
            type=PROBLEM_TYPES + "fault",
            title="Something broke on our side",
            status=500,
            detail="The platform could not do this because of a fault of its own.",
            code="unavailable",
        ),
        {},
    )


def _headers(error: PlatformError, status: int) -> dict[str, str]:
    if status == 401:
        return {"WWW-Authenticate": CHALLENGE}
    if status == 408:
        return {"Connection": "close"}
    retry_after_s = getattr(error, "retry_after_s", None)
    return {} if retry_after_s is None else {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
