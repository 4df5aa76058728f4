# Generated from proto-common/domain/sessions/v1 by proto-common/generator. Do not edit: `make generate` writes it anew.
"""Events, enums and the catalogue of the session contract.

A field that is not set is ``UNSET`` and absent in JSON; a list is always there. Times are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import force_setattr

Timestamp = Annotated[datetime, Meta(tz=True)]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


def _in_utc(struct: Struct, *names: str) -> None:
    for name in names:
        value = getattr(struct, name)
        if value is UNSET or value.tzinfo is UTC:
            continue
        if value.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
        try:
            force_setattr(struct, name, value.astimezone(UTC))
        except OverflowError:
            raise ValueError(f"{name} is outside the years that UTC has") from None


class SessionType(StrEnum):
    """What kind of interaction a session is."""

    # A member using an app.
    APP = "APP"
    # Messaging.
    CHAT = "CHAT"
    # A phone call.
    VOICE = "VOICE"
    # A video consultation.
    VIDEO = "VIDEO"
    # An encounter in the EHR.
    CLINICAL = "CLINICAL"
    # Started by a system.
    BACKGROUND = "BACKGROUND"


class SessionChannel(StrEnum):
    """Where a session takes place."""

    MX_WEB = "MX_WEB"
    IOS = "IOS"
    ANDROID = "ANDROID"
    CARE_APP = "CARE_APP"
    PHONE_INBOUND = "PHONE_INBOUND"
    PHONE_OUTBOUND = "PHONE_OUTBOUND"
    ATHENA = "ATHENA"


class SessionState(StrEnum):
    """What an open session is doing."""

    ACTIVE = "ACTIVE"
    # No activity for more than five minutes.
    IDLE = "IDLE"
    # A service request of the session is open.
    WAITING = "WAITING"
    # A backend says that the session is wrapping up.
    COMPLETING = "COMPLETING"


class SessionEndReason(StrEnum):
    """Why a session closed."""

    USER_CLOSED = "USER_CLOSED"
    TIMEOUT = "TIMEOUT"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"


class SessionOutcome(StrEnum):
    """How far a session came."""

    SUCCESS = "SUCCESS"
    PARTIAL = "PARTIAL"
    FAILED = "FAILED"


class ServiceRequestPriority(StrEnum):
    """How urgent a request is."""

    # Somebody waits for it.
    INTERACTIVE = "INTERACTIVE"
    STANDARD = "STANDARD"
    BATCH = "BATCH"
    # Escalated.
    URGENT = "URGENT"


class ProcessingStage(StrEnum):
    """Where a request stands."""

    QUEUED = "QUEUED"
    SCHEDULED = "SCHEDULED"
    EXECUTING = "EXECUTING"
    FINALIZING = "FINALIZING"


class ServiceDeliveryOutcome(StrEnum):
    """How a request, or a check, ended."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class AssigneeRole(StrEnum):
    """Who does a task."""

    MEMBER = "MEMBER"
    CARE_TEAM = "CARE_TEAM"
    CLINICIAN = "CLINICIAN"
    SYSTEM = "SYSTEM"

    @classmethod
    def _missing_(cls, value: object) -> AssigneeRole | None:
        """Input in any case is accepted."""
        return cls._member_map_.get(value.upper()) if isinstance(value, str) else None  # type: ignore[return-value]


class TaskOutcome(StrEnum):
    """How a task ended."""

    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class CoverageStatus(StrEnum):
    """Whether somebody is insured."""

    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"
    TERMINATED = "TERMINATED"
    UNKNOWN = "UNKNOWN"


class CoverageChangeType(StrEnum):
    """What made the coverage change."""

    ENROLLMENT = "ENROLLMENT"
    VERIFICATION = "VERIFICATION"
    TERMINATION = "TERMINATION"
    UPDATE = "UPDATE"


