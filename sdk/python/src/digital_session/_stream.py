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
from digital_session.errors import ClientClosedError, DigitalSessionError, ForbiddenError
from digital_session.events import Envelope, Reset

Item = Envelope | CaughtUp | Reset
Keep = Callable[[str], None]
UNSUBSCRIBED = "unsubscribed"


class Observer(NamedTuple):
    """Is told of everything the moment it arrives, before handlers and without hydration."""

    observe: Callable[[Item], None]
    ended: Callable[[DigitalSessionError | None], None]


class Stream:
    """Events wait here, as many as ``track`` lets in, until somebody listens; then one task calls the handlers in order.

    ``keep`` is told each position up to which everything was handled that the platform sent of this timeline.
    """

    def __init__(
        self,
        engine: Engine,
        track: Track,
        *,
        keep: Keep | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.selection: Mapping[str, Any] = track.selection
        self._engine = engine
        self._track = track
        self._keep = keep
        self._observer = observer
        self._handlers = Handlers()
        self._farewells = Handlers()
        self._known_through: int | None = None
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._decided = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._awaited = False
        self._accepted = False
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

    @property
    def known(self) -> int | None:
        """What `known_through` was told, as long as it holds."""
        return self._known_through

    @property
    def heard(self) -> bool:
        """Somebody listens."""
        return self._iterated or self._pump is not None

    def on(self, event: str | type, handler: Handler, where: Where | None = None) -> Remove:
        """Call ``handler`` for the events of this name or type of which ``where`` is true.

        ``unsubscribed`` is no event: its handlers are told the reason, and the error, when the platform ends the subscription.
        """
        if event == UNSUBSCRIBED:
            return self._farewells.add(Registration(UNSUBSCRIBED, handler))
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
        """Wait until the platform has accepted it. Raises what it refused it with.

        Who gives up waiting before anybody listens gives it back: what nobody handles would hold acknowledgements back.
        """
        self._awaited = True
        try:
            await self._decided.wait()
        except asyncio.CancelledError:
            if not self.heard:
                self.leave()
            raise
        if not self._accepted:
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
            if not self._items or self._items[0] is not item:
                continue
            self._items.popleft()
            if isinstance(whole, Envelope):
                self._given = True
                return whole
            self._settle(whole)
        await self._farewell()
        error = self._take_error()
        if error is not None:
            raise error
        return None

    def known_through(self, seq: int) -> None:
        """State was read that says all that events up to number ``seq`` say: no handler is called for them any more."""
        self._known_through = max(seq, self._known_through or 0)

    # What the engine tells it.

    @property
    def behind(self) -> bool:
        """Somebody listens and the replay is not over."""
        return self._replaying and self.heard

    def started(self) -> None:
        """Accepted; a replay begins."""
        self._replaying = self._accepted = True
        self._decided.set()

    def acknowledged(self, timeline: str, cursor: str) -> None:
        """Everybody on ``timeline`` has handled everything up to ``cursor``."""
        if self._keep is not None and timeline == self._track.timeline:
            self._keep(cursor)

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
        told = self._iterated or (self._awaited and not self._decided.is_set()) or self._says_farewell(error)
        if error is not None and error is not self._engine.core.error and not told:
            self._engine.report(error)
        self._over, self._error = True, error
        if error is None:
            self._items.clear()
        self._arrived.set()
        self._decided.set()
        if self._pump is None and not self._iterated:
            self._engine.tasks.spawn(self._farewell())
        if self._observer is not None:
            self._observer.ended(error)

    def _says_farewell(self, error: DigitalSessionError | None) -> bool:
        return isinstance(error, ForbiddenError) and error.reason is not None and any(self._farewells)

    async def _farewell(self) -> None:
        error = self._error
        if isinstance(error, ForbiddenError) and error.reason is not None:
            for registration in self._farewells:
                await self._engine.call(registration, error.reason, error)

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
        await self._farewell()

    async def _handle(self, envelope: Envelope) -> None:
        wanted = [registration for registration in self._handlers if registration.wants(envelope)]
        if not wanted or self._is_known(envelope):
            return
        # An observer decides for itself what it needs to be whole.
        whole = envelope if self._observer is not None else await self._engine.hydrator.whole(envelope)
        for registration in wanted:
            # A handler, or waiting for what is referred to, may have taken the time in which the state was read.
            if not self._is_known(envelope):
                await self._engine.call(registration, whole.get("data"), whole)

    def _is_known(self, envelope: Envelope) -> bool:
        known, key = self._known_through, envelope.key
        return known is not None and key is not None and key.seq <= known

    def _settle(self, item: CaughtUp | Reset) -> None:
        if isinstance(item, Reset):
            # Its numbers may begin anew.
            self._known_through = None
            self._engine.notices.announce("reset", item)
        else:
            self._replaying = False
            self._engine.look()
