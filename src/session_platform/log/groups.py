"""Consumer groups in the process that owns the outbox: each hears every committed event, in order, and each event takes effect
once, whenever the process dies.

A group has a durable position in the log. It moves in the transaction of the effects, together with the group's inbox: what a
handler wrote and the note that it did are one commit. A commit only wakes a group; a wake that was lost costs a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

import structlog

from session_platform.contract import SealedEphemeral
from session_platform.errors import Conflict, Unavailable, kind_and_place
from session_platform.log.handling import Attempt, Page, Verdict, verdict
from session_platform.log.pace import Pace
from session_platform.store import Reader, Store, StoredEvent, Tx, inbox, outbox, parked
from session_platform.store.inbox import Standing

PAGE_EVENTS: Final = 64
"""Events of one transaction: enough to share its sync, few enough not to hold up the commands of others for long."""
PAGE_MAX_BYTES: Final = 1024 * 1024
LOOK_EVERY_S: Final = 1.0
FIRST_BACK_OFF_S: Final = 0.05
LAST_BACK_OFF_S: Final = 2.0

Handler = Callable[[Tx, StoredEvent], None]
"""Takes one event of a timeline, as it rides there, into the transaction; it may emit on that timeline. What it raises, but for
`Unavailable`, is the event's failure."""

_log = structlog.get_logger(__name__)


class Redriven(NamedTuple):
    """How many parked events were handled, and how many still wait; ``error`` is what the next one failed with."""

    handled: int
    waiting: int
    error: str | None


class _Moved(Exception):
    """The group is elsewhere than this page was read for: another process of it, or a replay."""


class _Place:
    """Which event of an attempt is in the handler's hands; None: none is."""

    index: int | None = None


class _Known(NamedTuple):
    """Where a group is, what comes next, and how many timelines it holds back, in one snapshot."""

    standing: Standing
    events: Sequence[StoredEvent]
    holding: int


