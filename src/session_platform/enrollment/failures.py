"""Why a step can fail: the platform's own codes and fixed texts. What the other side said is not repeated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

ENROLLMENT_BUSY: Final = "enrollment_busy"
ENROLLMENT_UNAVAILABLE: Final = "enrollment_unavailable"
ENROLLMENT_REJECTED: Final = "enrollment_rejected"
ENROLLMENT_REFUSED: Final = "enrollment_refused"


class Failure(NamedTuple):
    """``message`` is a sentence for the member. ``retryable``: the same step may succeed later. ``answered``: there was a
    definite answer, so that asking again is a new question; without one the same question stands, under the same key."""

    message: str
    retryable: bool
    answered: bool = True


FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {
        ENROLLMENT_BUSY: Failure(
            "The enrollment system could not do this right now: try again in a few minutes.", retryable=True
        ),
        ENROLLMENT_UNAVAILABLE: Failure(
            "The enrollment system cannot be reached right now: try again in a few minutes.", retryable=True, answered=False
        ),
        ENROLLMENT_REJECTED: Failure(
            "The enrollment system does not accept these details: compare them with the insurance card.", retryable=False
        ),
        ENROLLMENT_REFUSED: Failure(
            "The enrollment system does not accept our requests: we have to mend this.", retryable=False
        ),
    }
)
