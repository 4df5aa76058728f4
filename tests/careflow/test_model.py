"""The transition tables, walked State × Event."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.careflow.model import (
    BACK_OFF_MAX_S,
    REQUEST_OUTCOMES,
    REQUEST_TRANSITIONS,
    TASK_OUTCOMES,
    TASK_TRANSITIONS,
    RequestMove,
    RequestState,
    TaskMove,
    TaskState,
    after_request,
    after_task,
    back_off_s,
    may_claim,
    public_status,
    turn,
)
from session_platform.contract import AssigneeRole
from session_platform.errors import Conflict

TASK_TABLE = """
            assign   claim    begin        release  succeed    retry    fail    cancel
waiting     pending  -        -            -        -          -        -       canceled
pending     -        claimed  in_progress  -        -          -        -       canceled
claimed     -        -        in_progress  pending  -          -        -       canceled
in_progress -        -        in_progress  pending  completed  pending  failed  canceled
completed   -        -        -            -        -          -        -       -
failed      -        -        -            -        -          -        -       -
canceled    -        -        -            -        -          -        -       -
"""
REQUEST_TABLE = """
            begin       succeed    fail    cancel
SUBMITTED   PROCESSING  -          FAILED  CANCELED
PROCESSING  PROCESSING  COMPLETED  FAILED  CANCELED
COMPLETED   -           -          -       -
FAILED      -           -          -       -
CANCELED    -           -          -       -
"""


def cells(table: str) -> list[tuple[str, str, str]]:
    head, *lines = table.strip().splitlines()
    return [(line.split()[0], move, cell) for line in lines for move, cell in zip(head.split(), line.split()[1:], strict=True)]


@pytest.mark.parametrize(("state", "move", "after"), cells(TASK_TABLE))
def test_every_move_of_a_task(state: str, move: str, after: str) -> None:
    if after == "-":
        with pytest.raises(Conflict):
            after_task(TaskState(state), TaskMove(move))
    else:
        assert after_task(TaskState(state), TaskMove(move)) == after


@pytest.mark.parametrize(("state", "move", "after"), cells(REQUEST_TABLE))
def test_every_move_of_a_request(state: str, move: str, after: str) -> None:
    if after == "-":
        with pytest.raises(Conflict):
            after_request(RequestState(state), RequestMove(move))
    else:
        assert after_request(RequestState(state), RequestMove(move)) == after


def test_the_tables_here_name_every_state_and_move() -> None:
    assert len(cells(TASK_TABLE)) == len(TaskState) * len(TaskMove)
    assert len(cells(REQUEST_TABLE)) == len(RequestState) * len(RequestMove)


def test_exactly_the_states_without_a_way_out_have_an_outcome() -> None:
    assert set(TASK_OUTCOMES) == set(TaskState) - {state for state, _ in TASK_TRANSITIONS}
    assert set(REQUEST_OUTCOMES) == set(RequestState) - {state for state, _ in REQUEST_TRANSITIONS}


def test_a_task_that_nobody_works_on_is_pending_for_everybody_else() -> None:
    assert {public_status(state) for state in TaskState} == {"pending", "in_progress", "completed", "failed", "canceled"}
    assert public_status(TaskState.WAITING) == public_status(TaskState.CLAIMED) == "pending"


@pytest.mark.parametrize(
    ("role", "speciality", "roles", "specialities", "may"),
    [
        ("CARE_TEAM", None, ["care_team"], [], True),
        ("CARE_TEAM", None, ["clinician"], [], False),
        ("CLINICIAN", None, ["care_team", "clinician"], [], True),
        ("CLINICIAN", "PSYCHIATRY", ["clinician"], ["psychiatry"], True),
        ("CLINICIAN", "PSYCHIATRY", ["clinician"], ["CARDIOLOGY"], False),
        ("CLINICIAN", "PSYCHIATRY", ["care_team"], ["PSYCHIATRY"], False),
        ("MEMBER", None, ["member", "care_team", "clinician"], [], False),
        ("SYSTEM", None, ["system", "care_team", "clinician"], [], False),
    ],
)
def test_who_may_claim_has_the_role_and_the_speciality_in_any_case(
    role: str, speciality: str | None, roles: list[str], specialities: list[str], may: bool
) -> None:
    assert may_claim(AssigneeRole(role), speciality, roles=roles, specialities=specialities) == may


@given(st.floats(0.1, 30), st.integers(1, 20), st.floats(0, 1, exclude_max=True))
def test_pauses_double_up_to_a_limit_and_half_of_each_is_left_to_chance(base_s: float, failures: int, jitter: float) -> None:
    longest_s = min(base_s * 2 ** (failures - 1), BACK_OFF_MAX_S)
    assert longest_s / 2 <= back_off_s(base_s, failures, jitter) <= longest_s
    assert back_off_s(base_s, failures, 0.0) == longest_s / 2


@given(st.lists(st.sampled_from(TaskState), max_size=6))
def test_in_parallel_it_is_everybodys_turn_and_in_sequence_only_the_next_ones_once_all_before_it_are_done(
    states: list[TaskState],
) -> None:
    waiting = [place for place, state in enumerate(states) if state is TaskState.WAITING]
    assert turn(states, parallel=True) == waiting
    chosen = turn(states, parallel=False)
    assert len(chosen) <= 1
    assert all(set(states[:place]) <= {TaskState.COMPLETED} for place in chosen)
    if waiting and set(states[: waiting[0]]) <= {TaskState.COMPLETED}:
        assert chosen == waiting[:1]
