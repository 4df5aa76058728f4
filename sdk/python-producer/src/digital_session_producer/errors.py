"""Everything that can go wrong when publishing, as types under one base.

``code`` is the platform's own word, ``retryable`` says whether doing the same again may help. Messages never repeat what was
sent: they may be logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class ProducerError(Exception):
    """The base of every error of this package."""

    default_code: ClassVar[str] = "unavailable"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing wrong with one event.

    ``index`` is the event's place in what was published, ``event_id`` its id; both None when the refusal is of the whole.
    ``pointer`` is an RFC 6901 pointer into the CloudEvent, such as ``/data/task_id``; ``detail`` says what is wrong with it.
    """

    index: int | None
    event_id: str | None
    pointer: str
    detail: str


class RefusedError(ProducerError):
    """The platform does not take these events, now or later; none of the batch was taken. ``refusals`` says which and why."""

    default_code = "invalid"

    def __init__(self, message: str, *, refusals: Sequence[Refusal] = (), code: str | None = None) -> None:
        shown = "; ".join(f"event {each.event_id} {each.pointer}: {each.detail}" for each in refusals)
        super().__init__(f"{message} ({shown})" if shown else message, code=code)
        self.refusals = tuple(refusals)


class TooLargeError(ProducerError):
    """The body is larger than the platform takes at once: publish fewer events at a time. None of them was taken."""

    default_code = "too_large"


class AuthenticationError(ProducerError):
    """There is no token that the platform accepts."""

    default_code = "unauthenticated"


class ForbiddenError(ProducerError):
    """The token is not a service's, or the ``source`` belongs to another service."""

    default_code = "forbidden"


class ProtocolError(ProducerError):
    """The endpoint does not speak this protocol: check its address."""

    default_code = "bad_request"


class UnavailableError(ProducerError):
    """The platform cannot be reached or cannot do this now, and the tries are used up. Whether the events were taken is
    unknown: publish the same `Event` objects again, and each is taken once. ``retry_after_s`` is what it asked for."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class RateLimitedError(UnavailableError):
    """Too much in too short a time, and the tries are used up."""

    default_code = "rate_limited"
