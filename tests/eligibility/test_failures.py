"""Payers' rejections: which code, and whether the same check may be sent again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.eligibility import FAILURES
from session_platform.eligibility.failures import Rejection, classify
from session_platform.eligibility.wire import PayerError


def errors(*pairs: tuple[str | int, str | None]) -> list[PayerError]:
    return [PayerError(code=code, followup_action=followup) for code, followup in pairs]


@pytest.mark.parametrize(
    ("code", "followup", "expected"),
    [
        ("75", "Please Correct and Resubmit", Rejection("subscriber_not_found", retryable=False)),
        ("75", "Resubmission Allowed", Rejection("subscriber_not_found", retryable=False)),
        ("42", "Resubmission Allowed", Rejection("payer_unavailable", retryable=True)),
        ("42", "Resubmission Not Allowed", Rejection("payer_unavailable", retryable=True)),
        (42, None, Rejection("payer_unavailable", retryable=True)),
        ("72", "Please Correct and Resubmit", Rejection("payer_rejected", retryable=False)),
        ("80", "Please Resubmit Original Transaction", Rejection("payer_rejected", retryable=True)),
        ("80", "P", Rejection("payer_rejected", retryable=True)),
        ("79", "Resubmission Allowed", Rejection("payer_rejected", retryable=True)),
        ("79", " resubmission allowed. ", Rejection("payer_rejected", retryable=True)),
        ("79", "R", Rejection("payer_rejected", retryable=True)),
        ("41", "Resubmission Not Allowed", Rejection("payer_rejected", retryable=False)),
        ("04", "Please Wait 30 Days and Resubmit", Rejection("payer_rejected", retryable=False)),
        ("04", "Please Wait 10 Days and Resubmit", Rejection("payer_rejected", retryable=False)),
        ("04", "Do Not Resubmit; Inquiry Initiated to a Third Party", Rejection("payer_rejected", retryable=False)),
        (
            "04",
            "Do Not Resubmit; We Will Hold Your Request and Respond Again Shortly",
            Rejection("payer_rejected", retryable=False),
        ),
        ("999999", "", Rejection("payer_rejected", retryable=False)),
        ("", None, Rejection("payer_rejected", retryable=False)),
        (" 75 ", None, Rejection("subscriber_not_found", retryable=False)),
    ],
)
def test_each_aaa_error_has_its_class(code: str | int, followup: str | None, expected: Rejection) -> None:
    assert classify(errors((code, followup))) == expected


def test_of_several_errors_the_missing_subscriber_counts_and_every_one_must_allow_a_repeat() -> None:
    assert classify(errors(("42", "R"), ("75", "C"))).code == "subscriber_not_found"
    assert classify(errors(("72", "C"), ("42", "R"))).code == "payer_unavailable"
    assert classify(errors(("79", "R"), ("80", "P"))).retryable
    assert not classify(errors(("79", "R"), ("72", "C"))).retryable
    assert classify([]) == Rejection("payer_rejected", retryable=False)


@given(
    given=st.lists(
        st.tuples(st.sampled_from(["75", "42", "72", "79"]), st.sampled_from(["R", "C", None])), min_size=1, max_size=5
    ),
    seed=st.integers(0, 100),
)
def test_the_order_of_a_payers_errors_does_not_matter(given: list[tuple[str | int, str | None]], seed: int) -> None:
    shuffled = random.Random(seed).sample(given, len(given))
    assert classify(errors(*given)) == classify(errors(*shuffled))


def test_every_failure_is_a_sentence_and_says_whether_to_try_again() -> None:
    for failure in FAILURES.values():
        assert failure.message[0].isupper()
        assert failure.message.endswith(".")
        assert ("try again" in failure.message) == failure.retryable
