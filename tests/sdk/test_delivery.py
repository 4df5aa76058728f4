"""The promise to a handler: each matching event once and in order, whatever happens to the connection."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sdk.fake_gateway import Gateway, Rig, covers

NAMES = ["task.assigned", "task.completed", "coverage.updated", "service_request.processing"]
FILTERS = [["*"], ["task.*"], ["coverage.updated"], ["task.assigned", "service_request.*"], ["care_plan.updated"]]

steps = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(NAMES)),
    st.tuples(st.just("up"), st.none()),
    st.tuples(st.just("down"), st.none()),
    st.tuples(st.just("handle"), st.integers(0, 3)),
    st.tuples(st.just("cut"), st.none()),
    st.tuples(st.just("open"), st.none()),
    st.tuples(st.just("subscribe"), st.sampled_from(FILTERS)),
    st.tuples(st.just("positions"), st.none()),
    st.tuples(st.just("time"), st.sampled_from([0.1, 1.0, 20.0])),
)


def play(rig: Rig, step: tuple[str, object], subscribed: dict[int, list[str]]) -> None:
    match step:
        case ("publish", str(name)):
            rig.gateway.publish(name)
        case ("up", _):
            rig.up()
        case ("down", _):
            rig.down()
        case ("handle", int(which)) if subscribed:
            rig.handle(list(subscribed)[which % len(subscribed)])
        case ("cut", _) if rig.line is not None:
            rig.cut()
        case ("open", _) if rig.line is None and rig.dials:
            rig.open()
        case ("subscribe", list(events)) if len(subscribed) < 4:
            subscribed[rig.subscribe(events, since="beginning", waiting_max=3)] = events
        case ("positions", _) if rig.line is not None:
            rig.line.send_positions()
        case ("time", float(seconds)):
            rig.advance(seconds)


@given(st.lists(steps, max_size=120))
@settings(max_examples=300, deadline=None)
def test_each_subscription_handles_every_matching_event_once_and_in_order(script: list[tuple[str, object]]) -> None:
    rig, subscribed = Rig(), dict[int, list[str]]()
    for step in script:
        play(rig, step, subscribed)
    rig.settle()
    for local, events in subscribed.items():
        expected = [seq for seq, (name, _) in enumerate(rig.gateway.events, 1) if covers(events, name)]
        assert rig.numbers(local) == expected
        assert rig.resets[local] == []


@given(st.lists(steps, max_size=80))
@settings(max_examples=200, deadline=None)
def test_nothing_is_acknowledged_before_every_subscription_has_handled_it(script: list[tuple[str, object]]) -> None:
    rig, subscribed = Rig(), dict[int, list[str]]()
    for step in script:
        before = len(rig.effects)
        play(rig, step, subscribed)
        for effect in rig.effects[before:]:
            frame = getattr(effect, "frame", {})
            for cursor in frame.get("cursors", []):
                acknowledged = int(cursor.split(".")[1])
                for local in subscribed:
                    received = [item.key.seq for item in rig.items[local] if hasattr(item, "key") and item.key]
                    assert all(seq > acknowledged for seq in received)


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_once_all_is_handled_the_newest_event_is_acknowledged(names: list[str]) -> None:
    rig = Rig()
    rig.subscribe(["*"], since="beginning")
    for name in names:
        rig.gateway.publish(name)
    rig.settle()
    rig.advance(1.0)
    rig.settle()
    assert rig.gateway.acknowledged[-1] == rig.gateway.cursor(len(names))


def scenario(rig: Rig, cut_after: int) -> tuple[int, int, bool]:
    """Two subscriptions over a request's events; the connection is lost after ``cut_after`` frames in either direction."""
    everything, tasks = rig.subscribe(["*"], since="beginning"), rig.subscribe(["task.*"], since="beginning")
    plan = [name for _ in range(3) for name in NAMES]
    moved, was_cut = 0, False
    rig.open()
    while plan or rig.upstream or (rig.line is not None and rig.line.out) or any(rig.items.values()):
        if plan:
            rig.gateway.publish(plan.pop(0))
        moved += rig.up() + rig.down()
        if moved >= cut_after and not was_cut:
            rig.cut()
            rig.open()
            was_cut = True
        rig.handle(everything)
        rig.handle(tasks)
    return everything, tasks, was_cut


