"""What a published event must say, as far as the event alone can tell. Pure.

What depends on what is known already (who the member is, which transition the state allows) is decided in the transaction.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from session_platform.contract import (
    AssigneeRole,
    CoverageUpdatedEvent,
    DurableEvent,
    EphemeralEvent,
    RTECompletedEvent,
    ServiceDeliveryOutcome,
    ServiceError,
    ServiceRequestCompletedEvent,
    ServiceRequestProcessingEvent,
    ServiceRequestSubmittedEvent,
    SessionCreatedEvent,
    TaskAssignedEvent,
    TaskInProgressEvent,
    spec_of,
    strict_json,
)
from session_platform.errors import FieldProblem
from session_platform.ingest import attributes, shape
from session_platform.ingest.attributes import Attributes
from session_platform.ingest.binding import Place, RawEvent
from session_platform.store.port import Marks

TEXT_MAX_CHARS: Final = 1000
LIST_MAX: Final = 500
IDS: Final = frozenset({"session_id", "previous_session_id", "service_request_id", "task_id", "care_plan_id"})
"""Fields with ids that a backend may give: they stand in addresses."""
ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}")
NO_ID: Final = frozenset({"active"})
"""``/v1/sessions/active`` is a call."""
STATUSES: Final = frozenset({"pending", "in_progress", "completed", "failed", "canceled"})

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_AMOUNT: Final = re.compile(r"\d{1,15}(?:\.\d{1,6})?", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_AN_ID: Final = "must be an id: 1 to 128 of A-Z a-z 0-9 . _ ~ - that begin with a letter or digit"


class _Form(NamedTuple):
    accepts: Callable[[Any], bool]
    detail: str


def _is_date(value: str) -> bool:
    try:
        return _DATE.fullmatch(value) is not None and date.fromisoformat(value) is not None
    except ValueError:
        return False


_NOT_NEGATIVE: Final = _Form(lambda value: value >= 0, "must not be negative")
_CALENDAR_DATE: Final = _Form(_is_date, "must be a calendar date, YYYY-MM-DD")
_FORMS: Final[Mapping[str, _Form]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("estimated_completion_seconds", "duration_seconds", "processing_duration_ms", "response_time_ms"), _NOT_NEGATIVE
        ),
        **dict.fromkeys(("effective_date", "termination_date"), _CALENDAR_DATE),
        "amount": _Form(lambda value: bool(_AMOUNT.fullmatch(value)), "must be decimal digits, such as 25.00"),
        "currency": _Form(lambda value: bool(_CURRENCY.fullmatch(value)), "must be a currency of ISO 4217, such as USD"),
        "coinsurance_percent": _Form(lambda value: 0 <= value <= 100, "must be 0 to 100"),
    }
)
"""What the contract says of a field in words, by its name wherever it stands."""
_REQUIRED: Final[Mapping[type[Struct], tuple[str, ...]]] = MappingProxyType(
    {
        SessionCreatedEvent: ("session_type", "channel"),
        ServiceRequestSubmittedEvent: ("healthcare_service",),
        ServiceRequestCompletedEvent: ("outcome",),
        CoverageUpdatedEvent: ("coverage",),
    }
)
"""Optional in the contract, and without them nothing can be made of the event."""

Problems = Iterator[tuple[str, str]]
"""(pointer into the data, what is wrong there)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """An event that can be taken, as far as it alone can tell. ``digest`` is of its type and data."""

    place: Place
    source: str
    event_id: str
    marks: Marks
    event: DurableEvent | EphemeralEvent
    digest: bytes


def understand(raw: RawEvent) -> Publication | list[FieldProblem]:
    """The event, or everything that is wrong with it."""
    read = attributes.read(raw)
    if not isinstance(read, Attributes):
        return read
    if raw.data is UNSET:
        return [FieldProblem(raw.place.data(), "is required")]
    found = list(shape.problems(read.spec.struct, raw.data, raw.place.data()))
    if found:
        return found
    try:
        event: DurableEvent | EphemeralEvent = msgspec.convert(raw.data, read.spec.struct)
    except msgspec.ValidationError:
        return [FieldProblem(raw.place.data(), "has a time outside the years that UTC has")]
    problems = [FieldProblem(raw.place.data(pointer), detail) for pointer, detail in _of_event(event)]
    if read.partitionkey not in {None, event.member_id}:
        problems.append(FieldProblem(raw.place.attribute("partitionkey"), "must be the member's id, or left out"))
    if problems:
        return problems
    said = strict_json.canonical([read.spec.type, raw.data])
    return Publication(
        place=raw.place,
        source=read.source,
        event_id=read.event_id,
        marks=read.marks,
        event=event,
        digest=hashlib.sha256(said).digest(),
    )


