"""What a connection's protocol asks of the world, and what the world answers. Values only; pure.

The protocol hands out `Output`s: text to send, a ping, the close, and effects. An `Asked` effect is answered with `resolve`, by
its outcome or by the error that refuses it, and until then later frames of the connection wait; the others are done at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from session_platform.access import Identity, StaffIdentity, Standing
from session_platform.errors import PlatformError
from session_platform.gateway.frames import Scope
from session_platform.store.port import Position


@dataclass(frozen=True, slots=True)
class SendPing:
    """Ask the client's WebSocket library whether it is still there."""


@dataclass(frozen=True, slots=True)
class Close:
    """The last output: close the WebSocket with ``code`` once everything before it was sent."""

    code: int


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Whom does ``token`` speak for? → `Welcome`."""

    token: str


@dataclass(frozen=True, slots=True)
class Enter:
    """Count this connection as one of ``identity``; the one that it ``replaces``, if it is the same subject's, is closed.
    → `Entered`."""

    identity: Identity
    replaces: str | None


@dataclass(frozen=True, slots=True)
class Permit:
    """May ``identity`` subscribe to this? Granted or refused, it is on the record before the answer. ``break_glass`` is the
    reason that was given for it. → `Permitted`."""

    identity: Identity
    scope: Scope
    cursor: str | None
    break_glass: str | None = None


@dataclass(frozen=True, slots=True)
class Locate:
    """Where does a subscription of ``timeline`` start? → `Located`."""

    timeline: str
    cursor: str | None
    since_beginning: bool


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A heartbeat in a session. → `Done`."""

    identity: Identity
    session_id: str
    active: bool


Asked = Authenticate | Enter | Permit | Locate | KeepAlive


@dataclass(frozen=True, slots=True)
class Listen:
    """From now on, say when something happens on ``timeline``."""

    timeline: str


@dataclass(frozen=True, slots=True)
class Unlisten:
    """Nothing of ``timeline`` interests any more."""

    timeline: str


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The device has handled everything that was sent to it up to ``position``."""

    subject: str
    device_id: str
    timeline: str
    position: Position


@dataclass(frozen=True, slots=True)
class FetchPage:
    """Read the history of ``timeline`` behind number ``after``; answered with `page`, `prefix_lost` or `page_failed`."""

    timeline: str
    after: int


@dataclass(frozen=True, slots=True)
class Recheck:
    """Does ``identity`` still have a care relationship with the member of ``timeline``? It had one when ``as_of`` changes had
    been made. Answered with `rechecked` or `recheck_failed`."""

    identity: StaffIdentity
    timeline: str
    as_of: int


Output = bytes | SendPing | Close | Asked | Listen | Unlisten | Acknowledge | FetchPage | Recheck


@dataclass(frozen=True, slots=True)
class Welcome:
    """``expires_in_s``: how long the token holds from now on."""

    identity: Identity
    expires_in_s: float
    expires_at: datetime
    flags: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Entered:
    connection_id: str


@dataclass(frozen=True, slots=True)
class Permitted:
    """``timeline`` is the routing key of what was asked for, ``standing`` what gives the right to it. That was so when
    ``as_of`` changes of rights had been made."""

    timeline: str
    standing: Standing
    as_of: int


@dataclass(frozen=True, slots=True)
class Located:
    """The subscription begins behind number ``after``, at ``cursor``; ``head`` was the timeline's newest number then. ``label``
    is what the client sees of the timeline."""

    subscription_id: str
    label: str
    after: int
    cursor: str
    head: int
    recovered: bool | None


@dataclass(frozen=True, slots=True)
class Rechecked:
    """The answer to a `Recheck`, as it was when ``as_of`` changes had been made. Where the right no longer ``holds``, it ended
    behind number ``through``; None: no number says where."""

    timeline: str
    as_of: int
    holds: bool
    through: int | None


@dataclass(frozen=True, slots=True)
class Done:
    """It is done, and nothing is to be said about it."""


Outcome = Welcome | Entered | Permitted | Located | Done | PlatformError
