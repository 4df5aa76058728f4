"""Who retries what: the end of a connection, and whether there is a next one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from digital_session import errors

TOKEN_REFUSED = 4401
# HTTP answers to the upgrade that a proxy gives while what stands behind it restarts, or that ask to come back later.
_PASSING_STATUS = frozenset({408, 425, 429})

_FINAL: Mapping[int, errors.DigitalSessionError] = {
    1009: errors.ProtocolError("The platform refused a frame as too large.", code="too_large"),
    4400: errors.ProtocolError("The platform does not understand this client: a newer version of the SDK may be needed."),
    4403: errors.ForbiddenError("Access was revoked: sign in again.", code="revoked"),
    4409: errors.ConflictError("A newer connection replaced this one.", code="replaced"),
    4410: errors.ForbiddenError("An operator has switched this transport off.", code="disabled_by_flag"),
}


@dataclass(frozen=True, slots=True)
class Loss:
    """How a connection ended, or why none came about: a close code, an HTTP status instead of the upgrade, or an error."""

    code: int | None = None
    status: int | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Never:
    """No other try would fare better."""

    error: errors.DigitalSessionError


@dataclass(frozen=True, slots=True)
class Again:
    """Try again: after exactly ``wait_s`` where the server named it, else with back-off, but not before ``at_least_s``."""

    error: errors.DigitalSessionError
    wait_s: float | None = None
    at_least_s: float = 0.0
    other_token: bool = False


def judge(loss: Loss, fatal: Mapping[str, Any] | None = None, goodbye_s: float | None = None) -> Never | Again:
    """What to do after ``loss``; ``fatal`` is the error frame before it, ``goodbye_s`` what a goodbye asked for."""
    told = errors.from_frame(fatal) if fatal else None
    if loss.code is not None and loss.code in _FINAL:
        return Never(_copy(_FINAL[loss.code], told))
    if loss.code == TOKEN_REFUSED:
        return Again(told or errors.AuthenticationError("The token is missing, invalid or expired."), other_token=True)
    if loss.status is not None and loss.status < 500 and loss.status not in _PASSING_STATUS:
        return Never(_not_a_gateway(loss))
    if isinstance(loss.error, errors.DigitalSessionError) and not loss.error.retryable:
        return Never(loss.error)
    after_ms = fatal.get("retry_after_ms") if fatal else None
    return Again(told or _lost(loss), wait_s=goodbye_s, at_least_s=(after_ms or 0) / 1000)


def _copy(error: errors.DigitalSessionError, told: errors.DigitalSessionError | None) -> errors.DigitalSessionError:
    """A fresh error each time: a raised one carries its traceback. What the server said is its cause."""
    return type(error)(error.message, code=error.code, cause=told)


def _not_a_gateway(loss: Loss) -> errors.DigitalSessionError:
    message = f"The endpoint answered with HTTP status {loss.status} instead of a WebSocket: check its address."
    return errors.ProtocolError(message, cause=loss.error)


def _lost(loss: Loss) -> errors.DigitalSessionError:
    if isinstance(loss.error, errors.DigitalSessionError):
        return loss.error
    how = f"closed with {loss.code}" if loss.code is not None else "could not be made"
    return errors.UnavailableError(f"The connection was lost or {how}.", cause=loss.error)
