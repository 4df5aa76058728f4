"""What a session may be made of and which state it is in. Pure: time comes as an argument.

Laws: an ended session never changes again. An open one is WAITING while a request of it is open, else IDLE when the last
activity is longer ago than `IDLE_AFTER`, else ACTIVE; COMPLETING where a backend says so. It expires `SESSION_TTL` after the
last activity; only the sweeper's transaction makes that so, and until then it is open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from session_platform.contract import AssigneeRole, SessionChannel, SessionEndReason, SessionOutcome, SessionType
from session_platform.errors import FieldProblem, Invalid
from session_platform.store.port import Reader

SESSION_TTL: Final = timedelta(minutes=30)
IDLE_AFTER: Final = timedelta(minutes=5)
ACTIVE_EVERY: Final = timedelta(seconds=30)
FLUSH_EVERY: Final = timedelta(seconds=5)
"""Heartbeats are written this often; the sweeper waits as long again for those that another process still holds."""

INTENT_MAX_CHARS: Final = 256
DEVICE_ID_MAX_CHARS: Final = 128
METADATA_MAX_KEYS: Final = 64
METADATA_MAX_BYTES: Final = 16 * 1024
PARTICIPANTS_MAX: Final = 20


class LifeState(StrEnum):
    """What a session is doing."""

    ACTIVE = "ACTIVE"
    IDLE = "IDLE"
    WAITING = "WAITING"
    COMPLETING = "COMPLETING"
    ENDED = "ENDED"


class ActiveWork(NamedTuple):
    """Ids of a session's service requests and tasks."""

    service_requests: tuple[str, ...]
    tasks: tuple[str, ...]


WorkOf = Callable[[Reader, str], ActiveWork]
"""From a session's id to its work: the open, or the ended."""


class NewParticipant(NamedTuple):
    """A staff member who takes part from the beginning; the member always does."""

    staff_id: str
    role: AssigneeRole


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """The command that opens a session. ``initiator_id`` is the caller's id, ``account_id`` whom requests are about unless they
    say otherwise. What the caller wrote is checked by `validate`, so it may hold anything."""

    member_id: str
    initiator_id: str
    type: str
    channel: str
    account_id: str | None = None
    intent: str | None = None
    metadata: Mapping[str, str] | None = None
    device_id: str | None = None
    previous_session_id: str | None = None
    participants: tuple[NewParticipant, ...] = ()


def state_of(
    now: datetime, last_activity_at: datetime, ended_at: datetime | None, open_requests: int, *, completing: bool = False
) -> LifeState:
    """The state at ``now``; ``completing``: the backend that introduced the session says so."""
    if ended_at is not None:
        return LifeState.ENDED
    if completing:
        return LifeState.COMPLETING
    if open_requests:
        return LifeState.WAITING
    return LifeState.IDLE if now - last_activity_at > IDLE_AFTER else LifeState.ACTIVE


def validate(new: NewSession) -> None:
    """Raise `Invalid`, one problem a field, unless a session can be made of this."""
    problems = [*_of_choice("/type", new.type, SessionType), *_of_choice("/channel", new.channel, SessionChannel)]
    problems += _of_text("/intent", new.intent, INTENT_MAX_CHARS)
    problems += _of_text("/device_id", new.device_id, DEVICE_ID_MAX_CHARS)
    if new.device_id == "":
        problems.append(FieldProblem("/device_id", "must not be empty"))
    problems += _of_metadata(new.metadata)
    if len(new.participants) > PARTICIPANTS_MAX:
        problems.append(FieldProblem("/participants", f"must have at most {PARTICIPANTS_MAX} entries"))
    if problems:
        raise Invalid(*problems)


def end_of(reason: str, outcome: str) -> tuple[SessionEndReason, SessionOutcome]:
    """How a session is to end. Raises `Invalid`."""
    problems = [*_of_choice("/reason", reason, SessionEndReason), *_of_choice("/outcome", outcome, SessionOutcome)]
    if problems:
        raise Invalid(*problems)
    return SessionEndReason(reason), SessionOutcome(outcome)


def _of_choice(pointer: str, value: object, choices: type[StrEnum]) -> Iterator[FieldProblem]:
    if not isinstance(value, str) or value not in set(choices):
        yield FieldProblem(pointer, "must be one of " + ", ".join(choices))


def _of_text(pointer: str, value: object, max_chars: int) -> Iterator[FieldProblem]:
    if value is None:
        return
    if not isinstance(value, str):
        yield FieldProblem(pointer, "must be text")
    elif len(value) > max_chars:
        yield FieldProblem(pointer, f"must have at most {max_chars} characters")
    elif not _storable(value):
        yield FieldProblem(pointer, "has characters that no text may have")


def _of_metadata(metadata: object) -> Iterator[FieldProblem]:
    if metadata is None:
        return
    if not isinstance(metadata, Mapping) or not all(isinstance(part, str) for item in metadata.items() for part in item):
        yield FieldProblem("/metadata", "must be an object of texts")
    elif not all(_storable(part) for item in metadata.items() for part in item):
        yield FieldProblem("/metadata", "has characters that no text may have")
    elif len(metadata) > METADATA_MAX_KEYS:
        yield FieldProblem("/metadata", f"must have at most {METADATA_MAX_KEYS} keys")
    elif len(json.dumps(dict(metadata), ensure_ascii=False).encode()) > METADATA_MAX_BYTES:
        yield FieldProblem("/metadata", f"must have at most {METADATA_MAX_BYTES} bytes")


def _storable(text: str) -> bool:
    """Neither NUL nor half a surrogate pair: not every database and no UTF-8 can hold them."""
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
