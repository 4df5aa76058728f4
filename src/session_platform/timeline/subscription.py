"""What a subscription asks of its timeline: a filter over events, by session, request and name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from session_platform.errors import BadRequest

PATTERNS_MAX: Final = 100
PATTERN_MAX_CHARACTERS: Final = 200
SERVICE_REQUESTS_MAX: Final = 100

_ANY: Final = "*"
_PATTERN: Final = re.compile(r"(?:[^\s.*]+\.)*(?:[^\s.*]+|(?<=\.)\*)")
"""Segments between dots; the last one may be a star when something stands before it."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events of a timeline a subscription gets. Build one with `session`, `member` or `service_requests`.

    ``events`` are patterns: a short name such as ``task.assigned`` (one that nobody knows yet is fine), a prefix such as
    ``task.*``, or ``*``; none means all. Raises `BadRequest` for other patterns and for more than 100 of them.
    """

    session_id: str | None
    service_request_ids: frozenset[str] | None
    every_name: bool
    names: frozenset[str]
    prefixes: tuple[str, ...]

    @classmethod
    def session(cls, session_id: str, events: Sequence[str] = ()) -> Self:
        """What belongs to one session."""
        return cls(session_id, None, *_compiled(events))

    @classmethod
    def member(cls, events: Sequence[str] = ()) -> Self:
        """Everything of the timeline."""
        return cls(None, None, *_compiled(events))

    @classmethod
    def service_requests(cls, ids: Iterable[str], events: Sequence[str] = ()) -> Self:
        """What belongs to any of these service requests, 1 to 100 of them."""
        wanted = frozenset(ids)
        if not 1 <= len(wanted) <= SERVICE_REQUESTS_MAX:
            raise BadRequest("service_request_ids holds 1 to 100 ids.")
        return cls(None, wanted, *_compiled(events))

    def matches(self, name: str, session_id: str | None, service_request_id: str | None) -> bool:
        """Whether an event with these routing headers is one that was asked for."""
        if self.session_id is not None and session_id != self.session_id:
            return False
        if self.service_request_ids is not None and service_request_id not in self.service_request_ids:
            return False
        return self.every_name or name in self.names or name.startswith(self.prefixes)


def _compiled(events: Sequence[str]) -> tuple[bool, frozenset[str], tuple[str, ...]]:
    if len(events) > PATTERNS_MAX:
        raise BadRequest("events holds at most 100 patterns.")
    if not all(_is_pattern(pattern) for pattern in events):
        raise BadRequest("events holds short event names, prefixes such as task.*, or *.")
    every_name = not events or _ANY in events
    prefixes = {pattern[:-1] for pattern in events if pattern.endswith(".*")}
    names = {pattern for pattern in events if not pattern.endswith(_ANY)}
    return every_name, frozenset(names), tuple(sorted(prefixes))


def _is_pattern(pattern: str) -> bool:
    if len(pattern) > PATTERN_MAX_CHARACTERS or not pattern.isprintable():
        return False
    return pattern == _ANY or _PATTERN.fullmatch(pattern) is not None
