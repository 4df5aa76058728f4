"""Why a check can fail: the platform's own codes and fixed texts, and which of them a payer's rejection becomes.

A payer rejects with AAA segments of an X12 271. AAA03 is the reject reason (code list 901), AAA04 the follow-up action (code
list 889), which the clearinghouse spells out. The payer's own words are kept beside the code and never shown in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from session_platform.eligibility.wire import PayerError

SUBSCRIBER_NOT_FOUND: Final = "subscriber_not_found"
PAYER_UNAVAILABLE: Final = "payer_unavailable"
PAYER_TIMEOUT: Final = "payer_timeout"
PAYER_REJECTED: Final = "payer_rejected"
CLEARINGHOUSE_UNAVAILABLE: Final = "clearinghouse_unavailable"
CLEARINGHOUSE_REFUSED: Final = "clearinghouse_refused"
ANSWER_UNREADABLE: Final = "answer_unreadable"
ACCOUNT_UNKNOWN: Final = "account_unknown"


class Failure(NamedTuple):
    """``message`` is a sentence for the member. ``retryable``: the same check may succeed later. ``answered``: somebody gave a
    definite answer, so that asking again is a new question; without one the same question stands, under the same key."""

    message: str
    retryable: bool
    answered: bool = True


FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {
        SUBSCRIBER_NOT_FOUND: Failure(
            "The insurance company does not know this member: compare the details on file with the insurance card.",
            retryable=False,
        ),
        PAYER_UNAVAILABLE: Failure(
            "The insurance company cannot answer right now: try again in a few minutes.", retryable=True
        ),
        PAYER_TIMEOUT: Failure(
            "The insurance company did not answer in time: try again in a few minutes.", retryable=True, answered=False
        ),
        PAYER_REJECTED: Failure(
            "The insurance company rejected the check: its own words are with the request.", retryable=False
        ),
        CLEARINGHOUSE_UNAVAILABLE: Failure(
            "The service that asks insurance companies cannot be reached right now: try again in a few minutes.",
            retryable=True,
            answered=False,
        ),
        CLEARINGHOUSE_REFUSED: Failure(
            "The service that asks insurance companies does not accept our requests: we have to mend this.", retryable=False
        ),
        ANSWER_UNREADABLE: Failure(
            "The answer about the coverage could not be read: try again in a few minutes.", retryable=True
        ),
        ACCOUNT_UNKNOWN: Failure("There is no insurance on file for this account.", retryable=False),
    }
)
"""Every code a check can fail with. `PAYER_REJECTED` alone may be retryable after all, see `Rejection`."""

_BY_REASON: Final[Mapping[str, str]] = MappingProxyType(
    {
        "75": SUBSCRIBER_NOT_FOUND,  # Subscriber/Insured Not Found
        "42": PAYER_UNAVAILABLE,  # Unable to Respond at Current Time
    }
)
_RESUBMIT_AS_IT_IS: Final = frozenset({"r", "resubmission allowed", "p", "please resubmit original transaction"})
"""Code list 889: R and P. C wants a correction first, W and X a wait of 30 and 10 days, N, S and Y forbid it."""


class Rejection(NamedTuple):
    """The payer answered that it will not say."""

    code: str
    retryable: bool


def classify(errors: Sequence[PayerError]) -> Rejection:
    """What a payer's rejection is to us. Of several errors a missing subscriber outweighs an absent payer, and both the rest;
    any other rejection may be sent again only when every one of its errors allows that. No errors: a rejection without a
    reason."""
    codes = {_BY_REASON.get(str(error.code).strip(), PAYER_REJECTED) for error in errors}
    for code in (SUBSCRIBER_NOT_FOUND, PAYER_UNAVAILABLE):
        if code in codes:
            return Rejection(code, FAILURES[code].retryable)
    return Rejection(PAYER_REJECTED, bool(errors) and all(_may_resubmit(error.followup_action or "") for error in errors))


def _may_resubmit(followup_action: str) -> bool:
    return followup_action.strip().rstrip(".").casefold() in _RESUBMIT_AS_IT_IS
