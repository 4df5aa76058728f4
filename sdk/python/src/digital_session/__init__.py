"""Python SDK of the Digital Session Platform: sessions, service requests and their events, live and in order.

It decides how a connection is kept, resumed and acknowledged so that each handler sees each event once and in order. It refuses
to know what an application does with an event, and follows no reference but the platform's own. The core (``_protocol``,
``_tracks``, ``_track``, ``_outbox``, ``_loss``, ``_backoff``) has no socket, clock or randomness; ``_connection``, ``_rest``
and ``_submissions`` are the thin shell around it.
"""

from digital_session._effects import State
from digital_session._generated import (
    CarePlanUpdatedEvent,
    CoverageUpdatedEvent,
    RTECompletedEvent,
    ServiceRequestCompletedEvent,
    ServiceRequestPriority,
    ServiceRequestProcessingEvent,
    ServiceRequestSubmittedEvent,
    SessionActiveEvent,
    SessionChannel,
    SessionCreatedEvent,
    SessionEndedEvent,
    SessionEndReason,
    SessionOutcome,
    SessionType,
    TaskAssignedEvent,
    TaskCompletedEvent,
    TaskInProgressEvent,
    TaskOutcome,
)
from digital_session._tokens import read_claims
from digital_session.client import DigitalSessionClient
from digital_session.errors import (
    AuthenticationError,
    ClientClosedError,
    ConflictError,
    DigitalSessionError,
    ForbiddenError,
    NoActiveSessionError,
    NotFoundError,
    ProtocolError,
    RateLimitedError,
    ServiceRequestCanceledError,
    ServiceRequestFailedError,
    UnavailableError,
    ValidationError,
)
from digital_session.events import Envelope, Progress, Record, Reset
from digital_session.member_context import MemberContext
from digital_session.options import ClientOptions, Reconnect, SessionDefaults
from digital_session.service_request import ServiceRequest
from digital_session.session import Session
from digital_session.storage import FileStorage, Storage
from digital_session.subscription import Subscription
from digital_session.task import Task

__all__ = [
    "AuthenticationError",
    "CarePlanUpdatedEvent",
    "ClientClosedError",
    "ClientOptions",
    "ConflictError",
    "CoverageUpdatedEvent",
    "DigitalSessionClient",
    "DigitalSessionError",
    "Envelope",
    "FileStorage",
    "ForbiddenError",
    "MemberContext",
    "NoActiveSessionError",
    "NotFoundError",
    "Progress",
    "ProtocolError",
    "RTECompletedEvent",
    "RateLimitedError",
    "Reconnect",
    "Record",
    "Reset",
    "ServiceRequest",
    "ServiceRequestCanceledError",
    "ServiceRequestCompletedEvent",
    "ServiceRequestFailedError",
    "ServiceRequestPriority",
    "ServiceRequestProcessingEvent",
    "ServiceRequestSubmittedEvent",
    "Session",
    "SessionActiveEvent",
    "SessionChannel",
    "SessionCreatedEvent",
    "SessionDefaults",
    "SessionEndReason",
    "SessionEndedEvent",
    "SessionOutcome",
    "SessionType",
    "State",
    "Storage",
    "Subscription",
    "Task",
    "TaskAssignedEvent",
    "TaskCompletedEvent",
    "TaskInProgressEvent",
    "TaskOutcome",
    "UnavailableError",
    "ValidationError",
    "read_claims",
]
