"""Following the outbox: every committed event, once, in the order of the log.

Events are read by id, above the last one seen; the store shows none below which another could still appear. A commit of this
process only wakes the follower; a wake that was lost, and the commits of other processes, cost a rest (`Pace`), never an event.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from session_platform.contract import SealedEphemeral
from session_platform.errors import Unavailable
from session_platform.log.pace import Pace
from session_platform.store import Reader, Store, StoredEvent, outbox

_PAGE_EVENTS: Final = 256
_LOOK_EVERY_S: Final = 1.0
_FIRST_BACK_OFF_S: Final = 0.05
_LAST_BACK_OFF_S: Final = 2.0
_EPHEMERAL_MAX: Final = 10_000
"""Unnumbered events that wait for the durable ones before them; above it the oldest are dropped: they are best effort."""


class Ahead(Protocol):
    """What must be known before events are: ``read`` in the snapshot of each page of events, from a thread of the store, and
    what it gave handed to ``take``, on the event loop, before that page is published."""

    def read(self, reader: Reader, /) -> Any: ...

    def take(self, found: Any, /) -> None: ...


class Follower:
    """Hands events to ``publish`` and unnumbered ones to ``ephemeral``, both called on the event loop; whatever they raise ends
    `run`. Await `start` before anything that reads timelines is served, then keep `run` running. Give it a `Pace` of its
    own where several processes share the store."""

    def __init__(
        self,
        store: Store,
        publish: Callable[[Sequence[StoredEvent]], None],
        ephemeral: Callable[[Sequence[SealedEphemeral]], None],
        *,
        ahead: Ahead | None = None,
        look_every_s: float | Pace = _LOOK_EVERY_S,
        first_back_off_s: float = _FIRST_BACK_OFF_S,
    ) -> None:
        self._store = store
        self._ahead = ahead
        self._publish = publish
        self._ephemeral = ephemeral
        self._pace = look_every_s if isinstance(look_every_s, Pace) else Pace(look_every_s)
        self._first_back_off_s = first_back_off_s
        self._last_id: int | None = None
        self._failures = 0
        self._woken = asyncio.Event()
        self._passing: deque[SealedEphemeral] = deque(maxlen=_EPHEMERAL_MAX)
        store.on_commit(self._wake)

    async def start(self) -> None:
        """Stand at the outbox's end: everything committed from now on will be published. Raises `Unavailable`."""
        self._last_id = await self._store.read(outbox.last_id)

    async def run(self) -> None:
        """Follow until cancelled; starts by itself when `start` was not awaited. Survives `Unavailable`: it goes on where it
        was, only unnumbered events of that moment are dropped."""
        woken = True
        while True:
            self._woken.clear()
            passing = tuple(self._passing)
            self._passing.clear()
            try:
                found = await self._catch_up()
            except Unavailable:
                await self._back_off()
                continue
            self._failures = 0
            await self._pass_by(passing)
            woken = await self._wait(self._pace.rest_s(busy=found or woken))

    def trouble(self) -> str | None:
        """None while events are being followed; otherwise one sentence for ``/readyz``."""
        if self._failures:
            return "The log cannot be read; new events reach nobody until it can."
        return "The log is not being followed yet." if self._last_id is None else None

    def _wake(self, ephemeral: Sequence[SealedEphemeral]) -> None:
        self._passing.extend(ephemeral)
        self._woken.set()

    async def _catch_up(self) -> bool:
        """Whether there was anything."""
        if self._last_id is None:
            await self.start()
        found, full = False, True
        while full:
            events, ahead = await self._store.read(self._next_page)
            if self._ahead is not None:
                self._ahead.take(ahead)
            if events:
                self._publish(events)
                self._last_id, found = events[-1].id, True
            full = outbox.is_full(events, _PAGE_EVENTS)
        return found

    def _next_page(self, reader: Reader) -> tuple[list[StoredEvent], Any]:
        ahead = None if self._ahead is None else self._ahead.read(reader)
        return outbox.after(reader, self._last_id or 0, _PAGE_EVENTS), ahead

    async def _pass_by(self, events: Sequence[SealedEphemeral]) -> None:
        """Unnumbered events come after the durable ones of their commits; the loop turn between lets whoever was woken by those
        read them first."""
        if events:
            await asyncio.sleep(0)
            self._ephemeral(events)

    async def _wait(self, rest_s: float) -> bool:
        """Whether a commit ended the rest."""
        try:
            async with asyncio.timeout(rest_s):
                return await self._woken.wait()
        except TimeoutError:
            return False

    async def _back_off(self) -> None:
        self._failures += 1
        await asyncio.sleep(min(self._first_back_off_s * 2 ** min(self._failures - 1, 16), _LAST_BACK_OFF_S))
