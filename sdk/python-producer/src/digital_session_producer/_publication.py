"""What publishing does, step by step, without doing any of it: no socket, no clock, no randomness.

`publication` is a generator. It yields a `Step`, is sent what came of it, and returns when the events were taken. The two
shells in `producer` carry the steps out; whatever else they raise passes through.

    Send ─▶ 2xx: done │ 401: Renew, then Send once more │ no answer, 429, 5xx: Pause, then Send again │ else: raises
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from digital_session_producer.errors import (
    AuthenticationError,
    ForbiddenError,
    ProducerError,
    ProtocolError,
    RateLimitedError,
    Refusal,
    RefusedError,
    TooLargeError,
    UnavailableError,
)
from digital_session_producer.event import Envelope, body_of


@dataclass(frozen=True, slots=True)
class Retry:
    """How often something that may pass is tried, and how long between: a random part of a bound that doubles up to ``cap_s``,
    but not sooner than a Retry-After says. One longer than ``retry_after_max_s`` is not waited for."""

    tries: int = 6
    base_s: float = 0.25
    cap_s: float = 8.0
    retry_after_max_s: float = 30.0

    def pause_s(self, step: int, drawn: float) -> float:
        """Seconds before try number ``step`` + 1; ``drawn`` is random, from 0 to 1."""
        return drawn * min(self.cap_s, self.base_s * 2.0 ** min(step, 32))


@dataclass(frozen=True, slots=True)
class Send:
    """POST this; the reply is an `Answer`, or None when there was none."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Renew:
    """The token was refused: obtain another. The reply says whether that is possible."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait; no reply."""

    seconds: float


Step = Send | Renew | Pause


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; ``retry_after_s`` from its header."""

    status: int
    body: bytes
    retry_after_s: float | None = None


def publication(envelopes: Sequence[Envelope], retry: Retry, draw: Callable[[], float]) -> Generator[Step, Any, None]:
    """Returns once every event was taken. Raises a `ProducerError`: then none was, or (`UnavailableError`) that is unknown."""
    content_type, body = body_of(envelopes)
    send = Send(content_type, body.encode())
    renewed = False
    failures = 0
    while True:
        answer: Answer | None = yield send
        if answer is not None and 200 <= answer.status < 300:
            return
        if answer is not None and answer.status == 401 and not renewed and (yield Renew()):
            renewed = True
            continue
        error = _error(answer, envelopes)
        if not isinstance(error, UnavailableError):
            raise error
        failures += 1
        asked_s = error.retry_after_s or 0.0
        if failures >= retry.tries or asked_s > retry.retry_after_max_s:
            raise error
        yield Pause(max(asked_s, retry.pause_s(failures - 1, draw())))


_BY_STATUS: Final[Mapping[int, type[ProducerError]]] = {
    401: AuthenticationError,
    403: ForbiddenError,
    413: TooLargeError,
}


def _error(answer: Answer | None, envelopes: Sequence[Envelope]) -> ProducerError:
    if answer is None:
        return UnavailableError("The platform cannot be reached.")
    problem = _problem(answer.body)
    code = problem.get("code") if isinstance(problem.get("code"), str) else None
    message = str(problem.get("detail") or problem.get("title") or f"The platform answered with HTTP status {answer.status}.")
    if answer.status == 422:
        return RefusedError(message, refusals=_refusals(problem, envelopes), code=code)
    if answer.status == 429:
        return RateLimitedError(message, retry_after_s=answer.retry_after_s, code=code)
    if answer.status >= 500:
        return UnavailableError(message, retry_after_s=answer.retry_after_s, code=code)
    return _BY_STATUS.get(answer.status, ProtocolError)(message, code=code)


def _problem(body: bytes) -> Mapping[str, Any]:
    try:
        problem = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}


def _refusals(problem: Mapping[str, Any], envelopes: Sequence[Envelope]) -> list[Refusal]:
    listed = problem.get("errors")
    named = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    return [_refusal(str(each.get("pointer", "")), str(each.get("detail", "")), envelopes) for each in named]


def _refusal(pointer: str, detail: str, envelopes: Sequence[Envelope]) -> Refusal:
    """In a batch a pointer begins with the event's index."""
    if len(envelopes) == 1:
        return Refusal(0, envelopes[0].event_id, pointer, detail)
    first, slash, rest = pointer.removeprefix("/").partition("/")
    if not (first.isascii() and first.isdigit()) or int(first) >= len(envelopes):
        return Refusal(None, None, pointer, detail)
    index = int(first)
    return Refusal(index, envelopes[index].event_id, slash + rest, detail)
