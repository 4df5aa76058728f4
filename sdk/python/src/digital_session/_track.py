"""One subscription's place in its timeline, across connections. Pure.

Laws:
* An event goes to the handlers once: what comes again after a resume is known by its key, the pair (epoch, number).
* The cursor is that of the last event *handled*, never of one merely received: a resume after a crash loses nothing.
* What waits for handlers is bounded. A subscription that reaches the bound is paused, that is unsubscribed, and resumes after
  the last event it received once half of what waits was handled; no other subscription notices.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

from digital_session._effects import CaughtUp
from digital_session.events import Envelope, Key, Reset, envelope

WAITING_MAX = 1000


class Phase(Enum):
    """WANTED → ASKED → REPLAYING → LIVE, with PAUSED beside the last two; a lost connection leads back to WANTED."""

    WANTED = auto()
    ASKED = auto()
    REPLAYING = auto()
    LIVE = auto()
    PAUSED = auto()


class _Step(NamedTuple):
    """A position that is reached when everything before it was handled; ``waits`` when a handler has to do so.

    ``cursor`` is None where it belongs to a history that is over: nothing can be resumed there.
    """

    key: Key | None
    cursor: str | None
    waits: bool


class Handled(NamedTuple):
    """The last numbered event whose handlers have finished."""

    key: Key
    cursor: str


class Track:
    """Where one subscription stands. ``cursor`` is where a resume begins, None until there is a position.

    ``kept``: the cursor was the platform's once, so that one it no longer knows is lost continuity and no mistake.
    """

    def __init__(
        self,
        selection: Mapping[str, Any],
        *,
        cursor: str | None = None,
        since: str | None = None,
        kept: bool = False,
        break_glass: str | None = None,
        waiting_max: int = WAITING_MAX,
    ) -> None:
        self.selection = selection
        self.phase = Phase.WANTED
        self.cursor = cursor
        self.since = since
        self.timeline: str | None = None
        self.server_id: str | None = None
        self.request_id: str | None = None
        self.confirmed = kept
        self.failures = 0
        self.last: Handled | None = None
        self._break_glass = break_glass
        self._waiting_max = waiting_max
        self._received_key: Key | None = None
        self._received_cursor: str | None = None
        self._steps: deque[_Step] = deque()
        self._waiting = 0

    @property
    def first_waiting(self) -> Key | None:
        """The first numbered event that no handler has finished."""
        return next((step.key for step in self._steps if step.waits and step.key is not None), None)

    @property
    def overflowing(self) -> bool:
        """As much waits as may."""
        return self._waiting >= self._waiting_max

    @property
    def drained(self) -> bool:
        """Little enough waits to go on after a pause."""
        return self._waiting <= self._waiting_max // 2

    def ask(self, request_id: str) -> dict[str, Any]:
        """The subscribe frame from where it stands now."""
        resume = self._received_cursor if self.phase is Phase.PAUSED else self.cursor
        self.phase, self.request_id = Phase.ASKED, request_id
        frame: dict[str, Any] = {"type": "subscribe", "id": request_id, "subscription": self.selection}
        if resume is not None:
            frame["cursor"] = resume
        elif self.since is not None:
            frame["since"] = self.since
        if self._break_glass is not None:
            frame["break_glass"] = self._break_glass
        return frame

    def disconnected(self) -> None:
        """The connection is gone; what was received still waits for its handlers."""
        self.server_id = self.request_id = None
        if self.phase is not Phase.PAUSED:
            self.phase = Phase.WANTED

    def pause(self) -> None:
        """Nothing more is to come until `drained`."""
        self.server_id, self.phase = None, Phase.PAUSED

    def forget_position(self) -> None:
        """The server does not know the cursor any more: the next `ask` starts at the head."""
        self.since = self._received_cursor = self._received_key = None
        self._turn_the_page(None)
        self.phase = Phase.WANTED

    def subscribed(self, frame: Mapping[str, Any]) -> Reset | None:
        """The server's answer; a `Reset` when what the cursor promised is gone."""
        self.phase, self.confirmed, self.failures = Phase.REPLAYING, True, 0
        self.server_id, self.timeline = frame["subscription_id"], frame["timeline"]
        if frame["recovered"] is False:
            return self.reset(frame["cursor"], "not_recovered")
        if frame["recovered"] is None and self._received_cursor is None:
            self.position(frame["cursor"])
        return None

    def event(self, frame: Mapping[str, Any]) -> Envelope | None:
        """The event for the handlers; None when they had it before."""
        arrived = envelope(frame["event"], frame["cursor"])
        key = arrived.key
        if key is not None:
            if self._received_key is not None and key <= self._received_key:
                return None
            self._received_key = key
        self._received_cursor = frame["cursor"]
        self._steps.append(_Step(key, frame["cursor"], waits=True))
        self._waiting += 1
        return arrived

    def caught_up(self, cursor: str) -> CaughtUp:
        """The replay is over."""
        self.phase = Phase.LIVE
        self.position(cursor)
        return CaughtUp()

    def position(self, cursor: str) -> None:
        """Events that the filter left out moved the position."""
        self._received_cursor = cursor
        step = _Step(None, cursor, waits=False)
        if self._steps:
            self._steps.append(step)
        else:
            self._reach(step)

    def reset(self, cursor: str, reason: str) -> Reset:
        """Another history, or one with a hole, begins after ``cursor``; its numbers may begin anew."""
        self._received_key, self._received_cursor = None, cursor
        self._turn_the_page(cursor)
        return Reset(reason, self.selection)

    def handled(self) -> None:
        """Every handler has finished with the oldest envelope."""
        self._reach(self._steps.popleft())
        self._waiting -= 1
        while self._steps and not self._steps[0].waits:
            self._reach(self._steps.popleft())

    def _turn_the_page(self, cursor: str | None) -> None:
        """What waits is still handled, but a resume begins after it, at ``cursor``: before it there is nothing to resume."""
        self._steps = deque(step._replace(cursor=None) for step in self._steps if step.waits)
        self.cursor, self.last = cursor, None

    def _reach(self, step: _Step) -> None:
        if step.cursor is None:
            return
        self.cursor = step.cursor
        if step.key is not None:
            self.last = Handled(step.key, step.cursor)