class CarePlanStatus(StrEnum):
    """Where a care plan stands."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"
    ON_HOLD = "ON_HOLD"
    COMPLETED = "COMPLETED"
    REVOKED = "REVOKED"


class TaskStatus(Struct, frozen=True, kw_only=True):
    """One task of a request, in a progress report."""

    task_id: str
    task_type: str
    # "pending", "in_progress", "completed", "failed" or "canceled".
    status: str


class ServiceError(Struct, frozen=True, kw_only=True):
    """Why a request failed. The message is the platform's fixed text for the code, never somebody else's words."""

    code: str
    message: str
    # Whether submitting again may succeed.
    retryable: bool


class CoverageDetails(Struct, frozen=True, kw_only=True):
    """What is known of an account's coverage."""

    account_id: str
    coverage_status: CoverageStatus
    payer_id: str | UnsetType = UNSET
    payer_name: str | UnsetType = UNSET
    plan_name: str | UnsetType = UNSET
    # The subscriber's id at the payer.
    member_id_at_payer: str | UnsetType = UNSET
    group_number: str | UnsetType = UNSET
    # A calendar date, YYYY-MM-DD.
    effective_date: str | UnsetType = UNSET
    # A calendar date, YYYY-MM-DD.
    termination_date: str | UnsetType = UNSET
    benefits: tuple[CoverageBenefit, ...] = ()
    verified_at: Timestamp | UnsetType = UNSET
    # Who answered.
    verified_by: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "verified_at")


class CoverageBenefit(Struct, frozen=True, kw_only=True):
    """What a plan pays for one kind of service."""

    # X12 service type code, such as 30.
    service_type_code: str | UnsetType = UNSET
    service_type: str | UnsetType = UNSET
    coverage_level: str | UnsetType = UNSET
    # Absent when the payer draws no such line.
    in_network: bool | UnsetType = UNSET
    copay: Money | UnsetType = UNSET
    # 0 to 100.
    coinsurance_percent: float | UnsetType = UNSET
    deductible: Money | UnsetType = UNSET
    deductible_remaining: Money | UnsetType = UNSET
    out_of_pocket: Money | UnsetType = UNSET
    out_of_pocket_remaining: Money | UnsetType = UNSET


class Money(Struct, frozen=True, kw_only=True):
    """An amount of money."""

    # Decimal digits, such as 25.00.
    amount: str
    # ISO 4217, such as USD.
    currency: str


class SessionCreatedEvent(Struct, frozen=True, kw_only=True):
    """A member, or somebody for them, starts an interaction."""

    session_id: str
    member_id: str
    account_id: str | UnsetType = UNSET
    session_type: SessionType | UnsetType = UNSET
    channel: SessionChannel | UnsetType = UNSET
    created_at: Timestamp | UnsetType = UNSET
    # Who started the session: a member's or staff member's id, or a service's subject.
    initiator_id: str | UnsetType = UNSET
    # Main reason for the session.
    intent: str | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    # The session this one goes on from, after a warm transfer.
    previous_session_id: str | UnsetType = UNSET
    device_id: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "created_at")


class SessionActiveEvent(Struct, frozen=True, kw_only=True):
    """Presence: every 30 s while a session is open, and when its state changes. Unnumbered and never replayed."""

    session_id: str
    member_id: str
    last_activity_at: Timestamp | UnsetType = UNSET
    state: SessionState | UnsetType = UNSET
    # Ids of the session's open service requests.
    active_service_requests: tuple[str, ...] = ()
    # Ids of the session's open tasks.
    active_tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _in_utc(self, "last_activity_at")


class SessionEndedEvent(Struct, frozen=True, kw_only=True):
    """A session closes; its open requests go on."""

    session_id: str
    member_id: str
    ended_at: Timestamp | UnsetType = UNSET
    duration_seconds: Int64 | UnsetType = UNSET
    reason: SessionEndReason | UnsetType = UNSET
    outcome: SessionOutcome | UnsetType = UNSET
    completed_service_requests: tuple[str, ...] = ()
    completed_tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _in_utc(self, "ended_at")


class ServiceRequestSubmittedEvent(Struct, frozen=True, kw_only=True):
    """A healthcare service was asked for and accepted."""

    service_request_id: str
    session_id: str | UnsetType = UNSET
    member_id: str
    # Code of the service in the catalogue, such as RTE.
    healthcare_service: str | UnsetType = UNSET
    # Whom the service is for.
    subject_account_id: str | UnsetType = UNSET
    initiator_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    priority: ServiceRequestPriority | UnsetType = UNSET
    submitted_at: Timestamp | UnsetType = UNSET
    # For whom a human task of the request is meant.
    target_role: AssigneeRole | UnsetType = UNSET
    target_speciality: str | UnsetType = UNSET
    # The call to hand over, for a warm transfer.
    current_call_id: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "submitted_at")


class ServiceRequestProcessingEvent(Struct, frozen=True, kw_only=True):
    """How far a request is. Only the newest one of a request matters to a slow reader."""

    service_request_id: str
    session_id: str | UnsetType = UNSET
    member_id: str
    stage: ProcessingStage | UnsetType = UNSET
    estimated_completion_seconds: Int32 | UnsetType = UNSET
    task_statuses: tuple[TaskStatus, ...] = ()
    # 0 to 100, never falling within one request.
    percent_complete: Int32


