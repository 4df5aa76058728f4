"""One subscription's events on their way to handlers or to ``async for``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from digital_session._effects import CaughtUp
from digital_session._engine import Engine
from digital_session._handlers import Handler, Handlers, Registration, Remove, Where
from digital_session._track import Track
from digital_session.errors import ClientClosedError, DigitalSessionError
from digital_session.events import Envelope, Reset

Item = Envelope | CaughtUp | Reset


class Observer(NamedTuple):
    """Is told of everything the moment it arrives, before handlers and without hydration."""

    observe: Callable[[Item], None]
    ended: Callable[[DigitalSessionError | None], None]


class Stream:
    """Events wait here, as many as `Track` lets in, until somebody listens; then one task calls the handlers in order."""

    def __init__(
        self,
        engine: Engine,
        selection: Mapping[str, Any],
        *,
        cursor: str | None = None,
        since: str | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.selection = selection
        self._engine = engine
        self._track = Track(selection, cursor=cursor, since=since)
        self._observer = observer
        self._handlers = Handlers()
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._decided = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._awaited = False
        self._iterated = False
        self._given = False
        self._replaying = True
        self._over = False
        self._error: DigitalSessionError | None = None
        self._local = engine.enroll(self._track, self)

    @property
    def cursor(self) -> str | None:
        """The position after the last event handled."""
        return self._track.cursor

    def on(self, event: str | type, handler: Handler, where: Where | None = None) -> Remove:
        """Call ``handler`` for the events of this name or type of which ``where`` is true."""
        if self._iterated:
            raise RuntimeError("This subscription is read with async for: make another one for handlers.")
        remove = self._handlers.add(Registration(event, handler, where))
        if self._pump is None:
            self._pump = self._engine.tasks.spawn(self._run())
        return remove

    def leave(self) -> None:
        """Unsubscribe: no handler is called any more, iteration ends."""
        self._engine.leave(self._local)

    async def confirmed(self) -> None:
        """Wait until the platform has accepted it. Raises what it refused it with."""
        self._awaited = True
        await self._decided.wait()
        if self._over:
            raise self._take_error() or ClientClosedError("The subscription was ended before it began.")

    def iterate(self) -> None:
        """From now on `following` is how it is read."""
        if self._pump is not None:
            raise RuntimeError("This subscription has handlers: make another one for async for.")
        self._iterated = True

    async def following(self) -> Envelope | None:
        """The next event; the one before counts as handled. None at the end, unless an error made the end."""
        if self._given:
            self._given = False
            self._engine.handled(self._local)
        while await self._another():
            item = self._items[0]
            # Taken only once it is whole: a cancelled wait loses nothing.
            whole = await self._engine.hydrator.whole(item) if isinstance(item, Envelope) else item
            if not self._items:
                continue
            self._items.popleft()
            if isinstance(whole, Envelope):
                self._given = True
                return whole
            self._settle(whole)
        error = self._take_error()
        if error is not None:
            raise error
        return None

    # What the engine tells it.

    @property
    def behind(self) -> bool:
        """Somebody listens and the replay is not over."""
        return self._replaying and (self._iterated or self._pump is not None)

    def started(self) -> None:
        """Accepted; a replay begins."""
        self._replaying = True
        self._decided.set()

    def interrupted(self) -> None:
        """The connection is gone: a replay will follow."""
        self._replaying = True

    def deliver(self, item: Item) -> None:
        """The next thing."""
        if self._observer is not None:
            self._observer.observe(item)
        self._items.append(item)
        self._arrived.set()

    def finish(self, error: DigitalSessionError | None) -> None:
        """Nothing more comes; what waits is still handled, unless the end was wished."""
        raised = self._iterated or (self._awaited and not self._decided.is_set())
        if error is not None and error is not self._engine.core.error and not raised:
            self._engine.report(error)
        self._over, self._error = True, error
        if error is None:
            self._items.clear()
        self._arrived.set()
        self._decided.set()
        if self._observer is not None:
            self._observer.ended(error)

    def _take_error(self) -> DigitalSessionError | None:
        error, self._error = self._error, None
        return error

    async def _another(self) -> bool:
        while not self._items:
            if self._over:
                return False
            self._arrived.clear()
            await self._arrived.wait()
        return True

    async def _run(self) -> None:
        while await self._another():
            item = self._items.popleft()
            if isinstance(item, Envelope):
                await self._handle(item)
                self._engine.handled(self._local)
            else:
                self._settle(item)

    async def _handle(self, envelope: Envelope) -> None:
        wanted = [registration for registration in self._handlers if registration.wants(envelope)]
        if not wanted:
            return
        # An observer decides for itself what it needs to be whole.
        whole = envelope if self._observer is not None else await self._engine.hydrator.whole(envelope)
        for registration in wanted:
            await self._engine.call(registration, whole.get("data"), whole)

    def _settle(self, item: CaughtUp | Reset) -> None:
        if isinstance(item, Reset):
            self._engine.notices.announce("reset", item)
        else:
            self._replaying = False
            self._engine.look()
