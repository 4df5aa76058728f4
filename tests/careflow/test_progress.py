"""What is said about how far a request is: honest, and never taken back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.careflow.progress import (
    PERCENT_MAX_BEFORE_END,
    SAMPLES_MIN,
    Phase,
    Work,
    percent,
    remaining_s,
    stage,
    usual_s,
    worth_telling,
)

seconds = st.floats(0.1, 10_000)
works = st.lists(
    st.builds(
        Work,
        phase=st.sampled_from(Phase),
        usual_s=seconds,
        elapsed_s=st.floats(0, 100_000),
        pause_s=st.floats(0, 100),
        limit_s=st.none() | seconds,
    ),
    min_size=1,
    max_size=6,
)


@given(works)
def test_a_percentage_stays_below_100_and_an_estimate_is_never_negative(work: list[Work]) -> None:
    assert 0 <= percent(work) <= PERCENT_MAX_BEFORE_END
    one_after_the_other, together = remaining_s(work, parallel=False), remaining_s(work, parallel=True)
    assert 0 <= together <= one_after_the_other


@given(works, st.floats(0, 1000))
def test_a_percentage_only_rises_while_time_passes_and_tasks_end(work: list[Work], passed_s: float) -> None:
    later = [each._replace(elapsed_s=each.elapsed_s + passed_s) for each in work]
    assert percent(later) >= percent(work)
    ended = [later[0]._replace(phase=Phase.ENDED), *later[1:]]
    assert percent(ended) >= percent(later)


@pytest.mark.parametrize(
    ("elapsed_s", "percents", "left_s"),
    [(0, 0, 4), (2, 45, 2), (4, 90, 1), (8, 94, 2), (25, 97, 5), (40, 98, 0)],
)
def test_what_takes_longer_than_usual_is_said_to_go_on_within_its_limit(elapsed_s: float, percents: int, left_s: int) -> None:
    work = [Work(Phase.RUNNING, 4, elapsed_s=elapsed_s, limit_s=30)]
    assert percent(work) == percents
    assert remaining_s(work, parallel=False) == left_s


def test_the_declaration_is_believed_until_enough_was_measured() -> None:
    assert usual_s(4, []) == 4
    assert usual_s(4, [100] * (SAMPLES_MIN - 1)) == 4
    assert usual_s(4, [1, 2, 3, 50, 60]) == 3


@pytest.mark.parametrize("took_s", [0.0, -5.0])
def test_work_that_took_no_time_or_less_is_still_work(took_s: float) -> None:
    usual = usual_s(4, [took_s] * SAMPLES_MIN)
    assert percent([Work(Phase.ENDED, usual), Work(Phase.AHEAD, usual)]) == 50


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ([Work(Phase.AHEAD, 4), Work(Phase.AHEAD, 4)], "QUEUED"),
        ([Work(Phase.AHEAD, 4, pause_s=1)], "SCHEDULED"),
        ([Work(Phase.ENDED, 4), Work(Phase.AHEAD, 4, pause_s=1)], "SCHEDULED"),
        ([Work(Phase.RUNNING, 4), Work(Phase.AHEAD, 4, pause_s=1)], "EXECUTING"),
        ([Work(Phase.ENDED, 4), Work(Phase.AHEAD, 4)], "EXECUTING"),
        ([Work(Phase.RUNNING, 4)], "EXECUTING"),
    ],
)
def test_the_stage_follows_from_the_tasks(work: list[Work], expected: str) -> None:
    assert stage(work) == expected


@given(st.integers(1, 50))
def test_news_are_at_least_five_points_and_at_most_eight_reports_a_task(tasks: int) -> None:
    told = [0]
    for now in range(100):
        if worth_telling(told[-1], now, tasks):
            told.append(now)
    assert all(later - earlier >= 5 for earlier, later in pairwise(told))
    assert len(told) - 1 <= 8 * tasks