class ServiceRequestCompletedEvent(Struct, frozen=True, kw_only=True):
    """A request reached its end. Its tasks ended before."""

    service_request_id: str
    session_id: str | UnsetType = UNSET
    member_id: str
    outcome: ServiceDeliveryOutcome | UnsetType = UNSET
    # The service's own result.
    result_data: dict[str, Any] | UnsetType = UNSET
    processing_duration_ms: Int64 | UnsetType = UNSET
    completed_at: Timestamp | UnsetType = UNSET
    healthcare_service: str | UnsetType = UNSET
    # FAILED only.
    error: ServiceError | UnsetType = UNSET
    # SUCCESS only: where result_data is read.
    result_ref: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "completed_at")


class TaskAssignedEvent(Struct, frozen=True, kw_only=True):
    """A task waits for its assignee; the same task may be assigned again to somebody else."""

    task_id: str
    session_id: str | UnsetType = UNSET
    member_id: str
    service_request_id: str | UnsetType = UNSET
    task_type: str | UnsetType = UNSET
    assignee_id: str | UnsetType = UNSET
    assignee_role: AssigneeRole | UnsetType = UNSET
    assigned_at: Timestamp | UnsetType = UNSET
    due_at: Timestamp | UnsetType = UNSET
    assignee_name: str | UnsetType = UNSET
    # The catalogue's text for this kind of task.
    title: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "assigned_at", "due_at")


class TaskInProgressEvent(Struct, frozen=True, kw_only=True):
    """Work on a task begins, or begins again after a failed attempt."""

    task_id: str
    session_id: str | UnsetType = UNSET
    member_id: str
    started_by: str | UnsetType = UNSET
    started_at: Timestamp | UnsetType = UNSET
    estimated_completion_seconds: Int32 | UnsetType = UNSET
    task_type: str | UnsetType = UNSET
    service_request_id: str | UnsetType = UNSET
    assignee_id: str | UnsetType = UNSET
    assignee_role: AssigneeRole | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "started_at")


class TaskCompletedEvent(Struct, frozen=True, kw_only=True):
    """A task ended: once, whatever the number of attempts."""

    task_id: str
    session_id: str | UnsetType = UNSET
    member_id: str
    service_request_id: str | UnsetType = UNSET
    completed_by: str | UnsetType = UNSET
    # Form data, or what the system found.
    task_result: dict[str, Any] | UnsetType = UNSET
    completed_at: Timestamp | UnsetType = UNSET
    task_type: str | UnsetType = UNSET
    assignee_id: str | UnsetType = UNSET
    assignee_role: AssigneeRole | UnsetType = UNSET
    outcome: TaskOutcome | UnsetType = UNSET
    # Where task_result is read.
    task_ref: str | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "completed_at")


class RTECompletedEvent(Struct, frozen=True, kw_only=True):
    """A real-time eligibility check ended."""

    session_id: str | UnsetType = UNSET
    workflow_id: str | UnsetType = UNSET
    service_request_id: str | UnsetType = UNSET
    member_id: str
    # Whose eligibility was checked.
    account_id: str | UnsetType = UNSET
    outcome: ServiceDeliveryOutcome | UnsetType = UNSET
    coverage_status: CoverageStatus | UnsetType = UNSET
    payer_id: str | UnsetType = UNSET
    response_time_ms: Int64 | UnsetType = UNSET
    completed_at: Timestamp | UnsetType = UNSET
    # Where coverage is read.
    coverage_ref: str | UnsetType = UNSET
    # FAILED only.
    error: ServiceError | UnsetType = UNSET
    coverage: CoverageDetails | UnsetType = UNSET

    def __post_init__(self) -> None:
        _in_utc(self, "completed_at")


class CoverageUpdatedEvent(Struct, frozen=True, kw_only=True):
    """The coverage of an account really changed; one event for each member holding the account."""

    # Only in the copy of the member whose session asked.
    session_id: str | UnsetType = UNSET
    member_id: str
    account_id: str
    change_type: CoverageChangeType | UnsetType = UNSET
    coverage: CoverageDetails | UnsetType = UNSET
    # Where coverage is read.
    coverage_ref: str | UnsetType = UNSET


