"""Every error a caller can see: one base, a stable code each.

Whose fault it was and whether trying again can help are types and attributes, never text to be parsed. Two tables elsewhere
translate a code for the wire: to a close code (gateway) and to an HTTP problem (api). Messages never repeat submitted values.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar, Final

PROBLEM_TYPES: Final = "urn:session-platform:problem:"
"""What the ``type`` of an RFC 9457 problem begins with; the error's ``kind`` or ``code`` follows."""


class PlatformError(Exception):
    """Something the platform refuses or cannot do; ``code`` is one of the wire contract's error codes, ``kind`` tells errors
    that share a code apart."""

    code: ClassVar[str] = "unavailable"
    kind: ClassVar[str | None] = None
    retryable: ClassVar[bool] = False
    text: ClassVar[str] = "The platform could not do this."

    def __init__(self, message: str | None = None) -> None:
        self.message = message or self.text
        super().__init__(self.message)


class BadRequest(PlatformError):
    """The frame or request is well-formed but one of its fields is not."""

    code = "bad_request"
    text = "The request has a missing, unknown or malformed field."


class Unauthenticated(PlatformError):
    """There is no valid token."""

    code = "unauthenticated"
    text = "The token is missing, invalid or expired: obtain a new one."


class Forbidden(PlatformError):
    """The role of the token may not use this call at all."""

    code = "forbidden"
    text = "This role may not use this call."


class PlaintextRefused(Forbidden):
    """The request came unencrypted, and not from this machine or a trusted proxy."""

    kind = "plaintext_refused"
    text = "Plaintext is refused: use TLS."


class ForeignOrigin(Forbidden):
    """A browser sent the request for a page that is not on the allow-list."""

    kind = "foreign_origin"
    text = "This origin is not on the allow-list."


class ForbiddenOrMissing(PlatformError):
    """Foreign and missing answer alike, so that nobody learns whether a foreign id exists."""

    code = "forbidden_or_missing"
    text = "There is no such thing, or it is not yours to see."


class Conflict(PlatformError):
    """The state of the thing forbids this transition."""

    code = "conflict"
    text = "The state forbids this transition."


class StillRunning(Conflict):
    """The first request with this idempotency key has not answered yet."""

    retryable = True
    text = "The first request with this Idempotency-Key still runs: repeat it after the time given."
    retry_after_s: ClassVar[int] = 1


class IdempotencyMismatch(PlatformError):
    """The idempotency key was used before, with another body."""

    code = "idempotency_mismatch"
    text = "This Idempotency-Key was used with another body: use a new key."


class MethodNotAllowed(PlatformError):
    code = "method_not_allowed"
    text = "This address does not know this method."


class TooLarge(PlatformError):
    code = "too_large"
    text = "The body is larger than 262144 bytes."


class UnsupportedMediaType(PlatformError):
    code = "unsupported_media_type"
    text = "The body needs Content-Type: application/json."


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with a body: ``pointer`` is an RFC 6901 JSON pointer into it."""

    pointer: str
    detail: str


class Invalid(PlatformError):
    """The body or a parameter cannot be accepted; ``problems`` says where and why."""

    code = "invalid"
    text = "The body or a parameter is not acceptable."

    def __init__(self, *problems: FieldProblem, message: str | None = None) -> None:
        self.problems = problems
        super().__init__(message)


class BadCursor(PlatformError):
    """The cursor is forged, malformed or of another timeline."""

    code = "bad_cursor"
    text = "The cursor is not one of this timeline: read state again and subscribe from its cursor."


class TooManySubscriptions(PlatformError):
    code = "too_many_subscriptions"
    text = "This connection holds the most subscriptions it may: unsubscribe from one first."


class RateLimited(PlatformError):
    """Too much in too short a time; ``retry_after_s`` seconds later it may work."""

    code = "rate_limited"
    retryable = True
    text = "Too many requests: slow down and try again."

    def __init__(self, message: str | None = None, *, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class Unavailable(PlatformError):
    """A part the platform needs is away (full disk, locked database, lost server); nothing was changed."""

    code = "unavailable"
    retryable = True
    text = "The platform cannot do this right now: try again shortly."

    def __init__(self, message: str | None = None, *, retry_after_s: float = 1.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class DisabledByFlag(PlatformError):
    code = "disabled_by_flag"
    text = "An operator has switched this off."


class Revoked(PlatformError):
    code = "revoked"
    text = "Access was revoked: sign in again."


class Replaced(PlatformError):
    code = "replaced"
    text = "A newer connection of the same subject replaced this one."


class ConnectTimeout(PlatformError):
    code = "connect_timeout"
    retryable = True
    text = "No connect frame came in time."


class TooSlow(PlatformError):
    code = "too_slow"
    retryable = True
    text = "The connection is too slow for what it asked for: reconnect and resume from the last cursor."


class StartError(Exception):
    """The platform cannot start: one sentence that says what to do. The command line prints it and exits with 1."""


class Broken(Exception):
    """A part of the running platform broke, and the process ends: one sentence, printed as a `StartError`'s is."""


def kind_and_place(error: BaseException) -> str:
    """``RuntimeError at careflow/worker.py:12``: the kind of an exception and where it came from, never its message: that may
    quote health data."""
    stack = traceback.extract_tb(error.__traceback__)
    if not stack:
        return type(error).__name__
    path = PurePath(stack[-1].filename)
    return f"{type(error).__name__} at {path.parent.name}/{path.name}:{stack[-1].lineno}"
