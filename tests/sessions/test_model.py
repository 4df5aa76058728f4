"""What a session may be made of and which state it is in, without a store."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from session_platform.contract import AssigneeRole, SessionEndReason, SessionOutcome
from session_platform.errors import Invalid
from session_platform.sessions import LifeState, NewParticipant, NewSession
from session_platform.sessions.model import end_of, state_of, validate

T0 = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
JUST_OVER = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("silent_for", "ended", "open_requests", "state"),
    [
        (timedelta(0), False, 0, LifeState.ACTIVE),
        (timedelta(minutes=5), False, 0, LifeState.ACTIVE),
        (timedelta(minutes=5) + JUST_OVER, False, 0, LifeState.IDLE),
        (timedelta(hours=2), False, 0, LifeState.IDLE),
        (timedelta(0), False, 1, LifeState.WAITING),
        (timedelta(hours=2), False, 3, LifeState.WAITING),
        (timedelta(0), True, 0, LifeState.ENDED),
        (timedelta(hours=2), True, 3, LifeState.ENDED),
        (-timedelta(seconds=1), False, 0, LifeState.ACTIVE),
    ],
)
def test_the_state_follows_from_end_requests_and_silence(
    silent_for: timedelta, ended: bool, open_requests: int, state: LifeState
) -> None:
    assert state_of(T0 + silent_for, T0, T0 if ended else None, open_requests) is state


def new(**fields: Any) -> NewSession:
    return NewSession(**{"member_id": "M1", "initiator_id": "M1", "type": "APP", "channel": "MX_WEB", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"intent": ""},
        {"intent": "x" * 256},
        {"intent": "Überweisung für 🧒"},
        {"device_id": "d" * 128},
        {"metadata": {}},
        {"metadata": {f"k{n}": "v" for n in range(64)}},
        {"metadata": {"k": "v" * (16 * 1024 - len('{"k": ""}'))}},
        {"metadata": {"": "two\nlines"}},
        {"participants": (NewParticipant("C001", AssigneeRole.CARE_TEAM),) * 20},
        {"type": "BACKGROUND", "channel": "ATHENA"},
    ],
)
def test_what_is_within_the_bounds_is_taken(fields: dict[str, Any]) -> None:
    validate(new(**fields))


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"type": "app"}, "/type"),
        ({"type": "UNSPECIFIED"}, "/type"),
        ({"type": ["APP"]}, "/type"),
        ({"channel": "FAX"}, "/channel"),
        ({"channel": None}, "/channel"),
        ({"intent": "x" * 257}, "/intent"),
        ({"intent": 7}, "/intent"),
        ({"intent": "a\0b"}, "/intent"),
        ({"intent": "half \ud83d"}, "/intent"),
        ({"device_id": ""}, "/device_id"),
        ({"device_id": "d" * 129}, "/device_id"),
        ({"metadata": {f"k{n}": "v" for n in range(65)}}, "/metadata"),
        ({"metadata": {"k": "v" * (16 * 1024 - len('{"k": ""}') + 1)}}, "/metadata"),
        ({"metadata": {"k": "ü" * (8 * 1024)}}, "/metadata"),
        ({"metadata": {"k": 1}}, "/metadata"),
        ({"metadata": {1: "v"}}, "/metadata"),
        ({"metadata": ["k"]}, "/metadata"),
        ({"metadata": {"k\0": "v"}}, "/metadata"),
        ({"metadata": {"k": "\udfff"}}, "/metadata"),
        ({"participants": (NewParticipant("C001", AssigneeRole.CARE_TEAM),) * 21}, "/participants"),
    ],
)
def test_what_is_not_is_refused_by_pointer_without_repeating_it(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate(new(**fields))
    assert [problem.pointer for problem in refused.value.problems] == [pointer]
    for value in fields.values():
        assert len(str(value)) < 3 or str(value) not in str(refused.value.problems)


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        validate(new(type="x", channel="y", intent="z" * 300, device_id="", metadata={"k": 1}))
    assert [problem.pointer for problem in refused.value.problems] == [
        "/type",
        "/channel",
        "/intent",
        "/device_id",
        "/metadata",
    ]


def test_an_end_is_one_that_the_contract_knows() -> None:
    assert end_of("USER_CLOSED", "SUCCESS") == (SessionEndReason.USER_CLOSED, SessionOutcome.SUCCESS)
    with pytest.raises(Invalid) as refused:
        end_of("BORED", "MAYBE")
    assert [problem.pointer for problem in refused.value.problems] == ["/reason", "/outcome"]
