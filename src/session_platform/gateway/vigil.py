"""Rights that end, brought to the connections of this process: which of them a change concerns, and the re-checks it causes.

A change of rights costs the staff who listen to its member's timeline (one entry of an index), and one read for all that are in
doubt at that moment; only one that concerns every member (a panel of all) goes through all staff's subscriptions. A revocation,
which an operator makes, costs one pass over the connections. With neither, a second costs nothing here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

from session_platform.access import Changes, RightChange, StaffIdentity
from session_platform.access.relations import EVERY_MEMBER
from session_platform.access.revocations import Revoked as Taken
from session_platform.errors import Revoked, Unavailable
from session_platform.gateway.desk import Desk
from session_platform.gateway.effects import Recheck
from session_platform.gateway.transport import Link

_RECHECKS_A_READ: Final = 200
"""So many take about 20 ms of one of the store's readers."""


class Vigil:
    """`access.watch.Listener`. ``connected`` are the links that have an identity; ``run`` starts a task that somebody owns."""

    def __init__(
        self,
        desk: Desk,
        connected: Callable[[], Iterable[Link]],
        run: Callable[[Coroutine[Any, Any, None]], None],
        now: Callable[[], float],
    ) -> None:
        self._desk = desk
        self._connected = connected
        self._run = run
        self._now = now
        self._listening: dict[str, dict[Link, str]] = {}
        self._doubts: dict[tuple[Link, str], Recheck] = {}
        self._looking = False
        desk.watch.listen(self)

    # --------------------------------------------------------------------------------------------------------- who is concerned

    def begin(self, link: Link, timeline: str) -> None:
        """From now on changes of rights to ``timeline`` concern this link, if it is staff's. What was read of them since its
        subscription was permitted is made up for."""
        identity = link.connection.identity
        if isinstance(identity, StaffIdentity):
            self._listening.setdefault(timeline, {})[link] = identity.staff_id
            number = self._desk.watch.last_number or 0
            link.do(partial(link.connection.right_changed, timeline, number, None, self._now()))

    def end(self, link: Link, timeline: str) -> None:
        """They do so no more. Idempotent."""
        listening = self._listening.get(timeline)
        if listening is not None and listening.pop(link, None) is not None and not listening:
            del self._listening[timeline]

    # ------------------------------------------------------------------------------------------------------------ what happened

    def rights_changed(self, changes: Changes) -> None:
        for change in changes.changes:
            for timeline, link in self._concerned(change):
                link.do(partial(link.connection.right_changed, timeline, change.number, change.seq, self._now()))
        if changes.revocations:
            taken = Taken(changes.revocations)
            for link in list(self._connected()):
                identity = link.connection.identity
                if identity is not None and taken.closes(identity):
                    link.do(partial(link.connection.end, Revoked()))

    def rights_unknown(self) -> None:
        for link in {link for listening in self._listening.values() for link in listening}:
            link.do(partial(link.connection.rights_unknown, self._now()))

    def _concerned(self, change: RightChange) -> list[tuple[str, Link]]:
        timelines = list(self._listening) if change.member_id == EVERY_MEMBER else [change.member_id]
        return [
            (timeline, link)
            for timeline in timelines
            for link, staff_id in self._listening.get(timeline, _NOBODY).items()
            if change.concerns(staff_id, timeline)
        ]

    # ---------------------------------------------------------------------------------------------------------------- looking

    def recheck(self, link: Link, recheck: Recheck) -> None:
        """Look soon whether this right still holds, together with whatever else is in doubt by then."""
        self._doubts[link, recheck.timeline] = recheck
        if not self._looking:
            self._looking = True
            self._run(self._look())

    async def _look(self) -> None:
        """One read after another while there is something to look at."""
        try:
            await asyncio.sleep(0)  # everything of this turn of the loop
            while self._doubts:
                batch = list(islice(self._doubts.items(), _RECHECKS_A_READ))
                for key, _ in batch:
                    del self._doubts[key]
                await self._look_at([(link, recheck) for (link, _), recheck in batch])
        finally:
            self._looking = False

    async def _look_at(self, doubts: list[tuple[Link, Recheck]]) -> None:
        try:
            answers = await self._desk.recheck([recheck for _, recheck in doubts])
        except Unavailable:
            for link, recheck in doubts:
                link.do(partial(link.connection.recheck_failed, recheck, self._now()))
            return
        except Exception as error:  # noqa: BLE001 (what cannot be re-checked must not go on)
            for link, _ in doubts:
                link.failed(error)
            return
        for (link, _), answer in zip(doubts, answers, strict=True):
            link.do(partial(link.connection.rechecked, answer, self._now()))


_NOBODY: Final[Mapping[Link, str]] = {}
