"""How far a request is and how long it may still take: an honest guess from how long such work usually took. Pure.

Nothing here is certain, so a percentage reaches 100 only with the end itself, and what was said once is never taken back:
callers keep the highest percentage they told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from enum import StrEnum
from statistics import median
from typing import Final, NamedTuple

from session_platform.contract import ProcessingStage

PERCENT_MAX_BEFORE_END: Final = 99
SAMPLES_MIN: Final = 5
"""With fewer measured durations the declared one is believed."""
SAMPLES_MAX: Final = 50
_USUAL_MIN_S: Final = 0.1
"""Shares are made of it: work that took no time, or less while a clock was set back, still counts as work."""
_STEP_MIN: Final = 5
_REPORTS_MAX: Final = 8


class Phase(StrEnum):
    """AHEAD also: it begins again after a failed attempt."""

    AHEAD = "ahead"
    RUNNING = "running"
    ENDED = "ended"


class Work(NamedTuple):
    """One task: ``elapsed_s`` since this attempt began (RUNNING), ``pause_s`` until the next may begin (AHEAD). ``limit_s`` is
    the longest that an attempt may take, None for people."""

    phase: Phase
    usual_s: float
    elapsed_s: float = 0.0
    pause_s: float = 0.0
    limit_s: float | None = None


def usual_s(declared_s: float, measured_s: Sequence[float]) -> float:
    """Seconds that work of a kind usually takes: the median of what was measured, the declaration until that is enough."""
    return max(median(measured_s), _USUAL_MIN_S) if len(measured_s) >= SAMPLES_MIN else declared_s


def percent(works: Sequence[Work]) -> int:
    """0 to 99: the done part of the expected work."""
    total_s = sum(work.usual_s for work in works)
    done_s = sum(work.usual_s * _done(work) for work in works)
    return min(int(100 * done_s / total_s), PERCENT_MAX_BEFORE_END)


def _done(work: Work) -> float:
    """The share of one task. A running one gets to 0.9 in its usual time and then ever more slowly towards 0.99."""
    match work.phase:
        case Phase.AHEAD:
            return 0.0
        case Phase.RUNNING:
            pace = work.elapsed_s / work.usual_s
            return 0.9 * max(pace, 0.0) if pace <= 1 else 0.99 - 0.09 / pace
        case Phase.ENDED:
            return 1.0


def remaining_s(works: Iterable[Work], *, parallel: bool) -> int:
    """Whole seconds until all is done, rounded up, never negative."""
    each = [_remaining_s(work) for work in works]
    return math.ceil(max(each, default=0.0) if parallel else sum(each))


def _remaining_s(work: Work) -> float:
    """What took longer than usual has a way of going on: a quarter of its time so far, within what an attempt may take."""
    match work.phase:
        case Phase.AHEAD:
            return max(work.pause_s, 0.0) + work.usual_s
        case Phase.RUNNING:
            guess_s = max(work.usual_s - work.elapsed_s, work.elapsed_s / 4)
            limit_s = math.inf if work.limit_s is None else work.limit_s
            return max(min(guess_s, limit_s - work.elapsed_s), 0.0)
        case Phase.ENDED:
            return 0.0


def stage(works: Iterable[Work]) -> ProcessingStage:
    """QUEUED: nothing has begun. SCHEDULED: the next attempt waits for its time."""
    works = list(works)
    phases = {work.phase for work in works}
    if Phase.RUNNING in phases:
        return ProcessingStage.EXECUTING
    if any(work.pause_s > 0 for work in works):
        return ProcessingStage.SCHEDULED
    return ProcessingStage.EXECUTING if Phase.ENDED in phases else ProcessingStage.QUEUED


def worth_telling(told: int, now: int, tasks: int) -> bool:
    """Whether a rise from ``told`` to ``now`` percent is news: at least 5 points, and few enough reports a task."""
    return now - told >= max(_STEP_MIN, math.ceil(100 / (_REPORTS_MAX * tasks)))
