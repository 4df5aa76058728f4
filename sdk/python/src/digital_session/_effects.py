"""What the protocol core asks its shell to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from digital_session.errors import DigitalSessionError
from digital_session.events import Envelope, Reset


class State(StrEnum):
    """Where a client stands; CLOSED and FAILED are final."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    # Disconnected for more than two minutes: it goes on trying, slowly.
    SUSPENDED = "suspended"
    CLOSED = "closed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a connection after ``delay_s``; with ``refused_token`` only once there is another token."""

    delay_s: float
    refused_token: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame; frames leave in the order of their effects."""

    frame: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Of ``timeline``, everything up to ``cursor`` was handled by every subscription."""

    timeline: str
    cursor: str


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection politely once everything before was sent."""


@dataclass(frozen=True, slots=True)
class Abort:
    """Drop the connection: nobody answers any more, or what answers makes no sense."""


@dataclass(frozen=True, slots=True)
class RenewToken:
    """Obtain a new token while the old one still holds and hand it to `Protocol.renewed`."""


@dataclass(frozen=True, slots=True)
class StateChanged:
    """``error`` says why, where something went wrong."""

    state: State
    error: DigitalSessionError | None = None


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """The booleans that hold for this subject from now on."""

    flags: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that went wrong without ending anything."""

    error: DigitalSessionError


@dataclass(frozen=True, slots=True)
class Started:
    """The server accepted subscription ``local``; its replay begins."""

    local: int


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """What follows is live."""


@dataclass(frozen=True, slots=True)
class Deliver:
    """The next thing of subscription ``local``. Every envelope is answered by `Protocol.handled`, in order."""

    local: int
    item: Envelope | CaughtUp | Reset


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more comes of subscription ``local``; ``error`` is None when it was the caller's wish."""

    local: int
    error: DigitalSessionError | None = None


Effect = (
    Dial | Send | Acknowledged | HangUp | Abort | RenewToken | StateChanged | FlagsChanged | Trouble | Started | Deliver | Ended
)
