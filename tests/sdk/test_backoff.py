"""Waiting before the next try."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from digital_session._backoff import full_jitter, retry_after_s

NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_wait_is_a_part_of_a_bound_that_doubles_and_never_exceeds_the_cap(step: int, jitter: float) -> None:
    wait_s = full_jitter(step, jitter, base_s=1.0, cap_s=30.0)
    assert 0 <= wait_s <= min(30.0, 2.0 ** min(step, 10))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        ("0", 0.0),
        ("Thu, 15 Jan 2026 10:00:20 GMT", 20.0),
        ("Thu, 15 Jan 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("Thu, 15 Jan 2026 10:00:20", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, NOW) == seconds