def test_a_cut_at_any_frame_boundary_loses_and_doubles_nothing() -> None:
    for cut_after in range(200):
        rig = Rig()
        everything, tasks, was_cut = scenario(rig, cut_after)
        assert rig.numbers(everything) == list(range(1, 13))
        assert rig.names(tasks) == ["task.assigned", "task.completed"] * 3
        if not was_cut:
            assert cut_after > 20
            return
    raise AssertionError("the scenario has more frames than were cut")


def test_a_resume_begins_after_the_last_event_handled_not_the_last_received() -> None:
    rig = Rig()
    local = rig.subscribe(["*"], since="beginning")
    for _ in range(3):
        rig.gateway.publish("task.assigned")
    rig.open()
    while rig.up() or rig.down():
        pass
    rig.handle(local)
    rig.cut()
    rig.settle()
    assert rig.sent("subscribe")[-1]["cursor"] == rig.gateway.cursor(1)
    assert rig.numbers(local) == [1, 2, 3]


def test_events_that_the_filter_left_out_move_the_cursor_too() -> None:
    rig = Rig()
    local = rig.subscribe(["coverage.updated"])
    rig.settle()
    rig.gateway.publish("task.assigned")
    assert rig.line is not None
    rig.line.send_positions()
    rig.settle()
    assert rig.core.tracks[local].cursor == rig.gateway.cursor(1)


def test_a_position_does_not_overtake_an_event_that_still_waits_for_its_handler() -> None:
    rig = Rig()
    local = rig.subscribe(["task.*"])
    rig.settle()
    rig.gateway.publish("task.assigned")
    rig.gateway.publish("coverage.updated")
    assert rig.line is not None
    rig.line.send_positions()
    while rig.down():
        pass
    assert rig.core.tracks[local].cursor == rig.gateway.cursor(0)
    rig.handle(local)
    assert rig.core.tracks[local].cursor == rig.gateway.cursor(2)


def test_a_slow_handler_pauses_its_own_subscription_alone() -> None:
    rig = Rig()
    slow = rig.subscribe(["*"], since="beginning", waiting_max=4)
    quick = rig.subscribe(["*"], since="beginning", waiting_max=4)
    rig.settle()
    for _ in range(20):
        rig.gateway.publish("task.assigned")
        while any([rig.up(), rig.down(), rig.handle(quick)]):
            pass
    assert rig.numbers(quick) == list(range(1, 21))
    assert len(rig.items[slow]) == 4
    rig.settle()
    assert [frame["cursor"] for frame in rig.sent("subscribe")[2:]] == ["c1.4"]
    assert rig.numbers(slow) == list(range(1, 21))


def test_what_was_paused_and_handled_while_disconnected_goes_on_after_the_reconnect() -> None:
    rig = Rig()
    local = rig.subscribe(["*"], since="beginning", waiting_max=2)
    for _ in range(6):
        rig.gateway.publish("task.assigned")
    rig.open()
    while rig.up() or rig.down():
        pass
    assert len(rig.items[local]) == 2
    rig.cut()
    while rig.handle(local):
        pass
    rig.settle()
    assert rig.numbers(local) == [1, 2, 3, 4, 5, 6]


def test_a_history_that_starts_over_is_heard_and_acknowledged_although_its_numbers_are_low() -> None:
    rig = Rig()
    local = rig.subscribe(["*"])
    rig.settle()
    for _ in range(5):
        rig.gateway.publish("task.assigned")
    rig.settle()
    rig.advance(1.0)
    rig.settle()
    rig.cut()
    rig.gateway.events.clear()
    rig.settle()
    rig.gateway.publish("task.completed")
    rig.settle()
    assert rig.names(local)[-1] == "task.completed"
    rig.advance(1.0)
    rig.settle()
    assert rig.gateway.acknowledged == ["c1.5", "c1.1"]


def test_lost_continuity_is_a_reset_in_its_place_and_live_events_follow() -> None:
    rig = Rig()
    local = rig.subscribe(["*"])
    rig.settle()
    rig.gateway.publish("task.assigned")
    rig.settle()
    rig.cut()
    for _ in range(5):
        rig.gateway.publish("task.completed")
    rig.gateway.pruned = 4
    rig.settle()
    assert [reset.reason for reset in rig.resets[local]] == ["not_recovered"]
    rig.gateway.publish("coverage.updated")
    rig.settle()
    assert rig.numbers(local) == [1, 7]


