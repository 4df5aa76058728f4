"""An event's way through this process, measured: what the log, the router and the gateway each say in passing.

All of it happens on the event loop, in this order: a commit wakes the follower, the follower publishes, the listeners' turn
comes. Whatever else happens in between only makes the next measurement count from the first of several.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from session_platform.telemetry.stages import Stage, Stages
from session_platform.telemetry.tracing import Tracing

Event = TypeVar("Event")

PUBLISHED: Final = "timeline.publish"
WRITTEN: Final = "gateway.frame"
_MARK: Final = b'"traceparent":"'
_TRACEPARENT_CHARS: Final = 55


class Way(Generic[Event]):
    """``publish`` hands committed events to the listeners; ``body`` gives an event's bytes, ``now`` seconds since 1970 and
    ``monotonic`` seconds that never go back."""

    def __init__(
        self,
        publish: Callable[[Sequence[Event]], None],
        body: Callable[[Event], bytes],
        stages: Stages,
        tracing: Tracing,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._publish = publish
        self._body = body
        self._stages = stages
        self._tracing = tracing
        self._now = now
        self._monotonic = monotonic
        self._committed_s: float | None = None
        self._published_s: float | None = None
        self._turn_s = 0.0

    def committed(self, _news: object) -> None:
        """Something was committed. Register it before the follower's own wake-up."""
        if self._committed_s is None:
            self._committed_s = self._monotonic()

    def publish(self, events: Sequence[Event]) -> None:
        """In the follower's place: publish, and note how long the events waited for it."""
        began_s, self._committed_s = self._committed_s, None
        self._publish(events)
        ended_s = self._monotonic()
        if began_s is not None:
            self._stages.observe(Stage.FOLLOW, ended_s - began_s, len(events))
            if self._tracing.on:
                self._trace(PUBLISHED, [self._body(event) for event in events], ended_s - began_s)
        if self._published_s is None:
            self._published_s = ended_s

    def turn_begins(self, listeners: int) -> None:
        """The loop turn that serves ``listeners`` connections begins."""
        self._turn_s = self._monotonic()
        if self._published_s is not None:
            self._stages.observe(Stage.ROUTE, self._turn_s - self._published_s, listeners)

    def turn_ends(self, listeners: int) -> None:
        """All of them were served."""
        if self._published_s is not None:
            self._published_s = None
            self._stages.observe(Stage.WRITE, self._monotonic() - self._turn_s, listeners)

    def wrote(self, frames: Sequence[bytes]) -> None:
        """These went into one socket. Only called while somebody listens to traces."""
        self._trace(WRITTEN, [frame for frame in frames if _MARK in frame], self._monotonic() - self._turn_s)

    @property
    def traced(self) -> bool:
        """Whether `wrote` is wanted."""
        return self._tracing.on

    def _trace(self, name: str, bodies: Sequence[bytes], took_s: float) -> None:
        ended_s = self._now()
        for body in bodies:
            start = body.find(_MARK) + len(_MARK)
            traceparent = body[start : start + _TRACEPARENT_CHARS].decode("ascii", "replace")
            self._tracing.past(name, traceparent, ended_s - took_s, ended_s)
