"""The lives of requests and tasks, as tables: what may follow what. Pure.

An illegal move is an absent key. Who may make a move, and when, is decided before the table is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType
from typing import Final, TypeVar

from session_platform.contract import AssigneeRole, ServiceDeliveryOutcome, ServiceRequestPriority, TaskOutcome
from session_platform.errors import Conflict

BACK_OFF_MAX_S: Final = 60.0
INTERRUPTIONS_MAX: Final = 20
"""A task that lost so many attempts in a row, without one answer, is what kills who works on it: it ends, or it would never."""
STAFF_ROLES: Final = frozenset({AssigneeRole.CARE_TEAM, AssigneeRole.CLINICIAN})
State = TypeVar("State")


class RequestState(StrEnum):
    """The values are the wire's ``status``."""

    SUBMITTED = "SUBMITTED"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class RequestMove(StrEnum):
    """``begin``: an attempt at one of its tasks starts."""

    BEGIN = "begin"
    SUCCEED = "succeed"
    FAIL = "fail"
    CANCEL = "cancel"


class TaskState(StrEnum):
    """WAITING: an earlier task of the request is not done; nobody was told of this one yet. PENDING: assigned to a role, nobody
    works on it. CLAIMED: it is one person's. IN_PROGRESS: somebody works on it; who died still does until its lease ends."""

    WAITING = "waiting"
    PENDING = "pending"
    CLAIMED = "claimed"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class TaskMove(StrEnum):
    """``claim``: a person takes it. ``begin``: an attempt starts; of a task in progress, it is taken over once its lease has
    ended. ``release``: given back, or its lease ended. ``retry``: the attempt failed and another follows; ``fail``: none
    does."""

    ASSIGN = "assign"
    CLAIM = "claim"
    BEGIN = "begin"
    RELEASE = "release"
    SUCCEED = "succeed"
    RETRY = "retry"
    FAIL = "fail"
    CANCEL = "cancel"


REQUEST_TRANSITIONS: Final[Mapping[tuple[RequestState, RequestMove], RequestState]] = MappingProxyType(
    {
        (RequestState.SUBMITTED, RequestMove.BEGIN): RequestState.PROCESSING,
        (RequestState.SUBMITTED, RequestMove.FAIL): RequestState.FAILED,
        (RequestState.SUBMITTED, RequestMove.CANCEL): RequestState.CANCELED,
        (RequestState.PROCESSING, RequestMove.BEGIN): RequestState.PROCESSING,
        (RequestState.PROCESSING, RequestMove.SUCCEED): RequestState.COMPLETED,
        (RequestState.PROCESSING, RequestMove.FAIL): RequestState.FAILED,
        (RequestState.PROCESSING, RequestMove.CANCEL): RequestState.CANCELED,
    }
)
TASK_TRANSITIONS: Final[Mapping[tuple[TaskState, TaskMove], TaskState]] = MappingProxyType(
    {
        (TaskState.WAITING, TaskMove.ASSIGN): TaskState.PENDING,
        (TaskState.WAITING, TaskMove.CANCEL): TaskState.CANCELED,
        (TaskState.PENDING, TaskMove.CLAIM): TaskState.CLAIMED,
        (TaskState.PENDING, TaskMove.BEGIN): TaskState.IN_PROGRESS,
        (TaskState.PENDING, TaskMove.CANCEL): TaskState.CANCELED,
        (TaskState.CLAIMED, TaskMove.BEGIN): TaskState.IN_PROGRESS,
        (TaskState.CLAIMED, TaskMove.RELEASE): TaskState.PENDING,
        (TaskState.CLAIMED, TaskMove.CANCEL): TaskState.CANCELED,
        (TaskState.IN_PROGRESS, TaskMove.BEGIN): TaskState.IN_PROGRESS,
        (TaskState.IN_PROGRESS, TaskMove.RELEASE): TaskState.PENDING,
        (TaskState.IN_PROGRESS, TaskMove.SUCCEED): TaskState.COMPLETED,
        (TaskState.IN_PROGRESS, TaskMove.RETRY): TaskState.PENDING,
        (TaskState.IN_PROGRESS, TaskMove.FAIL): TaskState.FAILED,
        (TaskState.IN_PROGRESS, TaskMove.CANCEL): TaskState.CANCELED,
    }
)
REQUEST_OUTCOMES: Final[Mapping[RequestState, ServiceDeliveryOutcome]] = MappingProxyType(
    {
        RequestState.COMPLETED: ServiceDeliveryOutcome.SUCCESS,
        RequestState.FAILED: ServiceDeliveryOutcome.FAILED,
        RequestState.CANCELED: ServiceDeliveryOutcome.CANCELED,
    }
)
TASK_OUTCOMES: Final[Mapping[TaskState, TaskOutcome]] = MappingProxyType(
    {
        TaskState.COMPLETED: TaskOutcome.SUCCESS,
        TaskState.FAILED: TaskOutcome.FAILED,
        TaskState.CANCELED: TaskOutcome.CANCELED,
    }
)
"""The states that end a task, and what they are called as outcomes; `REQUEST_OUTCOMES` the same for requests."""

