"""What changed about rights, as this process knows it: the durable rows, read on by number.

Law: *an event is not to be seen in this process before the changes of rights that were committed before it are.* Whoever hands
events on reads these rows in the same snapshot as the events (`read`) and takes them in first (`take`; the log's follower
does), or looks behind its own read (`look`; a replay does). So a listener can stop a stream at the number that a change names.

Cost: one read of two primary-key ranges a second and a process, O(changes) whatever the number of connections; the follower's
share is the same two ranges a page of events, about 5 µs.

Fails closed: without a successful read for `UNREADABLE_MAX_S`, ``fresh`` is false and the listeners are told.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, NamedTuple, Protocol

from session_platform.access.identity import Identity
from session_platform.access.relations import RightChange, changes_after, last_change
from session_platform.access.revocations import Revocation, Revoked, revocations_after
from session_platform.clock import Clock
from session_platform.errors import Unavailable
from session_platform.store import Reader, Store

LOOK_EVERY_S: Final = 1.0
LOOK_TIMEOUT_S: Final = 2.0
RENEW_AFTER_S: Final = 1.5
"""How old what is known may be when a token is judged: with the commit and the read below the two seconds of the contract."""
UNREADABLE_MAX_S: Final = 10.0


class Changes(NamedTuple):
    """What one read found, in order of number; ``last_number`` is that of the newest right change there is. The first read of a
    process finds every revocation and no right change: it only learns where those stand."""

    changes: tuple[RightChange, ...]
    revocations: tuple[Revocation, ...]
    last_number: int


class Listener(Protocol):
    """Who acts on changes; called on the event loop, must not raise and must not await."""

    def rights_changed(self, changes: Changes, /) -> None:
        """These were committed; nothing numbered above a change's ``seq`` was seen in this process so far."""
        ...

    def rights_unknown(self) -> None:
        """The rows could not be read for too long; called each second while that is so."""
        ...


class RightsWatch:
    """Await `look` before anything is served, then keep `run` running. All but `read` belong on the event loop."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._revoked = Revoked()
        self._listeners: list[Listener] = []
        self._known_at: float | None = None
        self._last_revocation = 0
        self.last_number: int | None = None

    def listen(self, listener: Listener) -> None:
        """Tell this one from now on."""
        self._listeners.append(listener)

    # ------------------------------------------------------------------------------------------------------------ what is known

    @property
    def fresh(self) -> bool:
        """Whether the rows could be read within the last `UNREADABLE_MAX_S`."""
        return self._known_at is not None and self._clock.monotonic() - self._known_at < UNREADABLE_MAX_S

    def covers(self, identity: Identity) -> bool:
        """Whether the token behind this identity is revoked, as far as is known."""
        return self._revoked.covers(identity)

    def trouble(self) -> str | None:
        """None while what is known is fresh; otherwise one sentence for ``/readyz``."""
        return None if self.fresh else "Changes of rights cannot be read; staff are not let in until they can."

    # ------------------------------------------------------------------------------------------------------------------ reading

    def read(self, reader: Reader) -> Changes:
        """What is new in this snapshot; from any thread."""
        after = self.last_number
        changes = () if after is None else tuple(changes_after(reader, after))
        last = changes[-1].number if changes else after
        return Changes(
            changes, tuple(revocations_after(reader, self._last_revocation)), last_change(reader) if last is None else last
        )

    def take(self, found: Changes) -> None:
        """Take in what `read` found. What another read brought already is passed over."""
        self._known_at = self._clock.monotonic()
        after = found.last_number if self.last_number is None else self.last_number
        new = Changes(
            tuple([each for each in found.changes if each.number > after]),
            tuple([each for each in found.revocations if each.number > self._last_revocation]),
            max(after, found.last_number),
        )
        self.last_number = new.last_number
        if not new.changes and not new.revocations:
            return
        if new.revocations:
            self._last_revocation = new.revocations[-1].number
            for each in new.revocations:
                self._revoked.add(each)
        for listener in self._listeners:
            listener.rights_changed(new)

    async def look(self) -> None:
        """Read and take in what is committed now. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                found = await self._store.read(self.read)
        except TimeoutError:
            raise Unavailable from None
        self.take(found)

    async def renew(self) -> None:
        """`look`, unless what is known is younger than `RENEW_AFTER_S`; raises nothing: ``fresh`` says whether it helped."""
        if self._known_at is None or self._clock.monotonic() - self._known_at >= RENEW_AFTER_S:
            await self._try()

    async def run(self) -> None:
        """Look each second until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(LOOK_EVERY_S)

    async def round(self) -> None:
        """Look, and tell the listeners when what is known has become too old."""
        await self._try()
        if not self.fresh:
            for listener in self._listeners:
                listener.rights_unknown()

    async def _try(self) -> None:
        with contextlib.suppress(Unavailable):
            await self.look()
