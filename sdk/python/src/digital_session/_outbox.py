"""What was submitted and is not accepted yet: in order, bounded, and of one subject. Pure.

Laws:
* An entry's key is minted once; every try carries it, so that a repetition whose first answer was lost does nothing new.
* The oldest entry goes first, and nothing overtakes it.
* An entry goes out under the token of the subject that submitted it, or not at all; after a day it does not go out any more.
* A fault that the platform tells is tried a few times and then told. Once a try has gone unanswered that is no longer safe: it
  may have been accepted, and only its own key can find out, so the entry stays until an answer is final.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from digital_session.errors import DigitalSessionError, ForbiddenError, UnavailableError

WAITING_MAX = 100
KEPT_FOR_S = 24 * 3600.0
FAULTS_MAX = 6


@dataclass(slots=True)
class Entry:
    """One submission; ``at`` is the time of day in seconds.

    ``uncertain``: some try of it was never answered. ``restored``: an earlier run submitted it, and nobody waits for it.
    """

    key: str
    subject: str
    session_id: str
    body: Mapping[str, Any]
    at: float
    uncertain: bool = False
    restored: bool = False
    faults: int = 0


class Outbox:
    """Entries, the oldest first."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def add(self, entry: Entry) -> None:
        """Take it up. Raises UnavailableError when too many wait."""
        if len(self._entries) >= WAITING_MAX:
            raise UnavailableError("Too many service requests wait to be submitted.", code="queue_full")
        self._entries[entry.key] = entry

    def remove(self, key: str) -> None:
        """It is accepted, refused or given up."""
        self._entries.pop(key, None)

    def first(self) -> Entry | None:
        """What goes next."""
        return next(iter(self._entries.values()), None)

    def passed(self, entry: Entry, *, answered: bool) -> bool:
        """A try failed in a way that may pass; whether to try again."""
        entry.uncertain = entry.uncertain or not answered
        entry.faults = entry.faults + 1 if answered else 0
        return entry.uncertain or entry.faults < FAULTS_MAX

    def drop(self, subject: str, at: float) -> list[tuple[Entry, DigitalSessionError]]:
        """Remove what must not go out any more, with the error for whoever waits for it."""
        dropped: list[tuple[Entry, DigitalSessionError]] = []
        for entry in list(self._entries.values()):
            if entry.subject != subject:
                error: DigitalSessionError = ForbiddenError(
                    "The token is now another subject's: this was not submitted.", code="subject_changed"
                )
            elif at >= entry.at + KEPT_FOR_S:
                error = UnavailableError("This could not be submitted for a day.", code="expired", retryable=False)
            else:
                continue
            self.remove(entry.key)
            dropped.append((entry, error))
        return dropped

    def saved(self) -> list[dict[str, Any]]:
        """All of it, as JSON."""
        return [
            {
                "key": entry.key,
                "subject": entry.subject,
                "session_id": entry.session_id,
                "body": dict(entry.body),
                "at": entry.at,
            }
            for entry in self._entries.values()
        ]

    def restore(self, saved: object) -> None:
        """Take up what `saved` wrote in an earlier run, before anything else; what is not understood is left out.

        Nobody knows whether a try of it was under way when that run ended.
        """
        for each in saved if isinstance(saved, list) else []:
            try:
                key, subject, session_id = str(each["key"]), str(each["subject"]), str(each["session_id"])
                entry = Entry(key, subject, session_id, dict(each["body"]), float(each["at"]), uncertain=True, restored=True)
            except (KeyError, TypeError, ValueError):
                continue
            self._entries[entry.key] = entry
