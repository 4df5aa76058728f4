"""Everything that can go wrong, as types under one base.

``code`` is the wire's own word, ``retryable`` says whether doing the same again may help, ``cause`` is what lies beneath.
Messages never repeat what was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DigitalSessionError(Exception):
    """The base of every error of this package."""

    default_code: ClassVar[str] = "unavailable"
    default_retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, code: str | None = None, retryable: bool | None = None, cause: BaseException | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.retryable = self.default_retryable if retryable is None else retryable
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException | None:
        """What lies beneath, if anything does."""
        return self.__cause__


class AuthenticationError(DigitalSessionError):
    """There is no token that the platform accepts: sign in again."""

    default_code = "unauthenticated"


class ForbiddenError(DigitalSessionError):
    """The token's holder may not do this, whatever the thing; or access was revoked or switched off.

    ``reason`` is the platform's word for why a subscription was ended unasked, None for anything else.
    """

    default_code = "forbidden"

    def __init__(self, message: str, *, reason: str | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.reason = reason


class NotFoundError(DigitalSessionError):
    """There is no such thing, or it is not yours to see: the platform does not say which."""

    default_code = "forbidden_or_missing"


class ConflictError(DigitalSessionError):
    """The state of the thing forbids this."""

    default_code = "conflict"


class ValidationError(DigitalSessionError):
    """Something sent is not acceptable; ``errors`` lists ``{"pointer", "detail"}`` where the platform said more."""

    default_code = "invalid"

    def __init__(self, message: str, *, errors: tuple[Mapping[str, str], ...] = (), **rest: Any) -> None:
        super().__init__(message, **rest)
        self.errors = errors


class RateLimitedError(DigitalSessionError):
    """Too much in too short a time; ``retry_after`` is in seconds, None when the platform did not say."""

    default_code = "rate_limited"
    default_retryable = True

    def __init__(self, message: str, *, retry_after: float | None = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.retry_after = retry_after


class UnavailableError(DigitalSessionError):
    """The platform cannot be reached or cannot do this now; trying again may help."""

    default_retryable = True


class NoActiveSessionError(DigitalSessionError):
    """There is no open session."""

    default_code = "no_active_session"


class ProtocolError(DigitalSessionError):
    """The other side does not speak this protocol, or not this version of it."""

    default_code = "bad_request"


class ClientClosedError(DigitalSessionError):
    """The client was closed: make a new one."""

    default_code = "closed"


class ServiceRequestFailedError(DigitalSessionError):
    """A service request ended without a result; ``code`` is the service's, such as ``payer_timeout``."""

    default_code = "failed"


class ServiceRequestCanceledError(DigitalSessionError):
    """A service request was canceled before it had a result."""

    default_code = "canceled"


_BY_CODE: Mapping[str, type[DigitalSessionError]] = {
    "unauthenticated": AuthenticationError,
    "token_expiring": AuthenticationError,
    "forbidden": ForbiddenError,
    "revoked": ForbiddenError,
    "disabled_by_flag": ForbiddenError,
    "forbidden_or_missing": NotFoundError,
    "conflict": ConflictError,
    "idempotency_mismatch": ConflictError,
    "replaced": ConflictError,
    "bad_request": ValidationError,
    "invalid": ValidationError,
    "bad_cursor": ValidationError,
    "too_large": ValidationError,
    "unsupported_media_type": ValidationError,
    "rate_limited": RateLimitedError,
    "too_many_subscriptions": RateLimitedError,
    "too_slow": RateLimitedError,
    "unavailable": UnavailableError,
    "connect_timeout": UnavailableError,
    "method_not_allowed": ProtocolError,
}
_BY_STATUS: Mapping[int, type[DigitalSessionError]] = {
    400: ValidationError,
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: ValidationError,
    415: ValidationError,
    422: ValidationError,
    429: RateLimitedError,
}


def from_frame(frame: Mapping[str, Any]) -> DigitalSessionError:
    """The typed error of an ``error`` frame."""
    code = str(frame.get("code", "unavailable"))
    kind = _BY_CODE.get(code, ProtocolError)
    message = str(frame.get("message", "The platform refused this."))
    retryable = bool(frame.get("retryable", False))
    if kind is RateLimitedError:
        after_ms = frame.get("retry_after_ms")
        return RateLimitedError(message, code=code, retryable=retryable, retry_after=after_ms / 1000 if after_ms else None)
    return kind(message, code=code, retryable=retryable)


def from_problem(status: int, problem: Mapping[str, Any], retry_after: float | None = None) -> DigitalSessionError:
    """The typed error of an HTTP answer; ``problem`` is its RFC 9457 body, empty when it had none."""
    code = problem.get("code")
    beyond = UnavailableError if status >= 500 else ProtocolError
    kind = _BY_CODE.get(str(code)) or _BY_STATUS.get(status, beyond)
    message = str(problem.get("detail") or problem.get("title") or f"The platform answered with HTTP status {status}.")
    if issubclass(kind, ValidationError):
        return kind(message, code=code, errors=tuple(problem.get("errors") or ()))
    if issubclass(kind, RateLimitedError):
        return kind(message, code=code, retry_after=retry_after)
    return kind(message, code=code)
