"""How long to wait before trying again. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal


@dataclass(frozen=True, slots=True)
class Policy:
    """How a lost connection is sought again. ``max_attempts`` counts since the last success; None never gives up."""

    enabled: bool = True
    max_attempts: int | None = None
    backoff: Literal["exponential", "fixed"] = "exponential"
    base_s: float = 1.0
    cap_s: float = 30.0

    def __post_init__(self) -> None:
        if self.backoff not in {"exponential", "fixed"}:
            raise ValueError("A back-off is exponential or fixed.")

    def wait_s(self, step: int, jitter: float) -> float:
        """Seconds before try number ``step`` (0 the first)."""
        return full_jitter(step if self.backoff == "exponential" else 0, jitter, base_s=self.base_s, cap_s=self.cap_s)


def full_jitter(step: int, jitter: float, *, base_s: float, cap_s: float) -> float:
    """Seconds before try number ``step`` (0 the first): a random part, ``jitter`` from 0 to 1, of a bound that doubles.

    "Full jitter" of the AWS Architecture Blog, "Exponential Backoff And Jitter": clients that were cut off together do not come
    back together.
    """
    return jitter * min(cap_s, base_s * 2.0 ** min(step, 32))


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, given in seconds or as an HTTP date (RFC 9110 §10.2.3); None without one."""
    if header is None:
        return None
    # A number may have other digits than these, which are no seconds.
    if header.isascii() and header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return None