class CarePlanUpdatedEvent(Struct, frozen=True, kw_only=True):
    """A care plan changed. Goals and tasks are ids only."""

    session_id: str | UnsetType = UNSET
    member_id: str
    care_plan_id: str
    status: CarePlanStatus | UnsetType = UNSET
    updated_goals: tuple[str, ...] = ()
    new_tasks: tuple[str, ...] = ()


DurableEvent = (
    SessionCreatedEvent
    | SessionEndedEvent
    | ServiceRequestSubmittedEvent
    | ServiceRequestProcessingEvent
    | ServiceRequestCompletedEvent
    | TaskAssignedEvent
    | TaskInProgressEvent
    | TaskCompletedEvent
    | RTECompletedEvent
    | CoverageUpdatedEvent
    | CarePlanUpdatedEvent
)
EphemeralEvent = SessionActiveEvent
EventStruct = type[DurableEvent] | type[EphemeralEvent]


class EventClass(StrEnum):
    """How an event is delivered."""

    DURABLE = "DURABLE"
    EPHEMERAL = "EPHEMERAL"
    LATEST_WINS = "LATEST_WINS"


class TopicSpec(NamedTuple):
    """A topic of the event log; ``key`` is the field whose value is a record's key."""

    topic: str
    key: str
    partitions: int
    retention_days: int


class EventSpec(NamedTuple):
    """All that the contract says about one event.

    ``name`` is short (``task.assigned``), ``type`` the CloudEvents type, ``suffix`` what ``type`` and ``topic`` have in common,
    ``source`` the platform's own. ``phi_fields`` never ride a timeline, ``conditional_phi_fields`` only as a public code;
    ``refs`` maps a redacted field to the field that stands in for it.
    """

    name: str
    type: str
    suffix: str
    topic: str
    key: str
    partitions: int
    retention_days: int
    event_class: EventClass
    source: str
    struct: EventStruct
    phi_fields: tuple[str, ...]
    conditional_phi_fields: tuple[str, ...]
    refs: Mapping[str, str]


