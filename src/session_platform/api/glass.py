"""``Break-Glass-Reason``: why a clinician must read what no relationship opens to them, as a header says it. Pure.

The reason goes on record and nowhere else: not into a log, an event or an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from session_platform.access.glass import fault_of
from session_platform.errors import FieldProblem, Invalid

GLASS_HEADER: Final = "Break-Glass-Reason"

_PERCENT_ENCODED: Final = re.compile(r"(?:[ -$&-~]|%[0-9A-Fa-f]{2})*")


class GlassFirst(Exception):
    """A query came to a member whose glass is to be broken first: it runs again behind that."""

    def __init__(self, member_id: str) -> None:
        self.member_id = member_id
        super().__init__()


@dataclass(frozen=True, slots=True)
class Glass:
    """What a clinician asked for with one request. ``broken`` are the members whose glass this request has broken."""

    reason: str
    broken: set[str] = field(default_factory=set)


def glass_of(values: Sequence[str]) -> Glass:
    """What the header says: UTF-8, percent-encoded, something in it. Raises `Invalid`."""
    if len(values) != 1 or not _PERCENT_ENCODED.fullmatch(values[0]):
        raise _unacceptable("must be one percent-encoded text")
    try:
        reason = unquote_to_bytes(values[0]).decode().strip()
    except UnicodeDecodeError:
        raise _unacceptable("must be UTF-8, percent-encoded") from None
    fault = fault_of(reason)
    if fault is not None:
        raise _unacceptable(fault)
    return Glass(reason)


def spoken(values: Sequence[str]) -> str | None:
    """The reason that a refused caller gave, as `glass_of` would take it; None where it is none."""
    try:
        return glass_of(values).reason
    except Invalid:
        return None


def _unacceptable(detail: str) -> Invalid:
    return Invalid(FieldProblem(f"/header/{GLASS_HEADER}", detail))