def test_after_lost_continuity_a_resume_begins_behind_it_although_older_events_still_wait_for_their_handlers() -> None:
    rig = Rig()
    local = rig.subscribe(["*"])
    rig.settle()

    def flow() -> None:
        while rig.up() or rig.down():
            pass

    rig.gateway.publish("task.assigned")
    rig.gateway.publish("task.assigned")
    flow()
    rig.cut()
    rig.gateway.publish("task.completed")
    rig.gateway.pruned = 3
    rig.open()
    flow()
    rig.cut()
    rig.gateway.publish("coverage.updated")
    rig.open()
    flow()
    while rig.handle(local):
        pass
    assert [reset.reason for reset in rig.resets[local]] == ["not_recovered"]
    assert rig.numbers(local) == [1, 2, 4]
    rig.advance(1.0)
    rig.settle()
    assert rig.gateway.acknowledged == ["c1.4"]


def test_events_of_a_restored_history_are_new_although_their_numbers_were_seen() -> None:
    rig = Rig()
    local = rig.subscribe(["*"])
    rig.settle()
    for _ in range(5):
        rig.gateway.publish("task.assigned")
    rig.settle()
    rig.cut()
    del rig.gateway.events[2:]
    rig.gateway.epoch = 2
    rig.settle()
    rig.gateway.publish("task.completed")
    rig.settle()
    assert len(rig.resets[local]) == 1
    assert rig.names(local) == ["task.assigned"] * 5 + ["task.completed"]
    rig.advance(1.0)
    rig.settle()
    assert rig.gateway.acknowledged[-1] == "c2.3"


def test_a_reset_frame_keeps_the_subscription_and_says_so_after_what_came_before_it() -> None:
    rig = Rig()
    local = rig.subscribe(["*"])
    rig.settle()
    rig.gateway.publish("task.assigned")
    assert rig.line is not None
    rig.line.send_reset()
    rig.gateway.publish("task.completed")
    while rig.down():
        pass
    rig.handle(local)
    assert rig.resets[local] == []
    rig.settle()
    assert [reset.reason for reset in rig.resets[local]] == ["continuity_lost"]
    assert rig.numbers(local) == [1, 2]


def test_an_ephemeral_event_is_passed_on_and_moves_nothing() -> None:
    rig = Rig()
    local = rig.subscribe(["*"])
    rig.settle()
    rig.gateway.publish("task.assigned")
    rig.gateway.whisper("session.active", {"session_id": "s1", "member_id": "M1"})
    rig.gateway.publish("task.completed")
    rig.settle()
    assert rig.names(local) == ["task.assigned", "session.active", "task.completed"]
    assert rig.core.tracks[local].cursor == rig.gateway.cursor(2)


def test_the_subscription_furthest_behind_decides_what_is_acknowledged() -> None:
    rig = Rig()
    quick, slow = rig.subscribe(["*"]), rig.subscribe(["task.*"])
    rig.settle()
    for _ in range(3):
        rig.gateway.publish("task.assigned")
    while rig.down():
        pass
    while rig.handle(quick):
        pass
    rig.advance(1.0)
    assert rig.sent("ack") == []
    rig.handle(slow)
    rig.advance(1.0)
    assert rig.sent("ack") == [{"type": "ack", "cursors": ["c1.1"]}]
    rig.settle()
    rig.advance(1.0)
    assert rig.sent("ack")[1:] == [{"type": "ack", "cursors": ["c1.3"]}]


def test_a_subscription_still_replaying_holds_the_acknowledgement_back() -> None:
    gateway = Gateway()
    for _ in range(3):
        gateway.publish("task.assigned")
    rig = Rig(gateway)
    live = rig.subscribe(["*"])
    rig.settle()
    gateway.publish("task.assigned")
    rig.settle()
    rig.advance(1.0)
    rig.settle()
    assert gateway.acknowledged == [gateway.cursor(4)]
    behind = rig.subscribe(["*"], since="beginning")
    gateway.publish("task.assigned")
    rig.up()
    for _ in ("the live event", "subscribed", "the first event of the replay"):
        rig.down()
    while rig.handle(live) or rig.handle(behind):
        pass
    assert rig.numbers(live) == [4, 5]
    assert rig.numbers(behind) == [1]
    rig.advance(1.0)
    rig.up()
    assert gateway.acknowledged == [gateway.cursor(4)]
    rig.settle()
    rig.advance(1.0)
    rig.settle()
    assert gateway.acknowledged == [gateway.cursor(4), gateway.cursor(5)]
