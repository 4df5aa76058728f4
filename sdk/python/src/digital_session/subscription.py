"""A subscription: events of one timeline, each once and in order, to handlers or to ``async for``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar, overload

import msgspec

from digital_session._handlers import Handler, Remove
from digital_session._stream import Stream
from digital_session.events import Envelope

EventT = TypeVar("EventT", bound=msgspec.Struct)


class Subscription:
    """Made by `DigitalSessionClient.subscribe`. Use either `on` or ``async for``.

    An event counts as handled, and is acknowledged, when its handlers have finished or when ``async for`` asks for the next.
    Events wait, a bounded number of them, until somebody listens. ``async with`` unsubscribes at its end.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    @property
    def selection(self) -> Mapping[str, Any]:
        """What it is about, as on the wire."""
        return self._stream.selection

    @property
    def cursor(self) -> str | None:
        """The position after the last event handled: keep it, and subscribe with it to go on from there."""
        return self._stream.cursor

    @overload
    def on(self, event: str, handler: Handler) -> Remove: ...

    @overload
    def on(self, event: type[EventT], handler: Callable[[EventT], Any] | Callable[[EventT, Envelope], Any]) -> Remove: ...

    def on(self, event: str | type, handler: Handler) -> Remove:
        """Call ``handler(event, envelope)`` for each event of this name (``task.assigned``, ``task.*``, ``*``) or type.

        A handler may take the event alone, and may be a coroutine function, which holds back only this subscription. Returns
        the function that takes the handler back.
        """
        return self._stream.on(event, handler)

    async def unsubscribe(self) -> None:
        """End it: no handler is called any more, ``async for`` ends."""
        self._stream.leave()

    def __aiter__(self) -> Subscription:
        self._stream.iterate()
        return self

    async def __anext__(self) -> Envelope:
        envelope = await self._stream.following()
        if envelope is None:
            raise StopAsyncIteration
        return envelope

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unsubscribe()
