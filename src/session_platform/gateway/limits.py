"""What a connection may ask for and how long the gateway waits. Pure.

Every bound in one place, the bucket that counts frames, and the watch that knows which wait is over. Times are seconds of one
monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final

HEARTBEAT_MIN_S: Final = 15
"""The wire contract's lower bound for ``heartbeat_seconds``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one process and of each of its connections. Raises `ValueError` for what the wire contract does not allow.

    * ``heartbeat_s``: what `connected` tells; an idle connection is pinged that often and given up after twice as long.
    * ``burst_frames``, ``frames_per_s``: the contract promises at least 200 and 50. ``waiting_bytes``: while a command is being
      worked on, later frames wait; above this the socket is not read until some are done, so nothing is ever dropped.
    * ``token_warning_s``: how long before its token's end a connection is told.
    * ``stall_s``: a connection that must be written to and takes not one byte for so long is closed as too slow.
    * ``close_timeout_s``: how long the client may take to answer a close. ``linger_s``: the same for one that still has bytes
      to read, so that a slow client can learn why it was closed.
    * ``turn_bytes``: about what one connection may be given before the others have their turn; ``page_events``: how many events
      one read of the history brings; ``retry_s``: when a read that the store could not do is tried again.
    * ``goodbyes_per_s``, ``reconnect_spread_ms``: a drain spreads its goodbyes, and the reconnects that follow.
    """

    heartbeat_s: int = 30
    connect_timeout_s: float = 10.0
    token_warning_s: float = 60.0
    message_max_bytes: int = 64 * 1024
    subscriptions: int = 100
    burst_frames: int = 250
    frames_per_s: float = 50.0
    waiting_bytes: int = 64 * 1024
    connections: int = 50_000
    connections_per_subject: int = 50
    stall_s: float = 20.0
    close_timeout_s: float = 5.0
    linger_s: float = 60.0
    turn_bytes: int = 32 * 1024
    page_events: int = 100
    retry_s: float = 1.0
    goodbyes_per_s: int = 500
    reconnect_spread_ms: int = 2_000

    def __post_init__(self) -> None:
        if self.heartbeat_s < HEARTBEAT_MIN_S:
            raise ValueError(f"heartbeat_s is at least {HEARTBEAT_MIN_S}")
        if self.burst_frames < 200 or self.frames_per_s < 50 or self.connections_per_subject < 50 or self.subscriptions < 100:
            raise ValueError("a limit is below what the wire contract promises")


class Bucket:
    """A token bucket: ``burst_frames`` at once, then ``frames_per_s``."""

    __slots__ = ("_left", "_seen_at")

    def __init__(self, limits: Limits, now: float) -> None:
        self._left = float(limits.burst_frames)
        self._seen_at = now

    def take(self, limits: Limits, now: float) -> bool:
        """Whether one more frame is within the limits; it counts only if so."""
        self._left = min(float(limits.burst_frames), self._left + (now - self._seen_at) * limits.frames_per_s)
        self._seen_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class Alarm(Enum):
    """A wait that is over."""

    NO_CONNECT = "the first frame did not come in time"
    EXPIRES_SOON = "the token has a minute or less"
    EXPIRED = "the token has expired"
    STALLED = "the client takes in nothing"
    SILENT = "nothing was heard for one heartbeat: ask"
    DEAD = "nor for another one"
    POSITIONS_DUE = "a heartbeat interval has passed"


class Watch:
    """The waits of one connection. `due` gives each alarm once; ``next_at`` is when it should be asked again, or before that: a
    sign of life does not move it, so that hearing and sending cost next to nothing."""

    __slots__ = (
        "_asked_at",
        "_connect_by",
        "_deaf",
        "_expires_at",
        "_heard_at",
        "_limits",
        "_positions_at",
        "_stalls_at",
        "_warn_at",
        "next_at",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._connect_by = now + limits.connect_timeout_s
        self._heard_at = now
        self._deaf = False
        self._asked_at = self._expires_at = self._warn_at = self._positions_at = self._stalls_at = inf
        self.next_at = self._earliest()

    def heard(self, now: float) -> None:
        """The client gave a sign of life."""
        self._heard_at = now
        self._asked_at = inf

    def deaf(self, deaf: bool, now: float) -> None:
        """The socket is not read for a while (True) or is again (False): silence then says nothing about the client."""
        if deaf != self._deaf:
            self._deaf = deaf
            self.heard(now)
            self.next_at = self._earliest()

    def opened(self, now: float) -> None:
        """The connection is connected."""
        self._connect_by = inf
        self._positions_at = now + self._limits.heartbeat_s
        self.next_at = self._earliest()

    def token(self, expires_in_s: float, now: float) -> None:
        """A token that holds for so long speaks for the connection from now on."""
        self._expires_at = now + expires_in_s
        self._warn_at = self._expires_at - self._limits.token_warning_s
        self.next_at = self._earliest()

    def blocked(self, now: float) -> None:
        """The client does not take what is sent: from its last progress, which is now, it has `Limits.stall_s`."""
        self._stalls_at = now + self._limits.stall_s
        self.next_at = self._earliest()

    def unblocked(self) -> None:
        """It takes it again."""
        self._stalls_at = inf

    def due(self, now: float) -> Sequence[Alarm]:
        """What is due, in the order in which it is to be acted on: first what ends the connection."""
        if now < self.next_at:
            return ()
        alarms = [alarm for alarm, at in self._ends() if now >= at]
        if now >= self._warn_at:
            self._warn_at = inf
            alarms.append(Alarm.EXPIRES_SOON)
        if now >= self._positions_at:
            self._positions_at = now + self._limits.heartbeat_s
            alarms.append(Alarm.POSITIONS_DUE)
        if now >= self._silent_at():
            self._asked_at = now
            alarms.append(Alarm.SILENT)
        self.next_at = self._earliest()
        return alarms

    def _earliest(self) -> float:
        ends = min([at for _, at in self._ends()])
        return min(ends, self._warn_at, self._positions_at, self._silent_at())

    def _silent_at(self) -> float:
        return inf if self._deaf or self._asked_at != inf else self._heard_at + self._limits.heartbeat_s

    def _dead_at(self) -> float:
        """Only a question that was asked can stay unanswered: a process that stood still itself gives nobody up."""
        return self._asked_at + self._limits.heartbeat_s

    def _ends(self) -> tuple[tuple[Alarm, float], ...]:
        return (
            (Alarm.EXPIRED, self._expires_at),
            (Alarm.NO_CONNECT, self._connect_by),
            (Alarm.STALLED, self._stalls_at),
            (Alarm.DEAD, self._dead_at()),
        )
