"""What a member's events add up to. Pure: a state and the next event give the next state; the moment of reading is an argument.

Every step may be taken again: whoever folds events anew over what they added up to before ends with the same state, since the
last word about a thing decides. That is what makes a replay harmless, also when the first events are no longer kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from session_platform.contract import (
    CarePlanStatus,
    CarePlanUpdatedEvent,
    ServiceRequestCompletedEvent,
    ServiceRequestSubmittedEvent,
    SessionChannel,
    SessionCreatedEvent,
    SessionEndedEvent,
    SessionEndReason,
    SessionType,
    TaskAssignedEvent,
    TaskCompletedEvent,
    TaskInProgressEvent,
    decode_data,
)
from session_platform.store.port import StoredEvent

RECENTLY: Final = timedelta(days=30)
VISITS_MAX: Final = 500
OPEN_MAX: Final = 1000
"""Above these the oldest go: what is kept of a member stays small, whatever is published about them."""

T = TypeVar("T")


class CarePlan(Struct, frozen=True, kw_only=True):
    """A care plan as its last ``care_plan.updated`` told it, at ``updated_at``; goals and tasks are ids."""

    care_plan_id: str
    status: CarePlanStatus | None
    updated_goals: tuple[str, ...]
    new_tasks: tuple[str, ...]
    updated_at: datetime


class Visit(Struct, frozen=True, kw_only=True):
    """A session that began."""

    session_id: str
    type: SessionType | None
    channel: SessionChannel | None
    created_at: datetime


class Engagement(Struct, frozen=True, kw_only=True):
    """How a member and the platform deal with each other.

    Activity is a session that begins, and what the member does in one: submitting a request, starting and completing a task,
    closing the session. Presence is none. ``last_session`` is the one that began last. Open are requests that have not ended,
    and tasks that were assigned and have not; a task is overdue behind its ``due_at``.
    """

    last_activity_at: datetime | None
    last_activity_by_channel: dict[SessionChannel, datetime]
    sessions_last_30_days: int
    last_session: Visit | None
    open_service_requests: int
    open_tasks: int
    overdue_tasks: int


class Twin(Struct, frozen=True, kw_only=True):
    """The sum of a member's events up to number ``seq``. ``visits`` are by session id in the order in which they began;
    ``tasks`` (their due date) and ``requests`` (when they were submitted) are the open ones by id, the newest last."""

    seq: int = 0
    care_plan: CarePlan | None = None
    visits: dict[str, Visit] = {}
    activity: dict[SessionChannel, datetime] = {}
    last_activity_at: datetime | None = None
    tasks: dict[str, datetime | None] = {}
    requests: dict[str, datetime] = {}


EMPTY: Final = Twin()


class Unreadable(Exception):
    """An event is not what the contract says of its type. Says nothing of what it holds."""


class _Envelope(Struct, frozen=True):
    time: datetime
    data: Raw


_envelopes: Final = msgspec.json.Decoder(_Envelope)


def fold(twin: Twin, event: StoredEvent) -> Twin:
    """The sum with one more event. Raises `Unreadable`."""
    step = _STEPS.get(event.name)
    if step is None:
        return replace(twin, seq=event.seq)
    try:
        envelope = _envelopes.decode(event.body)
        data = decode_data(event.name, bytes(envelope.data))
    except msgspec.MsgspecError:
        raise Unreadable(event.name) from None
    return replace(step(twin, data, envelope.time), seq=event.seq)


def hear(twin: Twin, again: Twin | None, event: StoredEvent) -> tuple[Twin, Twin | None]:
    """(the sum, that of a replay which has not come as far yet) with one more event. Who reads the first never sees the second
    before it has caught up. Raises `Unreadable`."""
    if event.seq > twin.seq:
        return fold(twin if again is None else again, event), None
    repeated = fold(twin if again is None or event.seq <= again.seq else again, event)
    return (repeated, None) if repeated.seq == twin.seq else (twin, repeated)


def tidy(twin: Twin, now: datetime) -> Twin:
    """Without what nobody will ask for behind ``now``."""
    last = next(reversed(twin.visits), None)
    kept = {each: visit for each, visit in twin.visits.items() if each == last or visit.created_at > now - RECENTLY}
    return twin if len(kept) == len(twin.visits) else replace(twin, visits=kept)


def engagement(twin: Twin, now: datetime) -> Engagement:
    """As it is at ``now``."""
    return Engagement(
        last_activity_at=twin.last_activity_at,
        last_activity_by_channel=twin.activity,
        sessions_last_30_days=sum(visit.created_at > now - RECENTLY for visit in twin.visits.values()),
        last_session=next(reversed(twin.visits.values()), None),
        open_service_requests=len(twin.requests),
        open_tasks=len(twin.tasks),
        overdue_tasks=sum(due_at is not None and due_at < now for due_at in twin.tasks.values()),
    )


# ------------------------------------------------------------------------------------------------------------------- the steps


def _created(twin: Twin, event: SessionCreatedEvent, time: datetime) -> Twin:
    at = _or(event.created_at, time)
    visit = Visit(
        session_id=event.session_id,
        type=_or(event.session_type, None),
        channel=_or(event.channel, None),
        created_at=at,
    )
    visits = _newest(_last(twin.visits, event.session_id, visit), VISITS_MAX)
    return _active(replace(twin, visits=visits), event.session_id, at)


def _ended(twin: Twin, event: SessionEndedEvent, time: datetime) -> Twin:
    if event.reason is not SessionEndReason.USER_CLOSED:
        return twin
    return _active(twin, event.session_id, _or(event.ended_at, time))


def _submitted(twin: Twin, event: ServiceRequestSubmittedEvent, time: datetime) -> Twin:
    at = _or(event.submitted_at, time)
    opened = replace(twin, requests=_newest(_last(twin.requests, event.service_request_id, at), OPEN_MAX))
    return _active(opened, event.session_id, at) if event.initiator_id == event.member_id else opened


def _completed(twin: Twin, event: ServiceRequestCompletedEvent, _: datetime) -> Twin:
    return replace(twin, requests=_without(twin.requests, event.service_request_id))


def _task_assigned(twin: Twin, event: TaskAssignedEvent, _: datetime) -> Twin:
    due_at: datetime | None = _or(event.due_at, None)
    return replace(twin, tasks=_newest(_last(twin.tasks, event.task_id, due_at), OPEN_MAX))


def _task_begun(twin: Twin, event: TaskInProgressEvent, time: datetime) -> Twin:
    if event.started_by != event.member_id:
        return twin
    return _active(twin, event.session_id, _or(event.started_at, time))


def _task_completed(twin: Twin, event: TaskCompletedEvent, time: datetime) -> Twin:
    closed = replace(twin, tasks=_without(twin.tasks, event.task_id))
    if event.completed_by != event.member_id:
        return closed
    return _active(closed, event.session_id, _or(event.completed_at, time))


def _care_plan(twin: Twin, event: CarePlanUpdatedEvent, time: datetime) -> Twin:
    return replace(
        twin,
        care_plan=CarePlan(
            care_plan_id=event.care_plan_id,
            status=_or(event.status, None),
            updated_goals=event.updated_goals,
            new_tasks=event.new_tasks,
            updated_at=time,
        ),
    )


_STEPS: Final[Mapping[str, Callable[[Twin, Any, datetime], Twin]]] = MappingProxyType(
    {
        "session.created": _created,
        "session.ended": _ended,
        "service_request.submitted": _submitted,
        "service_request.completed": _completed,
        "task.assigned": _task_assigned,
        "task.in_progress": _task_begun,
        "task.completed": _task_completed,
        "care_plan.updated": _care_plan,
    }
)
"""By short name. What else happens to a member adds nothing here: coverage is kept by who asks for it."""


def _active(twin: Twin, session_id: str | UnsetType, at: datetime) -> Twin:
    """The member was active in this session at ``at``; the channel is the session's, as long as it is remembered."""
    visit = None if session_id is UNSET else twin.visits.get(session_id)
    channel = None if visit is None else visit.channel
    activity = twin.activity
    if channel is not None:
        activity = {**activity, channel: max(at, activity.get(channel, at))}
    return replace(twin, activity=activity, last_activity_at=max(at, twin.last_activity_at or at))


def _last(things: Mapping[str, T], thing_id: str, value: T) -> dict[str, T]:
    return {**_without(things, thing_id), thing_id: value}


def _without(things: Mapping[str, T], thing_id: str) -> dict[str, T]:
    return {each: value for each, value in things.items() if each != thing_id}


def _newest(things: dict[str, T], most: int) -> dict[str, T]:
    return things if len(things) <= most else dict(list(things.items())[-most:])


def _or(value: T | UnsetType, otherwise: T) -> T:
    return otherwise if value is UNSET else value
