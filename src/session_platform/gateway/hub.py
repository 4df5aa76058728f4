"""All connections of this process: who is here, whose turn it is, what is being worked on, and how they all go home."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Coroutine, Sequence
from math import ceil, inf
from typing import Any, Final, NamedTuple, Protocol

from session_platform.access import StaffIdentity
from session_platform.errors import PlatformError, RateLimited, Replaced, Revoked, Unavailable
from session_platform.gateway.commands import Shared
from session_platform.gateway.desk import Desk
from session_platform.gateway.effects import Authenticate, Enter, Entered, FetchPage, KeepAlive, Locate, Outcome, Permit
from session_platform.gateway.limits import Limits
from session_platform.gateway.transport import Link
from session_platform.gateway.vigil import Vigil
from session_platform.gateway.websocket import Gate
from session_platform.timeline.history import ContinuityLost

_TURN_S: Final = 0.25
"""How exactly waits are kept: one timer of the process looks this often, and only at those whose time has come."""
DRAINS: Final = "draining"


class Counts(NamedTuple):
    """For metrics: open sockets, those that are connected, and their subscriptions."""

    connections: int
    connected: int
    subscriptions: int


class Turns(Protocol):
    """Who watches the turns in which connections are served, for measurements. It must not raise and must not take long."""

    @property
    def traced(self) -> bool:
        """Whether `wrote` is wanted."""
        ...

    def turn_begins(self, connections: int, /) -> None: ...

    def turn_ends(self, connections: int, /) -> None: ...

    def wrote(self, frames: Sequence[bytes], /) -> None:
        """These frames went into one socket."""
        ...


class _Unwatched:
    traced: Final = False

    def turn_begins(self, _connections: int, /) -> None:
        return

    def turn_ends(self, _connections: int, /) -> None:
        return

    def wrote(self, _frames: Sequence[bytes], /) -> None:
        return


class Wheel:
    """Which links are to be looked at when: one place each, in the slot of its time. No timer a connection, cheap to move."""

    def __init__(self, now: float) -> None:
        self._slots: dict[int, set[Link]] = {}
        self._turned_to = int(now / _TURN_S)

    def put(self, link: Link, at: float) -> None:
        """Look at this link at ``at``, or a little earlier when it was put there before."""
        if at == inf:
            self.remove(link)
            return
        slot = max(ceil(at / _TURN_S), self._turned_to + 1)
        if link.place is not None:
            if link.place <= slot:
                return
            self.remove(link)
        link.place = slot
        self._slots.setdefault(slot, set()).add(link)

    def remove(self, link: Link) -> None:
        if link.place is not None:
            slot = self._slots[link.place]
            slot.discard(link)
            if not slot:
                del self._slots[link.place]
            link.place = None

    def turn(self, now: float) -> list[Link]:
        """Those whose time has come; they have no place any more."""
        turned_to = int(now / _TURN_S)
        if turned_to - self._turned_to > len(self._slots):
            passed = [slot for slot in self._slots if slot <= turned_to]
        else:
            passed = [slot for slot in range(self._turned_to + 1, turned_to + 1) if slot in self._slots]
        self._turned_to = max(turned_to, self._turned_to)
        due = [link for slot in sorted(passed) for link in self._slots.pop(slot)]
        for link in due:
            link.place = None
        return due


class Hub:
    """The gateway of a process. Needs a running event loop once connections come."""

    def __init__(self, desk: Desk, gate: Gate, limits: Limits | None = None, turns: Turns | None = None) -> None:
        self.desk = desk
        self.turns = turns or _Unwatched()
        self.gate = gate
        self.shared = Shared(limits or Limits(), desk.windows, desk.codec)
        self._wheel = Wheel(desk.clock.monotonic())
        self._timer: asyncio.TimerHandle | None = None
        self._links: dict[Link, None] = {}
        self._entered: dict[str, Link] = {}
        self._subjects: Counter[str] = Counter()
        self._dirty: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.vigil = Vigil(desk, self._entered.values, self._run, self.now)
        self._draining = False
        self._all_gone = asyncio.Event()

    def now(self) -> float:
        """Seconds of the clock that all waits are measured with."""
        return self.desk.clock.monotonic()

    def protocol_class(self) -> type[asyncio.Protocol]:
        """What uvicorn takes as ``ws``: a class it makes a protocol of for every upgrade request."""
        hub = self

        class Upgraded(Link):
            __slots__ = ()

            def __init__(self, config: object, server_state: object, app_state: object) -> None:
                del config, server_state, app_state
                super().__init__(hub)

        return Upgraded

    def counts(self) -> Counts:
        subscriptions = sum(link.connection.subscriptions for link in self._links)
        return Counts(len(self._links), len(self._entered), subscriptions)

    # --------------------------------------------------------------------------------------------------------- comings, goings

    def came(self, link: Link) -> None:
        """The upgrade is done. Overload is refused here, where a browser can read why."""
        self._links[link] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TURN_S, self._turn)
        if self._draining:
            self._send_home(link)
        elif len(self._links) > self.shared.limits.connections:
            link.connection.end(RateLimited())

    def enter(self, link: Link, enter: Enter) -> Entered:
        """A connection has a subject now. Raises `RateLimited` when that one has too many, and `Revoked` when its token was
        taken back since it was verified."""
        if self.desk.watch.covers(enter.identity):
            raise Revoked
        subject = enter.identity.subject
        replaced = None if enter.replaces is None else self._entered.get(enter.replaces)
        if replaced is not None and replaced.subject == subject:
            self._leave(replaced)
            replaced.do(lambda: replaced.connection.end(Replaced()))
        if self._subjects[subject] >= self.shared.limits.connections_per_subject:
            raise RateLimited
        self._subjects[subject] += 1
        link.subject = subject
        link.connection_id = self.desk.ids.mint("conn", self.desk.clock.now())
        self._entered[link.connection_id] = link
        return Entered(link.connection_id)

    def left(self, link: Link) -> None:
        """The socket is gone."""
        self._leave(link)
        self._wheel.remove(link)
        for timeline in link.connection.timelines:
            self.desk.router.unlisten(timeline, link)
            self.vigil.end(link, timeline)
        self._links.pop(link, None)
        if not self._links:
            self._all_gone.set()

    def _leave(self, link: Link) -> None:
        if (
            link.connection_id is not None
            and self._entered.pop(link.connection_id, None) is not None
            and link.subject is not None
        ):
            self._subjects[link.subject] -= 1
            if not self._subjects[link.subject]:
                del self._subjects[link.subject]

    # ---------------------------------------------------------------------------------------------------------- turns and time

    def soon(self, link: Link) -> None:
        """Flush this link once everything of this loop turn was taken in."""
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self._flush)
        self._dirty.append(link)

    def place(self, link: Link, at: float) -> None:
        """Look at this link at ``at``."""
        self._wheel.put(link, at)

    def tick(self) -> None:
        """Look at those whose time has come."""
        now = self.now()
        for link in self._wheel.turn(now):
            link.tick(now)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, []
        now = self.now()
        self.turns.turn_begins(len(dirty))
        for link in dirty:
            link.flush(now)
        self.turns.turn_ends(len(dirty))

    def _turn(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TURN_S, self._turn) if self._links else None
        self.tick()

    # -------------------------------------------------------------------------------------------------------- asynchronous work

    def ask(self, link: Link, asked: Authenticate | Permit | Locate | KeepAlive) -> None:
        """Have the desk do it; the link gets the outcome."""
        self._run(self._answer(link, asked))

    def fetch(self, link: Link, fetch: FetchPage) -> None:
        """Read a page of the history for this link."""
        self._run(self._fetch(link, fetch))

    async def _answer(self, link: Link, asked: Authenticate | Permit | Locate | KeepAlive) -> None:
        outcome: Outcome
        try:
            outcome = await self.desk.answer(asked)
        except PlatformError as problem:
            outcome = problem
        except Exception as error:  # noqa: BLE001 (one connection's fault is not another's)
            link.failed(error)
            return
        link.do(lambda: link.connection.resolve(outcome, self.now()))

    async def _fetch(self, link: Link, fetch: FetchPage) -> None:
        try:
            entries = await self.desk.page(fetch, self.shared.limits.page_events)
            if isinstance(link.connection.identity, StaffIdentity):
                await self.desk.watch.look()  # behind the page: no right that ended before it goes unnoticed
        except ContinuityLost as lost:
            head_seq, head_cursor = lost.head_seq, lost.head_cursor
            link.do(lambda: link.connection.prefix_lost(fetch, head_seq, head_cursor))
        except Unavailable:
            link.do(lambda: link.connection.page_failed(fetch, self.now()))
        except Exception as error:  # noqa: BLE001
            link.failed(error)
        else:
            link.do(lambda: link.connection.page(fetch, entries))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -------------------------------------------------------------------------------------------------------------------- drain

    async def drain(self, seconds: float) -> None:
        """Send everybody home, over at most ``seconds``, and wait until they have gone. Who comes now is sent home at once."""
        self._draining = True
        links = list(self._links)
        per_s = max(self.shared.limits.goodbyes_per_s, len(links) / seconds if seconds > 0 else inf)
        batch = max(1, int(min(per_s * _TURN_S, len(links))))
        for first in range(0, len(links), batch):
            if first:
                await asyncio.sleep(_TURN_S)
            for link in links[first : first + batch]:
                self._send_home(link)
        if self._links:
            self._all_gone.clear()
            try:
                async with asyncio.timeout(self.shared.limits.close_timeout_s):
                    await self._all_gone.wait()
            except TimeoutError:
                for link in list(self._links):
                    link.abort()
        for task in list(self._tasks):
            task.cancel()

    def _send_home(self, link: Link) -> None:
        delay_ms = secrets.randbelow(self.shared.limits.reconnect_spread_ms + 1)
        link.do(lambda: link.connection.goodbye(DRAINS, delay_ms))
