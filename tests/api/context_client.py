"""A screen over the real parts: it reads a context, subscribes from its cursor, and keeps up by events alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from session_platform.contract import SealedEphemeral
from session_platform.log import Follower
from session_platform.store import Store
from session_platform.timeline import CaughtUp, CursorCodec, Deliver, Entry, Feed, Fetch, Filter, History, Router, Windows

PULL_STEPS = 20
PAGE_EVENTS = 7
WINDOW_EVENTS = 5
"""Small, so that screens read from the window and from the store."""


@dataclass
class Screen:
    """What somebody sees of a member, keyed by id."""

    sessions: set[str] = field(default_factory=set)
    tasks: set[str] = field(default_factory=set)
    requests: dict[str, str] = field(default_factory=dict)
    care_plan: tuple[str, tuple[str, ...]] | None = None
    coverage: dict[str, str] = field(default_factory=dict)
    """By account, the name of its plan."""

    @classmethod
    def of(cls, context: dict[str, Any]) -> Screen:
        plan = context["care_plan"]
        return cls(
            sessions={each["session_id"] for each in context["sessions"]},
            tasks={each["task_id"] for each in context["tasks"]},
            requests={each["service_request_id"]: each["status"] for each in context["service_requests"]},
            care_plan=None if plan is None else (plan["care_plan_id"], tuple(plan["updated_goals"])),
            coverage={each["account_id"]: each["plan_name"] for each in context["coverage"]},
        )

    def apply(self, name: str, data: dict[str, Any], plan_name: str | None) -> None:
        """``plan_name``: what the coverage that the event refers to says."""
        match name:
            case "session.created":
                self.sessions.add(data["session_id"])
            case "session.ended":
                self.sessions.discard(data["session_id"])
            case "service_request.submitted":
                self.requests[data["service_request_id"]] = "SUBMITTED"
            case "service_request.completed":
                self.requests[data["service_request_id"]] = {"SUCCESS": "COMPLETED"}.get(data["outcome"], data["outcome"])
            case "task.assigned":
                self.tasks.add(data["task_id"])
            case "task.completed":
                self.tasks.discard(data["task_id"])
            case "care_plan.updated":
                self.care_plan = (data["care_plan_id"], tuple(data["updated_goals"]))
            case "coverage.updated":
                assert plan_name is not None
                self.coverage[data["account_id"]] = plan_name
            case _:
                pass


class Live:
    """How timelines are read in a process, over ``store``."""

    def __init__(self, store: Store, codec: CursorCodec) -> None:
        self.store = store
        self.windows = Windows(codec, per_timeline_events=WINDOW_EVENTS)
        self.router = Router(self.windows)
        self.history = History(store, self.windows, codec)
        self.follower = Follower(store, self.router.publish, self.router.ephemeral)


class Watcher:
    """One screen that subscribes from its context. The promise is checked at every event: the next number, once, none of those
    that the context stood for, and nothing left out."""

    def __init__(self, live: Live, member_id: str, context: dict[str, Any]) -> None:
        self.screen = Screen.of(context)
        self.seq = self.start = int(context["timelineseq"])
        self._live = live
        self._member_id = member_id
        self._cursor: str = context["cursor"]
        self._feed = Feed(member_id, live.windows)
        self._woken = asyncio.Event()

    def wake(self, timeline: str) -> None:
        assert timeline == self._member_id
        self._woken.set()

    def passing(self, timeline: str, event: SealedEphemeral) -> None:
        self._feed.passing(event)

    async def watch(self, until_seq: asyncio.Future[int]) -> None:
        """Keep up until the event of this number was seen."""
        self._live.router.listen(self._member_id, self)
        try:
            start = await self._live.history.start(self._member_id, cursor=self._cursor, since_beginning=False)
            assert start.recovered is True
            assert (start.after, start.cursor) == (self.start, self._cursor)
            self._feed.subscribe("sub", Filter.member(), start.after, start.cursor, start.head)
            until_seq.add_done_callback(lambda _: self._woken.set())
            while not until_seq.done() or self.seq < until_seq.result():
                self._woken.clear()
                if not await self._pull():
                    await self._woken.wait()
        finally:
            self._live.router.unlisten(self._member_id, self)

    async def _pull(self) -> bool:
        steps = self._feed.pull(PULL_STEPS, conflate=False)
        for step in steps:
            match step:
                case Deliver(entry=entry):
                    await self._receive(entry)
                case Fetch(after):
                    self._feed.page(after, await self._live.history.page(self._member_id, after, PAGE_EVENTS))
                case CaughtUp():
                    assert self.seq >= self.start
                case _:
                    raise AssertionError("continuity was lost")
        return bool(steps)

    async def _receive(self, entry: Entry) -> None:
        assert entry.seq == self.seq + 1
        self.seq = entry.seq
        data = json.loads(entry.body)["data"]
        ref = data.get("coverage_ref", "").removeprefix("/v1/coverages/")
        sql = "SELECT details FROM coverage WHERE coverage_id = :coverage_id"
        found = await self._live.store.read(lambda reader: reader.one(sql, coverage_id=ref)) if ref else None
        self.screen.apply(entry.name, data, None if found is None else json.loads(found[0])["plan_name"])