CATALOGUE: Final[Mapping[str, EventSpec]] = MappingProxyType({
    "session.created": EventSpec(
        name="session.created",
        type="com.includedhealth.sessions.lifecycle.created",
        suffix="lifecycle.created",
        topic="sessions.lifecycle.created",
        key="session_id",
        partitions=50,
        retention_days=30,
        event_class=EventClass.DURABLE,
        source="/jarvis/sessions",
        struct=SessionCreatedEvent,
        phi_fields=("metadata",),
        conditional_phi_fields=("intent",),
        refs={},
    ),
    "session.active": EventSpec(
        name="session.active",
        type="com.includedhealth.sessions.lifecycle.active",
        suffix="lifecycle.active",
        topic="sessions.lifecycle.active",
        key="session_id",
        partitions=50,
        retention_days=7,
        event_class=EventClass.EPHEMERAL,
        source="/jarvis/sessions",
        struct=SessionActiveEvent,
        phi_fields=(),
        conditional_phi_fields=(),
        refs={},
    ),
    "session.ended": EventSpec(
        name="session.ended",
        type="com.includedhealth.sessions.lifecycle.ended",
        suffix="lifecycle.ended",
        topic="sessions.lifecycle.ended",
        key="session_id",
        partitions=50,
        retention_days=90,
        event_class=EventClass.DURABLE,
        source="/jarvis/sessions",
        struct=SessionEndedEvent,
        phi_fields=(),
        conditional_phi_fields=(),
        refs={},
    ),
    "service_request.submitted": EventSpec(
        name="service_request.submitted",
        type="com.includedhealth.sessions.service-request.submitted",
        suffix="service-request.submitted",
        topic="sessions.service-request.submitted",
        key="service_request_id",
        partitions=100,
        retention_days=30,
        event_class=EventClass.DURABLE,
        source="/careflow/service-requests",
        struct=ServiceRequestSubmittedEvent,
        phi_fields=(),
        conditional_phi_fields=("reason", "target_speciality"),
        refs={},
    ),
    "service_request.processing": EventSpec(
        name="service_request.processing",
        type="com.includedhealth.sessions.service-request.processing",
        suffix="service-request.processing",
        topic="sessions.service-request.processing",
        key="service_request_id",
        partitions=100,
        retention_days=7,
        event_class=EventClass.LATEST_WINS,
        source="/careflow/service-requests",
        struct=ServiceRequestProcessingEvent,
        phi_fields=(),
        conditional_phi_fields=(),
        refs={},
    ),
    "service_request.completed": EventSpec(
        name="service_request.completed",
        type="com.includedhealth.sessions.service-request.completed",
        suffix="service-request.completed",
        topic="sessions.service-request.completed",
        key="service_request_id",
        partitions=100,
        retention_days=30,
        event_class=EventClass.DURABLE,
        source="/careflow/service-requests",
        struct=ServiceRequestCompletedEvent,
        phi_fields=("result_data",),
        conditional_phi_fields=(),
        refs={"result_data": "result_ref"},
    ),
    "task.assigned": EventSpec(
        name="task.assigned",
        type="com.includedhealth.sessions.task.assigned",
        suffix="task.assigned",
        topic="sessions.task.assigned",
        key="task_id",
        partitions=100,
        retention_days=30,
        event_class=EventClass.DURABLE,
        source="/careflow/tasks",
        struct=TaskAssignedEvent,
        phi_fields=(),
        conditional_phi_fields=(),
        refs={},
    ),
    "task.in_progress": EventSpec(
        name="task.in_progress",
        type="com.includedhealth.sessions.task.in-progress",
        suffix="task.in-progress",
        topic="sessions.task.in-progress",
        key="task_id",
        partitions=100,
        retention_days=7,
        event_class=EventClass.DURABLE,
        source="/careflow/tasks",
        struct=TaskInProgressEvent,
        phi_fields=(),
        conditional_phi_fields=(),
        refs={},
    ),
    "task.completed": EventSpec(
        name="task.completed",
        type="com.includedhealth.sessions.task.completed",
        suffix="task.completed",
        topic="sessions.task.completed",
        key="task_id",
        partitions=100,
        retention_days=30,
        event_class=EventClass.DURABLE,
        source="/careflow/tasks",
        struct=TaskCompletedEvent,
        phi_fields=("task_result",),
        conditional_phi_fields=(),
        refs={"task_result": "task_ref"},
    ),
    "rte.completed": EventSpec(
        name="rte.completed",
        type="com.includedhealth.sessions.rte.completed",
        suffix="rte.completed",
        topic="sessions.rte.completed",
        key="member_id",
        partitions=50,
        retention_days=7,
        event_class=EventClass.DURABLE,
        source="/rte/eligibility",
        struct=RTECompletedEvent,
        phi_fields=("coverage",),
        conditional_phi_fields=(),
        refs={"coverage": "coverage_ref"},
    ),
    "coverage.updated": EventSpec(
        name="coverage.updated",
        type="com.includedhealth.sessions.coverage.updated",
        suffix="coverage.updated",
        topic="sessions.coverage.updated",
        key="account_id",
        partitions=50,
        retention_days=90,
        event_class=EventClass.DURABLE,
        source="/digital-twin/coverage",
        struct=CoverageUpdatedEvent,
        phi_fields=("coverage",),
        conditional_phi_fields=(),
        refs={"coverage": "coverage_ref"},
    ),
    "care_plan.updated": EventSpec(
        name="care_plan.updated",
        type="com.includedhealth.sessions.care-plan.updated",
        suffix="care-plan.updated",
        topic="sessions.care-plan.updated",
        key="member_id",
        partitions=50,
        retention_days=90,
        event_class=EventClass.DURABLE,
        source="/digital-twin/care-plan",
        struct=CarePlanUpdatedEvent,
        phi_fields=(),
        conditional_phi_fields=(),
        refs={},
    ),
})
TIMELINE_TOPIC: Final = "sessions.timeline.member"
TOPICS: Final[tuple[TopicSpec, ...]] = (
    TopicSpec("sessions.lifecycle.created", "session_id", 50, 30),
    TopicSpec("sessions.lifecycle.active", "session_id", 50, 7),
    TopicSpec("sessions.lifecycle.ended", "session_id", 50, 90),
    TopicSpec("sessions.service-request.submitted", "service_request_id", 100, 30),
    TopicSpec("sessions.service-request.processing", "service_request_id", 100, 7),
    TopicSpec("sessions.service-request.completed", "service_request_id", 100, 30),
    TopicSpec("sessions.task.assigned", "task_id", 100, 30),
    TopicSpec("sessions.task.in-progress", "task_id", 100, 7),
    TopicSpec("sessions.task.completed", "task_id", 100, 30),
    TopicSpec("sessions.rte.completed", "member_id", 50, 7),
    TopicSpec("sessions.coverage.updated", "account_id", 50, 90),
    TopicSpec("sessions.care-plan.updated", "member_id", 50, 90),
    TopicSpec("sessions.timeline.member", "member_id", 100, 7),
)
