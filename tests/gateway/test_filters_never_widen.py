"""No filter, cursor, start or reason in a `subscribe` gives more than the policy grants: through the real protocol and desk."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.access.policy import Role, Standing, Verdict, verdict
from session_platform.clock import ManualClock
from session_platform.gateway.effects import (
    Authenticate,
    Enter,
    Entered,
    FetchPage,
    KeepAlive,
    Listen,
    Locate,
    Permit,
    Unlisten,
)
from session_platform.gateway.protocol import Connection
from session_platform.ids import IdMint
from session_platform.store import GENESIS
from session_platform.store.sqlite import SqliteStore
from tests.gateway.stage import (
    CODEC,
    ENDED_SESSION,
    FOREIGN_REQUEST,
    FOREIGN_SESSION,
    MEMBER,
    OTHER,
    REQUEST,
    SECOND_REQUEST,
    SESSION,
    STAFF,
    Stage,
    processing,
)

OWNERS = {
    **dict.fromkeys((MEMBER, SESSION, ENDED_SESSION, REQUEST, SECOND_REQUEST), MEMBER),
    **dict.fromkeys((OTHER, FOREIGN_SESSION, FOREIGN_REQUEST), OTHER),
}
TOKENS: dict[Role, dict[str, Any]] = {
    Role.MEMBER: {"member": MEMBER},
    Role.CARE_TEAM: {"staff": STAFF, "roles": ["care_team"]},
    Role.CLINICIAN: {"staff": STAFF, "roles": ["care_team", "clinician"]},
    Role.SERVICE: {"kind": "service"},
    Role.ADMIN: {"kind": "admin"},
}
PATTERNS = st.lists(
    st.sampled_from(["*", "task.*", "service_request.*", "service_request.processing", "session.created", "not.known"]),
    max_size=4,
)
SCOPES = st.one_of(
    st.builds(lambda each: {"type": "member", "member_id": each}, st.sampled_from([MEMBER, OTHER, "M999"])),
    st.builds(
        lambda each: {"type": "session", "session_id": each},
        st.sampled_from([SESSION, ENDED_SESSION, FOREIGN_SESSION, "sess_nobody"]),
    ),
    st.builds(
        lambda ids: {"type": "service_request", "service_request_ids": ids},
        st.lists(st.sampled_from([REQUEST, SECOND_REQUEST, FOREIGN_REQUEST, "sr_nobody"]), min_size=1, max_size=3),
    ),
)
STARTS = st.sampled_from(
    [{}, {"since": "beginning"}, {"cursor": CODEC.encode(MEMBER, GENESIS)}, {"cursor": CODEC.encode(OTHER, GENESIS)}]
)


class Caller:
    """A connection's real protocol core on a real desk, without a socket."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.connection = Connection(stage.hub.shared, stage.hub.now())
        self.frames: list[dict[str, Any]] = []

    async def say(self, **frame: Any) -> list[dict[str, Any]]:
        """Send a frame and do all that comes of it; the frames that came."""
        self.frames.clear()
        self.connection.receive(json.dumps(frame), self.stage.hub.now())
        more = True
        while more:
            more = self.connection.pull(self.stage.hub.now())
            for output in self.connection.take():
                more = True
                await self._do(output)
        return list(self.frames)

    async def _do(self, output: object) -> None:
        now = self.stage.hub.now()
        match output:
            case bytes():
                self.frames.append(json.loads(output))
            case Enter():
                self.connection.resolve(Entered("conn_1"), now)
            case Authenticate() | Permit() | Locate() | KeepAlive():
                self.connection.resolve(await self._asked(output), now)
            case FetchPage():
                self.connection.page(output, await self.stage.desk.page(output, 100))
            case Listen(timeline):
                self.stage.router.listen(timeline, self)
            case Unlisten(timeline):
                self.stage.router.unlisten(timeline, self)

    async def _asked(self, output: Authenticate | Permit | Locate | KeepAlive) -> Any:
        from session_platform.errors import PlatformError

        try:
            return await self.stage.desk.answer(output)
        except PlatformError as problem:
            return problem

    def wake(self, timeline: str) -> None:
        self.connection.wake(timeline)

    def passing(self, timeline: str, event: Any) -> None:
        raise AssertionError


@asynccontextmanager
async def opened() -> AsyncIterator[Stage]:
    clock = ManualClock()
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder), clock, IdMint())
        stage = Stage(store, clock)
        await stage.watch.look()
        for member, request in ((MEMBER, REQUEST), (OTHER, FOREIGN_REQUEST)):
            await stage.emit(processing(1, request, member), processing(2, request, member))
        yield stage
        await store.close()


@given(
    role=st.sampled_from(list(Role)),
    cares_for=st.sets(st.sampled_from([MEMBER, OTHER])),
    asked=st.lists(st.tuples(SCOPES, PATTERNS, STARTS, st.sampled_from([None, None, "emergency"])), min_size=1, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_a_subscription_reaches_only_what_the_table_grants_whatever_it_asks_for(
    role: Role, cares_for: set[str], asked: list[tuple[dict[str, Any], list[str], dict[str, Any], str | None]]
) -> None:
    async def scenario() -> None:
        async with opened() as stage:
            for member in cares_for:
                await stage.care(member=member)
            caller = Caller(stage)
            token = json.dumps({"sub": "who", "for_s": 3600, **TOKENS[role]})
            assert (await caller.say(type="connect", token=token))[0]["type"] == "connected"
            for scope, events, start, reason in asked:
                frames = await caller.say(
                    type="subscribe", subscription={**scope, "events": events}, break_glass=reason, **start
                )
                granted = _granted(role, cares_for, scope, reason)
                assert (frames[0]["type"] == "subscribed") <= granted, (scope, reason, frames)
                if granted and "cursor" not in start:
                    assert frames[0]["type"] == "subscribed"
                if not granted:
                    assert frames[0]["code"] == "forbidden_or_missing"
                seen = {frame["event"]["partitionkey"] for frame in frames if frame["type"] == "event"}
                assert seen <= {_owner(scope)}

    asyncio.run(scenario())


def _owner(scope: dict[str, Any]) -> str | None:
    named = scope.get("service_request_ids") or [scope.get("member_id") or scope.get("session_id")]
    owners = {OWNERS.get(each) for each in named}
    return owners.pop() if len(owners) == 1 else None


def _granted(role: Role, cares_for: set[str], scope: dict[str, Any], reason: str | None) -> bool:
    owner = _owner(scope)
    if owner is None:
        return False
    standing = Standing.BREAK_GLASS
    if reason is None:
        related = role in {Role.CARE_TEAM, Role.CLINICIAN} and owner in cares_for
        own = role is Role.MEMBER and owner == MEMBER
        standing = Standing.OWN if own else Standing.CARE if related else Standing.NONE
    return verdict(role, standing, "subscribe") is Verdict.ALLOWED
