"""Sessions: a member's interactions with the platform, from the command that opens one to its end by command or by silence.

It decides what a session may be made of, which state it is in (computed from activity, open requests and end, never stored),
when it expires and when it announces itself. It refuses to know who may do any of this (`access`), what a request is (careflow
tells it by functions that the wiring hands over) and how an event reaches anybody.

`Sessions` holds the commands and reads, `Touches` collects heartbeats and writes them in batches, `Monitor` lets time pass.
"""

from session_platform.sessions.lifecycle import Sessions
from session_platform.sessions.model import (
    ACTIVE_EVERY,
    FLUSH_EVERY,
    IDLE_AFTER,
    SESSION_TTL,
    ActiveWork,
    LifeState,
    NewParticipant,
    NewSession,
    WorkOf,
)
from session_platform.sessions.monitor import Monitor
from session_platform.sessions.published import PublishedSessions
from session_platform.sessions.record import open_sessions, participates
from session_platform.sessions.touches import Touches
from session_platform.sessions.view import Participant, SessionView

__all__ = [
    "ACTIVE_EVERY",
    "FLUSH_EVERY",
    "IDLE_AFTER",
    "SESSION_TTL",
    "ActiveWork",
    "LifeState",
    "Monitor",
    "NewParticipant",
    "NewSession",
    "Participant",
    "PublishedSessions",
    "SessionView",
    "Sessions",
    "Touches",
    "WorkOf",
    "open_sessions",
    "participates",
]