_NOT_BEGUN: Final = frozenset({TaskState.WAITING, TaskState.PENDING, TaskState.CLAIMED})

# The smaller, the sooner, when workers are scarce.
URGENCY: Final[Mapping[ServiceRequestPriority, int]] = MappingProxyType(
    {
        ServiceRequestPriority.URGENT: 0,
        ServiceRequestPriority.INTERACTIVE: 0,
        ServiceRequestPriority.STANDARD: 1,
        ServiceRequestPriority.BATCH: 2,
    }
)


def after_request(state: RequestState, move: RequestMove) -> RequestState:
    """Raises `Conflict` when ``state`` forbids ``move``."""
    return _after(REQUEST_TRANSITIONS.get((state, move)))


def after_task(state: TaskState, move: TaskMove) -> TaskState:
    """Raises `Conflict` when ``state`` forbids ``move``."""
    return _after(TASK_TRANSITIONS.get((state, move)))


def _after(state: State | None) -> State:
    if state is None:
        raise Conflict
    return state


def public_status(state: TaskState) -> str:
    """A task's ``status`` on the wire: what nobody works on yet is pending there, whatever it waits for."""
    return TaskState.PENDING.value if state in _NOT_BEGUN else state.value


def may_claim(
    task_role: AssigneeRole, task_speciality: str | None, roles: Collection[str], specialities: Collection[str]
) -> bool:
    """Whether a staff member with these ``roles`` and ``specialities``, in any case, may take a task meant for staff."""
    return (
        task_role in STAFF_ROLES
        and holds(task_role, roles)
        and (task_speciality is None or holds(task_speciality, specialities))
    )


def holds(wanted: str, owned: Collection[str]) -> bool:
    """Whether ``wanted`` is one of ``owned``, in whatever case."""
    return wanted.upper() in {each.upper() for each in owned}


def back_off_s(base_s: float, failures: int, jitter: float) -> float:
    """Seconds to wait after the ``failures``-th failure (0 counts as 1): doubling, at most `BACK_OFF_MAX_S`, of which half is
    left to chance so that those who failed together do not come back together. ``jitter`` is random in [0, 1)."""
    longest_s = min(base_s * 2.0 ** max(failures - 1, 0), BACK_OFF_MAX_S)
    return longest_s * (0.5 + 0.5 * jitter)


def turn(states: Sequence[TaskState], *, parallel: bool) -> list[int]:
    """Places of the waiting tasks whose turn it is: all of them, or the first once none before it is open."""
    waiting = [place for place, state in enumerate(states) if state is TaskState.WAITING]
    if parallel:
        return waiting
    return [place for place in waiting if all(state is TaskState.COMPLETED for state in states[:place])]
