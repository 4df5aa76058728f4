"""The client's core against the gateway's, in memory: whatever is lost on the way, and wherever, each subscription handles each
matching event once and in order, and every replay has one end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import digital_session as sdk
from session_platform.clock import ManualClock
from session_platform.store import Store
from session_platform.timeline import Filter
from tests.gateway import stage as stages
from tests.gateway.bench import MEMBER, REQUEST, SESSION
from tests.sdk.fake_gateway import Frame
from tests.sdk.real_gateway import RealGateway, RealRig
from tests.sdk.server import WITHIN_S

PROCESSING = "service_request.processing"
NAMES = [PROCESSING, PROCESSING, "task.assigned", "task.completed", "coverage.updated", "not.invented.yet"]
SCOPES: list[tuple[Frame, Filter]] = [
    ({"type": "member", "member_id": MEMBER}, Filter.member()),
    ({"type": "member", "member_id": MEMBER, "events": ["task.*"]}, Filter.member(["task.*"])),
    ({"type": "session", "session_id": SESSION}, Filter.session(SESSION)),
    ({"type": "session", "session_id": "sess_2", "events": ["*"]}, Filter.session("sess_2")),
    (
        {"type": "service_request", "service_request_ids": [REQUEST, "sr_2"], "events": [PROCESSING, "task.completed"]},
        Filter.service_requests([REQUEST, "sr_2"], [PROCESSING, "task.completed"]),
    ),
]


class Story:
    """A client with subscriptions, and what each of them has to have handled in the end."""

    def __init__(self, gateway: RealGateway | None = None) -> None:
        self.rig = RealRig(gateway)
        self.gateway: RealGateway = self.rig.gateway
        self.wanted: dict[int, Filter] = {}
        self.conflated = False

    def subscribe(self, scope: tuple[Frame, Filter], **track: Any) -> int:
        """Without a position: from the beginning."""
        start = track if "cursor" in track else {"since": "beginning", **track}
        local = self.rig.subscribe_to(scope[0], **start)
        self.wanted[local] = scope[1]
        return local

    def unsubscribe(self, local: int) -> None:
        del self.wanted[local]
        self.rig.carry_out(self.rig.core.unsubscribe(local))
        self.rig.items[local].clear()

    def expected(self, local: int, after: int = 0) -> list[int]:
        wanted = self.wanted[local]
        return [
            event.seq
            for event in self.gateway.history[after:]
            if wanted.matches(event.name, event.session_id, event.service_request_id)
        ]

    def finish(self) -> None:
        """The connection comes back, the world answers, everything is handled."""
        self.gateway.answering = True
        for line in self.gateway.lines:
            line.block(False)
        self.gateway.turn()
        self.rig.settle()
        self.rig.advance(1.0)
        self.rig.settle()

    def check(self, after: int = 0) -> None:
        for local in self.wanted:
            numbers = self.rig.numbers(local)
            assert numbers == sorted(set(numbers)), "an event came twice or late"
            excused = max(self.rig.began[local], self.rig.excused.get(local, 0))
            missed = {seq for seq in self.expected(local, after) if seq > excused} - set(numbers)
            assert set(numbers) <= set(self.expected(local, after))
            if self.conflated:
                self._superseded_only(local, missed)
            else:
                assert not missed
            assert bool(self.rig.resets[local]) == (local in self.rig.excused)
            assert not self.rig.awaiting[local], "a replay has no end"

    def _superseded_only(self, local: int, missed: set[int]) -> None:
        """Progress may give way to newer progress of the same request, nothing else to anything."""
        handled = [self.gateway.history[seq - 1] for seq in self.rig.numbers(local)]
        for seq in missed:
            event = self.gateway.history[seq - 1]
            assert event.name == PROCESSING
            assert any(
                later.name == PROCESSING and later.seq > seq and later.service_request_id == event.service_request_id
                for later in handled
            )


publish = st.tuples(
    st.just("publish"),
    st.tuples(st.sampled_from(NAMES), st.sampled_from([SESSION, "sess_2"]), st.sampled_from([REQUEST, "sr_2"])),
    st.integers(1, 4),
)
handle = st.tuples(st.just("handle"), st.integers(0, 4), st.integers(1, 4))
# Frames in both directions, and the world's answers in between.
flow = st.tuples(st.just("flow"), st.none(), st.integers(1, 12))
rarer = st.one_of(
    st.tuples(st.just("up"), st.none(), st.integers(1, 3)),
    st.tuples(st.just("down"), st.none(), st.integers(1, 3)),
    st.tuples(st.just("world"), st.integers(1, 4), st.integers(1, 3)),
    st.tuples(st.just("cut"), st.none(), st.just(1)),
    st.tuples(st.just("subscribe"), st.sampled_from(SCOPES), st.just(1)),
    st.tuples(st.just("unsubscribe"), st.integers(0, 4), st.just(1)),
    st.tuples(st.just("block"), st.booleans(), st.just(1)),
    st.tuples(st.just("prune"), st.integers(0, 3), st.just(1)),
    st.tuples(st.just("prune"), st.integers(0, 3), st.just(1)),
    st.tuples(st.just("time"), st.sampled_from([0.1, 1.0, 16.0]), st.just(1)),
)
# Acknowledgements leave a little later.
soon = st.tuples(st.just("time"), st.just(1.0), st.just(1))
steps = st.one_of(publish, flow, handle, soon, flow, publish, flow, handle, soon, rarer)


def play(story: Story, what: str, how: Any) -> None:
    rig = story.rig
    locals_ = list(story.wanted)
    if rig.line is None and rig.dials:
        rig.open()
    match what:
        case "handle" if locals_:
            rig.handle(locals_[how % len(locals_)])
        case "cut":
            rig.cut()
        case "subscribe" if len(locals_) < 5:
            story.subscribe(how, waiting_max=3)
        case "unsubscribe" if locals_:
            story.unsubscribe(locals_[how % len(locals_)])
        case "flow":
            play_world(story, "world", 2)
            _ = rig.up(), rig.down(), rig.advance(0.05)
        case _:
            play_world(story, what, how)


def play_world(story: Story, what: str, how: Any) -> None:
    match what:
        case "publish":
            story.gateway.publish(*how)
        case "up":
            story.rig.up()
        case "down":
            story.rig.down()
        case "world":
            for line in story.gateway.lines:
                line.world_answers(how)
        case "block":
            story.conflated = story.conflated or how
            for line in story.gateway.lines:
                line.block(how)
        case "prune":
            story.gateway.pruned_through = max(story.gateway.pruned_through, len(story.gateway.history) - how)
        case "time":
            story.rig.advance(how)


@given(st.lists(st.sampled_from(SCOPES), min_size=1, max_size=4), st.lists(steps, min_size=10, max_size=100))
@settings(max_examples=400, deadline=None)
def test_each_subscription_handles_every_matching_event_once_and_in_order(
    scopes: list[tuple[Frame, Filter]], script: list[tuple[str, Any, int]]
) -> None:
    story = Story()
    story.gateway.answering = False
    for scope in scopes:
        story.subscribe(scope, waiting_max=3)
    for what, how, times in script:
        for _ in range(times):
            play(story, what, how)
    story.finish()
    story.check()


def lively() -> Iterator[tuple[str, str, str]]:
    """What happens to two requests in two sessions."""
    for round_ in range(4):
        for name in ("task.assigned", PROCESSING, "task.completed", "coverage.updated"):
            yield name, [SESSION, "sess_2"][round_ % 2], [REQUEST, "sr_2"][round_ % 2]


def play_through(cut_after: int, *, ahead: int = 4, lag: int = 2) -> tuple[Story, bool]:
    """All five subscriptions, with ``ahead`` events of history, more as frames move, and handlers that are ``lag`` behind; the
    connection is lost after ``cut_after`` frames in both directions together."""
    story = Story()
    plan = list(lively())
    for event in plan[:ahead]:
        story.gateway.publish(*event)
    del plan[:ahead]
    for scope in SCOPES:
        story.subscribe(scope)
    rig, moved, was_cut = story.rig, 0, False
    rig.open()
    while plan or rig.upstream or (rig.line is not None and rig.line.out):
        if plan:
            story.gateway.publish(*plan.pop(0))
        for move in (rig.up, rig.down):
            moved += move()
            if moved >= cut_after and not was_cut:
                rig.cut()
                rig.open()
                was_cut = True
        for local in story.wanted:
            if len(rig.items[local]) > lag:
                rig.handle(local)
        rig.advance(0.05)
    story.finish()
    return story, was_cut


def test_a_cut_at_any_frame_boundary_loses_and_doubles_nothing() -> None:
    for cut_after in range(500):
        story, was_cut = play_through(cut_after)
        story.check()
        if not was_cut:
            assert cut_after > 50
            return
    raise AssertionError("the story has more frames than were cut")


def test_every_subscribe_is_followed_by_one_caught_up() -> None:
    story, _ = play_through(10**6)
    assert story.rig.caught_up == dict.fromkeys(story.wanted, 1)
    for times in (2, 3):
        story.rig.cut()
        story.rig.settle()
        assert story.rig.caught_up == dict.fromkeys(story.wanted, times)


def test_once_all_is_handled_the_gateway_knows_it() -> None:
    story, _ = play_through(10**6)
    assert story.gateway.acknowledged[-1] == len(story.gateway.history)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=20), st.integers(0, 60), st.integers(0, 20))
@settings(max_examples=200, deadline=None)
def test_a_process_that_dies_and_comes_back_with_its_cursor_handles_again_only_what_it_had_not_finished(
    names: list[str], moves: int, handled: int
) -> None:
    story = Story()
    local = story.subscribe(SCOPES[0])
    for name in names[: len(names) // 2]:
        story.gateway.publish(name)
    story.rig.open()
    for name in names[len(names) // 2 :]:
        story.gateway.publish(name)
    for _ in range(moves):
        _ = story.rig.up() or story.rig.down()
    for _ in range(handled):
        story.rig.handle(local)
    finished, kept = story.rig.numbers(local), story.rig.core.tracks[local].cursor
    story.rig.cut()

    again = Story(story.gateway)
    next_local = again.subscribe(SCOPES[0], **({} if kept is None else {"cursor": kept}))
    again.finish()
    assert finished + again.rig.numbers(next_local) == list(range(1, len(names) + 1))


async def test_on_a_real_socket_it_comes_back_after_every_cut_and_misses_nothing(store: Store, clock: ManualClock) -> None:
    async with stages.Stage(store, clock).serving() as stage, asyncio.timeout(WITHIN_S):
        endpoint = f"ws://127.0.0.1:{stage.port}/v1"
        reconnect = sdk.Reconnect(base_s=0.01, cap_s=0.01)
        async with sdk.DigitalSessionClient(endpoint, token=stages.token(), device_id="phone", reconnect=reconnect) as client:
            await stage.emit(stages.created())
            timeline = await client.subscribe(member_id=stages.MEMBER, since="beginning")
            numbers: list[int] = []
            back = asyncio.Event()
            client.on("state", lambda state: back.set() if state == "connected" else None)
            async for envelope in timeline:
                assert envelope.key is not None
                numbers.append(envelope.key.seq)
                if len(numbers) == 6:
                    break
                back.clear()
                await stage.emit(stages.processing(10 * len(numbers)))
                # The connection breaks without a word, and comes back by itself.
                client._engine._connection._abort()
                await back.wait()
            assert numbers == [1, 2, 3, 4, 5, 6]
