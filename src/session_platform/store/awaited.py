"""The asyncio side of a store whose commands and queries run in threads: it awaits what they answer, and closes once."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from session_platform.contract import SealedEphemeral
from session_platform.errors import Unavailable
from session_platform.store.delivery import Delivery
from session_platform.store.port import Reader, Tx

R = TypeVar("R")


class AwaitedStore(ABC):
    """A `Store` for the event loop that ``delivery`` brings answers to. An adapter says what its threads are given, what
    troubles it and how it stops."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[None] | None = None

    @abstractmethod
    def _submit_command(
        self, command: Callable[[Tx], Any], timelines: tuple[str, ...], traceparent: str | None, future: asyncio.Future[Any]
    ) -> None:
        """Have a thread run it and deliver its answer to ``future``. Raises `Unavailable`."""

    @abstractmethod
    def _submit_query(self, query: Callable[[Reader], Any], future: asyncio.Future[Any]) -> None:
        """The same for a query."""

    @abstractmethod
    def _stop(self) -> None:
        """Finish what was submitted and release everything; blocks, in a thread of its own."""

    @abstractmethod
    def trouble(self) -> str | None: ...

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        self._refuse_when_closing()
        future: asyncio.Future[R] = self._loop.create_future()
        self._submit_command(command, timelines, traceparent, future)
        return await future

    async def read(self, query: Callable[[Reader], R], /) -> R:
        self._refuse_when_closing()
        future: asyncio.Future[R] = self._loop.create_future()
        self._submit_query(query, future)
        return await future

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        self._delivery.on_commit(callback)

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(asyncio.to_thread(self._stop))
        await asyncio.shield(self._closing)

    def _refuse_when_closing(self) -> None:
        if self._closing is not None:
            raise Unavailable
