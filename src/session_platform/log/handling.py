"""What a consumer group does with a page of events, and what it tries next when one of them fails. Pure.

A page is handled in one transaction. When an event fails, nothing of that transaction stays, so what came before it is handled
again, without it; then it alone, once more, since another's effect may have been in its way; and when it fails alone, it is
parked. What comes behind it is handled as usual: only events of its own timeline wait for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from session_platform.store.port import StoredEvent


class Verdict(Enum):
    """What becomes of one event in a group. KNOWN: it took effect before, or waits already."""

    HANDLE = "handle"
    PARK = "park"
    KNOWN = "known"


class Attempt(NamedTuple):
    """Events for one transaction, in the order of the log. ``error``: the first of them, which is alone, failed so and is to be
    parked."""

    events: Sequence[StoredEvent]
    error: str | None = None


def verdict(*, new: bool, waits_behind: int | None, error: str | None) -> Verdict:
    """``new``: the group sees the event for the first time. ``waits_behind``: the number of the first parked event of its
    timeline. ``error``: what it failed with on its own."""
    if not new:
        return Verdict.KNOWN
    return Verdict.HANDLE if waits_behind is None and error is None else Verdict.PARK


class Page:
    """A page of events being handled: take `next` until there is none, and say of each attempt that raised which of its events
    it was."""

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self._attempts = deque([Attempt(events)] if events else [])

    @property
    def next(self) -> Attempt | None:
        """What to try now; the same until `done` or `failed`."""
        return self._attempts[0] if self._attempts else None

    def done(self) -> None:
        """The attempt was committed."""
        self._attempts.popleft()

    def failed(self, index: int, error: str) -> None:
        """Event ``index`` of the attempt raised ``error``, and nothing of the attempt stays."""
        events, _ = self._attempts.popleft()
        alone = events[index : index + 1]
        following = [
            Attempt(events[:index]),
            Attempt(alone, error if len(events) == 1 else None),
            Attempt(events[index + 1 :]),
        ]
        self._attempts.extendleft(reversed([attempt for attempt in following if attempt.events]))