def _of_event(event: DurableEvent | EphemeralEvent) -> Problems:
    for ref in spec_of(type(event)).refs.values():
        if getattr(event, ref) is not UNSET:
            yield f"/{ref}", "is given by the platform: leave it out"
    for name in _REQUIRED.get(type(event), ()):
        if getattr(event, name) is UNSET:
            yield f"/{name}", "is required"
    yield from _of_fields("", event)
    own = _OWN.get(type(event))
    if own is not None:
        yield from own(event)


def _of_fields(pointer: str, struct: Struct) -> Problems:
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if value is not UNSET:
            yield from _of_value(f"{pointer}/{name}", name, value)


def _of_value(pointer: str, name: str, value: Any) -> Problems:
    if name in IDS:
        if not ID.fullmatch(value) or value in NO_ID:
            yield pointer, _AN_ID
    elif name in _FORMS:
        if not _FORMS[name].accepts(value):
            yield pointer, _FORMS[name].detail
    elif isinstance(value, str):
        yield from _of_text(pointer, value)
    elif isinstance(value, tuple):
        yield from _of_list(pointer, value)
    elif isinstance(value, Struct):
        yield from _of_fields(pointer, value)


def _of_text(pointer: str, value: str) -> Problems:
    if len(value) > TEXT_MAX_CHARS:
        yield pointer, f"must have at most {TEXT_MAX_CHARS} characters"
    elif _CONTROL.search(value):
        yield pointer, "has characters that no text may have"


def _of_list(pointer: str, value: tuple[Any, ...]) -> Problems:
    if len(value) > LIST_MAX:
        yield pointer, f"must have at most {LIST_MAX} entries"
        return
    for index, each in enumerate(value):
        if isinstance(each, Struct):
            yield from _of_fields(f"{pointer}/{index}", each)
        elif not ID.fullmatch(each):
            yield f"{pointer}/{index}", _AN_ID


# ------------------------------------------------------------------------------------------------------------- of single types


def _of_processing(event: ServiceRequestProcessingEvent) -> Problems:
    if not 0 <= event.percent_complete <= 100:
        yield "/percent_complete", "must be 0 to 100"
    for index, task in enumerate(event.task_statuses):
        if task.status not in STATUSES:
            yield f"/task_statuses/{index}/status", "must be one of " + ", ".join(sorted(STATUSES))


def _of_completed(event: ServiceRequestCompletedEvent) -> Problems:
    yield from _of_error(event.outcome, event.error)
    if event.result_data is not UNSET and event.outcome is not ServiceDeliveryOutcome.SUCCESS:
        yield "/result_data", "is for SUCCESS only"


def _of_check(event: RTECompletedEvent) -> Problems:
    yield from _of_error(event.outcome, event.error)
    if event.coverage is UNSET:
        return
    if event.outcome is not ServiceDeliveryOutcome.SUCCESS:
        yield "/coverage", "is for SUCCESS only"
    if event.account_id is UNSET:
        yield "/account_id", "is required with a coverage"
    elif event.coverage.account_id != event.account_id:
        yield "/coverage/account_id", "must be the event's account_id"
    if event.coverage_status not in {UNSET, event.coverage.coverage_status}:
        yield "/coverage_status", "must be the coverage's own"


def _of_coverage(event: CoverageUpdatedEvent) -> Problems:
    if event.coverage is not UNSET and event.coverage.account_id != event.account_id:
        yield "/coverage/account_id", "must be the event's account_id"


def _of_assignee(event: TaskAssignedEvent | TaskInProgressEvent) -> Problems:
    if event.assignee_role is AssigneeRole.MEMBER and event.assignee_id not in {UNSET, event.member_id}:
        yield "/assignee_id", "must be the member's own id"


def _of_error(outcome: Any, error: ServiceError | msgspec.UnsetType) -> Problems:
    if error is UNSET:
        return
    if outcome is not ServiceDeliveryOutcome.FAILED:
        yield "/error", "is for FAILED only"
    if not _CODE.fullmatch(error.code):
        yield "/error/code", "must be 1 to 64 of a-z 0-9 _ that begin with a letter"


_OWN: Final[Mapping[type[Struct], Callable[[Any], Problems]]] = MappingProxyType(
    {
        ServiceRequestProcessingEvent: _of_processing,
        ServiceRequestCompletedEvent: _of_completed,
        RTECompletedEvent: _of_check,
        CoverageUpdatedEvent: _of_coverage,
        TaskAssignedEvent: _of_assignee,
        TaskInProgressEvent: _of_assignee,
    }
)