class Group:
    """One group: ``name`` is its place in the store for ever. ``replayable``: its handler has no effect outside the store, and
    hearing an event again does no harm. Keep `run` running."""

    def __init__(
        self,
        store: Store,
        name: str,
        handler: Handler,
        *,
        replayable: bool,
        look_every_s: float | Pace = LOOK_EVERY_S,
        first_back_off_s: float = FIRST_BACK_OFF_S,
    ) -> None:
        self.name = name
        self._store = store
        self._handler = handler
        self._replayable = replayable
        self._pace = look_every_s if isinstance(look_every_s, Pace) else Pace(look_every_s)
        self._first_back_off_s = first_back_off_s
        self._failures = 0
        self._holding = 0
        # Named like a timeline, so that a replay and a page of another process never move the group at the same time.
        self._lock = f"group:{name}"
        self._woken = asyncio.Event()
        store.on_commit(self._wake)

    async def run(self) -> None:
        """Handle events until cancelled. Survives `Unavailable`: it goes on where it was."""
        woken = True
        while True:
            self._woken.clear()
            try:
                found = await self.catch_up()
            except Unavailable:
                await self._back_off()
                continue
            self._failures = 0
            rest_s, woken = self._pace.rest_s(busy=found or woken), False
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    woken = await self._woken.wait()

    async def catch_up(self) -> bool:
        """Handle or park everything that is committed; whether there was anything. Raises `Unavailable`."""
        found, full = False, True
        while full:
            known = await self._store.read(self._look)
            self._holding = known.holding
            found = found or bool(known.events)
            full = outbox.is_full(known.events, PAGE_EVENTS, max_bytes=PAGE_MAX_BYTES)
            try:
                await self._work_off(known)
            except _Moved:
                full = True
        return found

    def trouble(self) -> str | None:
        """None while events are being handled; otherwise one sentence for ``/readyz``."""
        return f"The group {self.name} cannot read its events; it goes on where it was when it can." if self._failures else None

    @property
    def holding(self) -> int:
        """How many timelines are held back, as of the last look."""
        return self._holding

    def note(self) -> str | None:
        """One sentence for the operator while the group holds back what it could not handle; None while it does not. It serves
        everybody else, so that is no reason not to be ready."""
        if not self._holding:
            return None
        whose = "a member" if self._holding == 1 else f"{self._holding} members"
        return f"The group {self.name} holds back the events of {whose} since one of them failed: redrive or skip it."

    # ----------------------------------------------------------------------------------------------------------- by operators

    async def redrive(self, timeline: str) -> Redriven:
        """Try what is parked of ``timeline`` again, in order, each in its own transaction, until one fails: it goes on holding
        its timeline back. Raises `Unavailable`."""
        handled = 0
        error = None
        while error is None:
            place = _Place()
            try:
                seq = await self._store.run(partial(self._redrive_first, timeline=timeline, place=place), timeline)
            except Unavailable:
                raise
            except Exception as raised:  # noqa: BLE001 - whatever a handler raises is its event's failure
                error = self._failure_of(place, raised)
                await self._store.run(partial(self._park_first, timeline=timeline, error=error), timeline)
            else:
                if seq is None:
                    break
                handled += 1
        return Redriven(handled, await self._store.read(lambda r: parked.waiting(r, self.name, timeline)), error)

    async def skip(self, timeline: str, seq: int) -> None:
        """Let the event that holds its timeline back never take effect in this group; `redrive` what waited behind it. Raises
        `Conflict` unless it is the first of those parked, and `Unavailable`."""

        def command(tx: Tx) -> None:
            if parked.first(tx, self.name, timeline) != seq:
                raise Conflict("This event is not the one that holds its timeline back.")
            parked.take(tx, self.name, timeline, seq)

        await self._store.run(command, timeline)

    async def replay(self) -> None:
        """Hear everything that is kept once more, from the beginning, as the next generation; what was parked is tried again
        with it. Raises `Conflict` for a group with effects outside, and `Unavailable`."""
        if not self._replayable:
            raise Conflict("This group has effects outside the store and is never replayed.")

        def command(tx: Tx) -> None:
            inbox.begin_again(tx, self.name)
            parked.forget(tx, self.name)

        await self._store.run(command, self._lock)
        self._woken.set()

    # ----------------------------------------------------------------------------------------------------------------- inside

    def _look(self, reader: Reader) -> _Known:
        standing = inbox.standing(reader, self.name)
        events = outbox.after(reader, standing.last_id, PAGE_EVENTS, max_bytes=PAGE_MAX_BYTES)
        return _Known(standing, events, parked.holding(reader, self.name))

    async def _work_off(self, known: _Known) -> None:
        page, standing = Page(known.events), known.standing
        while (attempt := page.next) is not None:
            place = _Place()
            command = partial(self._handle, attempt=attempt, expected=standing, place=place)
            try:
                standing = await self._store.run(command, self._lock, *sorted({event.timeline for event in attempt.events}))
            except (Unavailable, _Moved):
                raise
            except Exception as raised:  # noqa: BLE001 - whatever a handler raises is its event's failure
                error = self._failure_of(place, raised)
                assert place.index is not None
                page.failed(place.index, error)
            else:
                page.done()
                if attempt.error is not None:
                    self._holding += 1

    def _handle(self, tx: Tx, *, attempt: Attempt, expected: Standing, place: _Place) -> Standing:
        place.index = None
        if inbox.standing(tx, self.name) != expected:
            raise _Moved
        for index, event in enumerate(attempt.events):
            outcome = verdict(
                new=inbox.advance(tx, self.name, event.timeline, event.seq, expected.generation),
                waits_behind=parked.first(tx, self.name, event.timeline),
                error=attempt.error,
            )
            if outcome is Verdict.PARK:
                parked.park(tx, self.name, event.timeline, event.seq, attempt.error)
            elif outcome is Verdict.HANDLE:
                self._call(tx, event, place, index)
        reached = Standing(expected.generation, attempt.events[-1].id)
        inbox.stand(tx, self.name, reached)
        return reached

    def _redrive_first(self, tx: Tx, *, timeline: str, place: _Place) -> int | None:
        """Handle the first event that is parked; its number, None when there is none."""
        place.index = None
        seq = parked.first(tx, self.name, timeline)
        if seq is None:
            return None
        (event,) = outbox.page(tx, timeline, seq - 1, 1)
        self._call(tx, event, place, 0)
        parked.take(tx, self.name, timeline, seq)
        return seq

    def _park_first(self, tx: Tx, *, timeline: str, error: str) -> None:
        """Note what the first event that is parked failed with this time."""
        seq = parked.first(tx, self.name, timeline)
        if seq is not None:
            parked.park(tx, self.name, timeline, seq, error)

    def _call(self, tx: Tx, event: StoredEvent, place: _Place, index: int) -> None:
        place.index = index
        self._handler(tx, event)
        place.index = None

    def _failure_of(self, place: _Place, raised: Exception) -> str:
        """What an event failed with. Raises again what no handler raised."""
        if place.index is None:
            raise raised
        error = kind_and_place(raised)
        _log.error("group.event_failed", group=self.name, error=error)
        return error

    def _wake(self, _: Sequence[SealedEphemeral]) -> None:
        self._woken.set()

    async def _back_off(self) -> None:
        self._failures += 1
        await asyncio.sleep(min(self._first_back_off_s * 2 ** min(self._failures - 1, 16), LAST_BACK_OFF_S))


class Groups:
    """All groups of a process, each at its own pace."""

    def __init__(self, *groups: Group) -> None:
        self._groups = {group.name: group for group in groups}

    @property
    def names(self) -> tuple[str, ...]:
        """What retention must wait for."""
        return tuple(self._groups)

    def __getitem__(self, name: str) -> Group:
        return self._groups[name]

    async def run(self) -> None:
        """Keep all of them running until cancelled."""
        async with asyncio.TaskGroup() as running:
            for group in self._groups.values():
                running.create_task(group.run(), name=group.name)

    def trouble(self) -> str | None:
        """As `Group.trouble`, the first there is."""
        return next((trouble for group in self._groups.values() if (trouble := group.trouble())), None)

    def holding(self) -> dict[str, float]:
        """How many timelines each group holds back."""
        return {group.name: float(group.holding) for group in self._groups.values()}

    def notes(self) -> list[str]:
        """As `Group.note`, of all of them."""
        return [note for group in self._groups.values() if (note := group.note())]
