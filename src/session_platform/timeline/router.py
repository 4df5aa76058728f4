"""From the log to those who listen: events go into the windows, then each listener of their timeline is woken.

Everything here runs on the event loop and awaits nothing. A listener is woken, not handed events: it reads from its position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from session_platform.contract import SealedEphemeral
from session_platform.store.port import StoredEvent
from session_platform.timeline.window import Windows


class Listener(Protocol):
    """A connection, as the router sees it. It must not raise and must not take long."""

    def wake(self, timeline: str, /) -> None:
        """Something was published; may be called without anything new."""
        ...

    def passing(self, timeline: str, event: SealedEphemeral, /) -> None:
        """An unnumbered event goes by; whoever does not take it now has missed it."""
        ...


class Router:
    """Who listens to which timeline of this process."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._listeners: dict[str, dict[Listener, None]] = {}

    def publish(self, events: Sequence[StoredEvent]) -> None:
        """Take committed events, in the order of the log. Each listener is woken once a timeline, also for what its window had
        (a window that was primed is ahead of the log, not of its readers)."""
        for event in events:
            self._windows.append(event)
        for timeline in dict.fromkeys(event.timeline for event in events):
            for listener in tuple(self._listeners.get(timeline, ())):
                listener.wake(timeline)

    def ephemeral(self, events: Sequence[SealedEphemeral]) -> None:
        """Let unnumbered events pass by whoever listens to their timelines."""
        for event in events:
            for listener in tuple(self._listeners.get(event.timeline, ())):
                listener.passing(event.timeline, event)

    def listen(self, timeline: str, listener: Listener) -> None:
        """Wake this listener from now on. Idempotent. Listen before `History.start`, and before the first `Feed.pull`."""
        listeners = self._listeners.get(timeline)
        if listeners is None:
            listeners = self._listeners[timeline] = {}
            self._windows.hold(timeline)
        listeners[listener] = None

    def unlisten(self, timeline: str, listener: Listener) -> None:
        """Wake it no more. Idempotent."""
        listeners = self._listeners.get(timeline)
        if listeners is None or listener not in listeners:
            return
        del listeners[listener]
        if not listeners:
            del self._listeners[timeline]
            self._windows.release(timeline)
