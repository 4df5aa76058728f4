"""For backends: publish events to the Digital Session Platform, each once, from the transaction that made it true.

It decides how an event is written down, repeated and handed over, so that an event is neither lost nor doubled. It refuses to
know what an event means: the platform's rules are the platform's, and a refusal says which event and which field.

`Producer` publishes at once; `SyncProducer` is the same for code that blocks. `digital_session_producer.outbox` (it needs the
extra ``sqlalchemy``) writes events into the backend's own transaction and sends them from there.
"""

from digital_session_producer._publication import Retry
from digital_session_producer.errors import (
    AuthenticationError,
    ForbiddenError,
    ProducerError,
    ProtocolError,
    RateLimitedError,
    Refusal,
    RefusedError,
    TooLargeError,
    UnavailableError,
)
from digital_session_producer.event import Event
from digital_session_producer.producer import Producer, SyncProducer

__all__ = [
    "AuthenticationError",
    "Event",
    "ForbiddenError",
    "Producer",
    "ProducerError",
    "ProtocolError",
    "RateLimitedError",
    "Refusal",
    "RefusedError",
    "Retry",
    "SyncProducer",
    "TooLargeError",
    "UnavailableError",
]
