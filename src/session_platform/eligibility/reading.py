"""What an answer means: a coverage, or the payer's refusal to tell."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from msgspec import Raw

from session_platform.contract import CoverageDetails
from session_platform.eligibility.coverage import coverage, says_something
from session_platform.eligibility.failures import ANSWER_UNREADABLE, FAILURES, classify
from session_platform.eligibility.model import Insured
from session_platform.eligibility.wire import PayerError, Unreadable, decode, each, part


class NoCoverage(NamedTuple):
    """``code`` is a key of `FAILURES`; ``payer_errors`` the payer's list of errors as JSON, byte for byte."""

    code: str
    retryable: bool
    payer_errors: bytes | None = None


def failed(code: str) -> NoCoverage:
    """The failure that this code always is."""
    return NoCoverage(code, FAILURES[code].retryable)


def is_answer(body: bytes) -> bool:
    """Whether the body of a 200 is the payer's answer at all: a coverage or a rejection. It is not when neither is in it, such
    as when the payer only acknowledged that the question was badly formed (an X12 999)."""
    try:
        answer = decode(body)
    except Unreadable:
        return False
    return bool(answer.plans) or bool(part(answer.errors, list[Raw]))


def read(body: bytes, insured: Insured, answered_at: datetime) -> CoverageDetails | NoCoverage:
    """The meaning of the body of a 200. Errors beside a coverage are about single benefits: the coverage stands."""
    try:
        answer = decode(body)
    except Unreadable:
        return failed(ANSWER_UNREADABLE)
    errors = part(answer.errors, list[Raw])
    if errors and not says_something(answer):
        code, retryable = classify(each(errors, PayerError))
        return NoCoverage(code, retryable, bytes(answer.errors))
    if not answer.plans:
        return failed(ANSWER_UNREADABLE)
    return coverage(answer, insured, answered_at)
