"""What a client tells of itself: ``state``, ``reset``, ``flags`` and ``error``, to its handlers in the order of happening."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from digital_session._handlers import Handler, Handlers, Registration, Remove
from digital_session._tasks import Tasks

NAMES = ("state", "reset", "flags", "error")
# A handler this far behind misses the oldest: the newest state is the one that matters.
WAITING_MAX = 1000


class Notices:
    """Handlers of one client and what waits for them."""

    def __init__(self, tasks: Tasks, logger: logging.Logger | None = None) -> None:
        self._tasks = tasks
        self._log = logger or logging.getLogger("digital_session")
        self._handlers = Handlers()
        self._waiting: deque[tuple[Registration, tuple[Any, ...]]] = deque(maxlen=WAITING_MAX)
        self._running: asyncio.Task[None] | None = None

    def on(self, name: str, handler: Handler) -> Remove:
        """Call ``handler`` for each notice of this name. Raises ValueError for a name that is none."""
        if name not in NAMES:
            raise ValueError(f"A client tells of {', '.join(NAMES)}; session.on and sr.on tell of events.")
        return self._handlers.add(Registration(name, handler))

    def announce(self, name: str, *arguments: Any) -> None:
        """Something happened. An error that nobody listens for is logged: its type alone, since its text may be health data."""
        listening = [registration for registration in self._handlers if registration.pattern == name]
        if not listening and name == "error":
            self._log.error("unhandled %s; client.on('error', …) would be told", type(arguments[0]).__name__)
        self._waiting.extend((registration, arguments) for registration in listening)
        if self._waiting and (self._running is None or self._running.done()):
            self._running = self._tasks.spawn(self._run())

    async def _run(self) -> None:
        while self._waiting:
            registration, arguments = self._waiting.popleft()
            try:
                if registration.active:
                    await registration.call(*arguments)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self._log.error("a handler of %r raised CancelledError", registration.pattern)
            except Exception as error:  # noqa: BLE001 - whatever an application's handler raises
                self._log.error("a handler of %r raised %s", registration.pattern, type(error).__name__)
