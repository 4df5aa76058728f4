"""Verifying the audit as it lies in the store, on one snapshot and in constant memory."""

from __future__ import annotations

from session_platform.access.audit import stored
from session_platform.access.audit.chain import Linked, Verification
from session_platform.store import Reader


def verify(reader: Reader, wanted: bytes | None = None) -> Verification:
    """Read the whole chain; ``wanted`` is a head that was noted at some time before."""
    found = Verification(wanted=wanted)
    for each in stored.in_order(reader):
        if isinstance(each, Linked):
            found.linked(each)
        else:
            found.seal(each)
    found.tail(stored.waiting(reader))
    found.finish()
    return found
