"""The room as it is wired, over a real store and a clock that stands still, with a careflow that a test can play."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from session_platform.clock import ManualClock
from session_platform.contract import SealedEphemeral
from session_platform.sessions import ActiveWork, Monitor, NewSession, Sessions, SessionView, Touches
from session_platform.store import Reader, Store, outbox

MEMBER = "M123456"


class Work:
    """Which requests and tasks a session has, as careflow would say it."""

    def __init__(self) -> None:
        self.open: dict[str, list[str]] = defaultdict(list)
        self.closed: dict[str, list[str]] = defaultdict(list)

    def active_work(self, reader: Reader, session_id: str) -> ActiveWork:
        return _work(self.open[session_id])

    def ended_work(self, reader: Reader, session_id: str) -> ActiveWork:
        return _work(self.closed[session_id])


def _work(requests: Sequence[str]) -> ActiveWork:
    return ActiveWork(tuple(requests), tuple(f"task_of_{request}" for request in requests))


class Room:
    """``heard`` are the data of the ``session.active`` events so far."""

    def __init__(self, store: Store, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.work = Work()
        self.heard: list[dict[str, Any]] = []
        store.on_commit(self._hear)
        self.start()

    def start(self) -> None:
        """As a process starts, over the store that it finds: touches that were not written are gone."""
        self.touches = Touches(self.store, self.clock, self.work.active_work)
        self.sessions = Sessions(self.work.active_work, self.work.ended_work, self.touches.pending)
        self.monitor = Monitor(self.store, self.sessions, self.touches, self.clock)

    async def create(self, member_id: str = MEMBER, **fields: Any) -> SessionView:
        new = NewSession(**{"member_id": member_id, "initiator_id": member_id, "type": "APP", "channel": "MX_WEB", **fields})
        return await self.store.run(partial(self.sessions.create, new=new), member_id)

    async def end(
        self, session_id: str, reason: str = "USER_CLOSED", outcome: str = "SUCCESS", actor: str = MEMBER
    ) -> SessionView:
        def command(tx: Any) -> SessionView:
            return self.sessions.end(tx, session_id, reason, outcome, actor)

        return await self.store.run(command, await self._member(session_id))

    async def open_request(self, session_id: str, request_id: str = "sr_1") -> None:
        def command(tx: Any) -> None:
            self.work.open[session_id].append(request_id)
            try:
                self.sessions.request_opened(tx, session_id)
            except BaseException:
                self.work.open[session_id].remove(request_id)
                raise

        await self.store.run(command, await self._member(session_id))

    async def close_request(self, session_id: str, request_id: str = "sr_1") -> None:
        def command(tx: Any) -> None:
            self.work.open[session_id].remove(request_id)
            self.work.closed[session_id].append(request_id)
            self.sessions.request_closed(tx, session_id)

        await self.store.run(command, await self._member(session_id))

    async def view(self, session_id: str) -> SessionView:
        now = self.clock.now()
        found = await self.store.read(lambda reader: self.sessions.view(reader, session_id, now))
        assert found is not None
        return found

    async def pass_time(self, seconds: int) -> None:
        """Second by second, as the monitor ticks."""
        for _ in range(seconds):
            self.clock.advance(1)
            await self.monitor.tick()

    async def leap(self, seconds: float) -> None:
        """In one leap, as when the monitor was held up."""
        self.clock.advance(seconds)
        await self.monitor.tick()

    async def events(self, member_id: str = MEMBER) -> list[tuple[str, dict[str, Any]]]:
        """Short name and data of the member's durable events."""
        page = await self.store.read(lambda reader: outbox.page(reader, member_id, 0, 1000))
        return [(event.name, json.loads(event.body)["data"]) for event in page]

    async def _member(self, session_id: str) -> str:
        return await self.store.read(lambda reader: self.sessions.owner(reader, session_id)) or "nobody"

    def _hear(self, ephemeral: Sequence[SealedEphemeral]) -> None:
        self.heard += [json.loads(event.body)["data"] for event in ephemeral]
