"""The room as it is wired: real neighbours over a real store, and a clock that stands still."""

from __future__ import annotations

import json
from typing import Any

import pytest

from session_platform import directory
from session_platform.app.wiring_backends import backends
from session_platform.app.wiring_careflow import failures, introduced
from session_platform.careflow import SERVICES, Careflow, RequestView, TaskView, load_catalogue
from session_platform.clock import ManualClock
from session_platform.contract import SealedEphemeral
from session_platform.eligibility import coverage_at, coverage_of
from session_platform.errors import Invalid
from session_platform.ingest import binding
from session_platform.sessions import ActiveWork, Monitor, Sessions, SessionView, Touches
from session_platform.store import Reader, Tx
from session_platform.store.sqlite import SqliteStore
from tests.ingest.published import BATCH, MEMBER, OWN, body

SERVICE = "claims"
CATALOGUE = load_catalogue(SERVICES, failures=failures())
TABLES = (
    *("outbox", "timeline_head", "session", "session_participant", "service_request", "task", "coverage"),
    *("event_source", "published_event", "right_change"),
)


class Room:
    """``heard`` are the bodies of the unnumbered events so far."""

    def __init__(self, store: SqliteStore, clock: ManualClock) -> None:
        self.store = store
        self.clock = clock
        self.heard: list[dict[str, Any]] = []
        store.on_commit(self._hear)

        def active_work(reader: Reader, session_id: str) -> ActiveWork:
            return ActiveWork(*Careflow.active_work(reader, session_id))

        def ended_work(reader: Reader, session_id: str) -> ActiveWork:
            return ActiveWork(*Careflow.ended_work(reader, session_id))

        self.touches = Touches(store, clock, active_work)
        self.sessions = Sessions(active_work, ended_work, self.touches.pending)
        self.careflow = introduced(CATALOGUE, self.sessions)
        self.monitor = Monitor(store, self.sessions, self.touches, clock)
        self.ingest = backends(store, self.sessions, self.careflow)

    async def furnish(self) -> None:
        """Let the demo members in."""
        seed = directory.load_seed(directory.DEMO_SEED)
        await self.store.run(lambda tx: directory.apply_seed(tx, seed))

    async def publish(self, *events: dict[str, Any], by: str = SERVICE) -> list[str]:
        """Publish a batch: what became of each event. Raises as `Ingest.publish`."""
        taken = await self.ingest.publish(by, binding.read([("Content-Type", BATCH)], body(*events)), _unnoted)
        return [each.outcome.value for each in taken]

    async def refused(self, *events: dict[str, Any], by: str = SERVICE) -> set[str]:
        """Publish a batch that must be refused and leave nothing: the pointers it is refused at."""
        before = await self.everything()
        with pytest.raises(Invalid) as refusal:
            await self.publish(*events, by=by)
        assert await self.everything() == before, "what is refused leaves nothing"
        return {each.pointer for each in refusal.value.problems}

    async def everything(self) -> dict[str, list[Any]]:
        """All rows that publishing can write."""
        return await self.store.read(lambda reader: {each: reader.all(f"SELECT * FROM {each}") for each in TABLES})

    async def events(self, member_id: str = MEMBER) -> list[dict[str, Any]]:
        """The CloudEvents on a member's timeline, as it has them."""
        sql = "SELECT COALESCE(redacted_body, full_body) FROM outbox WHERE timeline = :timeline ORDER BY seq"
        return [json.loads(row[0]) for row in await self.store.read(lambda reader: reader.all(sql, timeline=member_id))]

    async def names(self, member_id: str = MEMBER) -> list[str]:
        sql = "SELECT name FROM outbox WHERE timeline = :timeline ORDER BY seq"
        return [row[0] for row in await self.store.read(lambda reader: reader.all(sql, timeline=member_id))]

    async def full(self) -> list[dict[str, Any]]:
        """Every event in full, as domain topics get it."""
        return [
            json.loads(row[0]) for row in await self.store.read(lambda r: r.all("SELECT full_body FROM outbox ORDER BY id"))
        ]

    async def session(self, session_id: str = "s1") -> SessionView:
        found = await self.store.read(lambda reader: self.sessions.view(reader, session_id, self.clock.now()))
        assert found is not None
        return found

    async def request(self, request_id: str = "r1") -> RequestView:
        found = await self.store.read(lambda reader: self.careflow.view(reader, request_id, self.clock.now()))
        assert found is not None
        return found

    async def task(self, task_id: str = "t1") -> TaskView:
        found = await self.store.read(lambda reader: self.careflow.task(reader, task_id))
        assert found is not None
        return found

    async def result(self, request_id: str = "r1") -> Any:
        found = await self.store.read(lambda reader: self.careflow.result(reader, request_id))
        return None if found is None else json.loads(found)

    async def coverage(self, account_id: str = OWN) -> list[str]:
        """The status of the account's current coverage, if there is one."""
        found = await self.store.read(lambda reader: coverage_of(reader, [account_id]))
        return [each.coverage_status.value for each in found]

    async def coverage_at(self, ref: str) -> tuple[str, Any] | None:
        return await self.store.read(lambda reader: coverage_at(reader, ref.rpartition("/")[2]))

    async def rights(self) -> list[tuple[str, str | None, int | None]]:
        """(member, staff member, number of the event that it comes with) of every change of rights."""
        sql = "SELECT member_id, staff_id, seq FROM right_change ORDER BY number"
        return [(row[0], row[1], row[2]) for row in await self.store.read(lambda reader: reader.all(sql))]

    async def leap(self, seconds: float) -> None:
        """Let time pass, and the monitor see it."""
        self.clock.advance(seconds)
        await self.monitor.tick()

    def _hear(self, ephemeral: Any) -> None:
        heard: list[SealedEphemeral] = list(ephemeral)
        self.heard += [json.loads(event.body) for event in heard]


def _unnoted(_: Tx, __: str | None) -> None:
    """Whether a call is on record is its caller's concern."""
