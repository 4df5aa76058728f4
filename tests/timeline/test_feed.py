"""The feed in single scenes: what stands in which step, and when."""

from __future__ import annotations

import gc
from collections.abc import Sequence

import pytest

from session_platform.store import StoredEvent
from session_platform.timeline import CaughtUp, Deliver, Entry, Feed, Fetch, Filter, Passing, Reset, Step, Windows, entry_of
from tests.timeline.client import CODEC
from tests.timeline.events import TIMELINE, ephemeral, stored

EVERYTHING = Filter.member()
TASKS = Filter.member(["task.*"])
PROGRESS = "service_request.processing"


class Scene:
    """A timeline of numbered events, a window that can be told what to hold, and one feed."""

    def __init__(self, *events: StoredEvent, per_timeline_events: int = 100) -> None:
        self.windows = Windows(CODEC, per_timeline_events=per_timeline_events)
        self.windows.hold(TIMELINE)
        self.events: dict[int, StoredEvent] = {}
        self.feed = Feed(TIMELINE, self.windows)
        self.publish(*events)

    def publish(self, *events: StoredEvent) -> None:
        for event in events:
            self.events[event.seq] = event
            self.windows.append(event)

    def subscribe(self, name: str, wanted: Filter, after: int, head: int) -> None:
        self.feed.subscribe(name, wanted, after, f"cursor-{after}", head)

    def pull(self, limit: int = 100, *, conflate: bool = False) -> list[Step]:
        return self.feed.pull(limit, conflate=conflate)

    def entry(self, seq: int) -> Entry:
        return entry_of(self.events[seq], CODEC)

    def cursor(self, seq: int) -> str:
        return self.entry(seq).cursor

    def deliver(self, seq: int, *names: str, superseded: Sequence[int] = ()) -> Deliver:
        return Deliver(names, self.entry(seq), tuple(superseded))


def tasks(*seqs: int) -> list[StoredEvent]:
    return [stored(seq) for seq in seqs]


def progress(seq: int, request: str = "sr_1") -> StoredEvent:
    return stored(seq, PROGRESS, "sess_1", request)


def test_a_subscription_from_now_is_caught_up_at_once_and_then_live() -> None:
    scene = Scene(*tasks(1, 2))
    scene.subscribe("a", EVERYTHING, 2, 2)
    assert scene.pull() == [CaughtUp("a", "cursor-2")]
    assert scene.pull() == []
    scene.publish(*tasks(3))
    assert not scene.feed.idle
    assert scene.pull() == [scene.deliver(3, "a")]
    assert scene.feed.idle
    assert scene.feed.sent == 3


def test_what_was_committed_before_the_subscription_comes_before_caught_up_although_the_log_lags() -> None:
    scene = Scene(*tasks(1))
    scene.subscribe("a", EVERYTHING, 1, head=3)
    assert scene.pull() == [Fetch(1)]
    assert scene.pull() == []
    committed = tasks(2, 3)
    scene.feed.page(1, [entry_of(event, CODEC) for event in committed])
    steps = scene.pull()
    assert [step.entry.seq for step in steps if isinstance(step, Deliver)] == [2, 3]
    assert steps[-1] == CaughtUp("a", entry_of(committed[-1], CODEC).cursor)
    scene.publish(*committed)
    assert scene.pull() == [], "the log brings nothing twice"


def test_an_event_due_to_several_live_subscriptions_is_one_step_and_a_replay_goes_alone() -> None:
    scene = Scene(stored(1), stored(2, "rte.completed"))
    scene.subscribe("a", EVERYTHING, 2, 2)
    scene.subscribe("b", TASKS, 2, 2)
    scene.pull()
    scene.publish(stored(3), stored(4, "rte.completed"))
    assert scene.pull() == [scene.deliver(3, "a", "b"), scene.deliver(4, "a")]
    scene.subscribe("c", TASKS, 0, 4)
    assert scene.pull() == [scene.deliver(1, "c"), scene.deliver(3, "c"), CaughtUp("c", scene.cursor(4))]
    scene.publish(stored(5))
    assert scene.pull() == [scene.deliver(5, "a", "b", "c")]


def test_replays_go_one_after_the_other_while_the_live_ones_go_on() -> None:
    scene = Scene(*tasks(1, 2, 3, 4))
    scene.subscribe("live", EVERYTHING, 4, 4)
    scene.pull()
    scene.subscribe("first", EVERYTHING, 0, 4)
    scene.subscribe("second", EVERYTHING, 3, 4)
    scene.publish(*tasks(5, 6, 7, 8))
    assert scene.pull(4) == [
        scene.deliver(1, "first"),
        scene.deliver(2, "first"),
        scene.deliver(5, "live"),
        scene.deliver(6, "live"),
    ]
    seen = scene.pull() + scene.pull()
    alone = [step.entry.seq for step in seen if isinstance(step, Deliver) and step.subscription_ids == ("first",)]
    assert alone == [3, 4, 5, 6], "from there on it is live"
    assert scene.deliver(7, "live", "first") in seen
    ends = [step.subscription_id for step in seen if isinstance(step, CaughtUp)]
    assert ends == ["first", "second"]


def test_a_replay_goes_no_further_than_the_live_ones_so_that_they_share_what_follows() -> None:
    scene = Scene(*tasks(1, 2))
    scene.subscribe("live", Filter.member(["rte.*"]), 2, 2)
    scene.pull()
    scene.subscribe("replaying", EVERYTHING, 0, 2)
    scene.publish(stored(3, "rte.completed"), *tasks(4))
    assert scene.deliver(3, "live", "replaying") in scene.pull(8)


def test_one_that_begins_ahead_of_a_blocked_connection_gets_nothing_from_before_its_start() -> None:
    scene = Scene(*tasks(1))
    scene.subscribe("behind", EVERYTHING, 1, 1)
    scene.pull()
    scene.publish(*tasks(2, 3, 4))
    scene.subscribe("ahead", EVERYTHING, 3, 3)
    assert scene.pull(2) == [CaughtUp("ahead", "cursor-3"), scene.deliver(2, "behind")]
    assert scene.feed.positions() == []
    assert scene.pull() == [scene.deliver(3, "behind"), scene.deliver(4, "behind", "ahead")]


def test_when_those_behind_leave_nobody_reads_for_them() -> None:
    scene = Scene(*tasks(1), per_timeline_events=2)
    scene.subscribe("behind", EVERYTHING, 1, 1)
    scene.pull()
    scene.publish(*tasks(2, 3, 4, 5))
    scene.subscribe("ahead", EVERYTHING, 5, 5)
    assert scene.pull() == [CaughtUp("ahead", "cursor-5"), Fetch(1)]
    scene.feed.unsubscribe("behind")
    scene.feed.page(1, [scene.entry(2)])
    assert scene.pull() == []
    scene.publish(*tasks(6))
    assert scene.pull() == [scene.deliver(6, "ahead")]


def test_a_feed_the_window_does_not_reach_asks_the_history_page_by_page_and_returns_to_the_window() -> None:
    scene = Scene(*tasks(1, 2, 3, 4, 5, 6), per_timeline_events=2)
    scene.subscribe("a", EVERYTHING, 0, 6)
    assert scene.pull() == [Fetch(0)]
    scene.feed.page(0, [scene.entry(1), scene.entry(2)])
    assert scene.pull() == [scene.deliver(1, "a"), scene.deliver(2, "a"), Fetch(2)]
    scene.feed.page(2, [scene.entry(3), scene.entry(4)])
    assert scene.pull()[2:] == [scene.deliver(5, "a"), scene.deliver(6, "a"), CaughtUp("a", scene.cursor(6))]


def test_a_page_is_used_up_before_another_is_asked_for_and_both_readers_get_their_turns() -> None:
    scene = Scene(*tasks(*range(1, 11)), per_timeline_events=1)
    scene.subscribe("live", EVERYTHING, 6, 6)
    scene.subscribe("replaying", EVERYTHING, 0, 6)
    fetched: list[int] = []
    steps: list[Step] = []
    while new := scene.pull(2):
        steps += new
        for step in new:
            if isinstance(step, Fetch):
                fetched.append(step.after)
                scene.feed.page(step.after, [scene.entry(seq) for seq in range(step.after + 1, min(step.after + 4, 11))])
    assert sorted(fetched) == [0, 3, 6, 6], "once for each reader"
    for name, first in (("live", 7), ("replaying", 1)):
        got = [step.entry.seq for step in steps if isinstance(step, Deliver) and name in step.subscription_ids]
        assert got == list(range(first, 11))


def test_a_pull_is_bounded_and_a_full_one_says_nothing_of_the_rest() -> None:
    scene = Scene(*tasks(*range(1, 31)))
    scene.subscribe("a", EVERYTHING, 0, 30)
    sizes = []
    while steps := scene.pull(7):
        sizes.append(len(steps))
        assert scene.feed.idle is (len(steps) < 7)
    assert sizes == [7, 7, 7, 7, 3]


def test_a_window_that_knows_nothing_is_asked_past_once_and_then_the_head_tells() -> None:
    scene = Scene()
    scene.subscribe("a", EVERYTHING, 5, 5)
    assert scene.pull() == [CaughtUp("a", "cursor-5"), Fetch(5)]
    scene.feed.page(5, [])
    assert scene.feed.idle
    assert scene.pull() == []
    scene.publish(*tasks(7))
    assert scene.pull() == [Fetch(5)], "6 was published by nobody, and yet it is missed"


def test_an_event_published_while_the_history_was_asked_is_noticed_although_it_was_crowded_out() -> None:
    windows = Windows(CODEC, total_bytes=540)
    windows.hold(TIMELINE)
    feed = Feed(TIMELINE, windows)
    feed.subscribe("a", EVERYTHING, 5, "cursor-5", 5)
    assert feed.pull(9, conflate=False) == [CaughtUp("a", "cursor-5"), Fetch(5)]
    windows.append(stored(6))
    windows.append(stored(1, timeline="M200001"))
    feed.page(5, [])
    assert feed.pull(9, conflate=False) == [Fetch(5)]


def test_a_feed_that_was_left_and_comes_back_does_not_trust_what_it_knew_of_the_stores_end() -> None:
    windows = Windows(CODEC, total_bytes=540)
    windows.hold(TIMELINE)
    feed = Feed(TIMELINE, windows)
    feed.subscribe("a", EVERYTHING, 5, "cursor-5", 5)
    feed.pull(9, conflate=False)
    feed.page(5, [])
    feed.unsubscribe("a")
    windows.release(TIMELINE)
    windows.append(stored(6))
    windows.append(stored(1, timeline="M200001"))
    windows.hold(TIMELINE)
    feed.subscribe("b", EVERYTHING, 5, "cursor-5", 5)
    assert feed.pull(9, conflate=False) == [CaughtUp("b", "cursor-5"), Fetch(5)]


def test_an_answer_nobody_asked_for_is_ignored() -> None:
    scene = Scene(*tasks(1, 2, 3, 4), per_timeline_events=1)
    scene.subscribe("a", EVERYTHING, 0, 4)
    assert scene.pull() == [Fetch(0)]
    scene.feed.page(1, [scene.entry(2)])
    assert scene.pull() == []
    scene.feed.page(0, [scene.entry(1), scene.entry(2), scene.entry(3)])
    assert scene.pull(1) == [scene.deliver(1, "a")]
    scene.feed.lost(9, "cursor-9")
    scene.feed.page(2, [scene.entry(3)])
    assert scene.pull()[:2] == [scene.deliver(2, "a"), scene.deliver(3, "a")]
    scene.feed.lost(9, "cursor-9")
    assert scene.pull() == []


def test_a_feed_keeps_a_page_no_longer_than_it_reads_from_it() -> None:
    scene = Scene(*tasks(1, 2, 3), per_timeline_events=1)
    scene.subscribe("a", EVERYTHING, 0, 3)
    scene.pull()
    page = [scene.entry(1), scene.entry(2)]
    scene.feed.page(0, page)
    scene.pull(1)
    assert any(kept is page for kept in gc.get_referents(scene.feed))
    scene.pull()
    assert not any(kept is page for kept in gc.get_referents(scene.feed))


def test_a_replay_that_leaves_in_the_middle_lets_the_next_one_go_on() -> None:
    scene = Scene(*tasks(1, 2, 3, 4, 5), per_timeline_events=2)
    scene.subscribe("a", EVERYTHING, 0, 5)
    scene.subscribe("b", EVERYTHING, 1, 5)
    assert scene.pull() == [Fetch(0)]
    scene.feed.unsubscribe("a")
    assert scene.pull() == [], "the one Fetch is unanswered"
    scene.feed.page(0, [scene.entry(1), scene.entry(2), scene.entry(3)])
    steps = scene.pull()
    assert [step.entry.seq for step in steps if isinstance(step, Deliver)] == [2, 3, 4, 5]
    assert steps[-1] == CaughtUp("b", scene.cursor(5))


def test_a_replay_that_waits_only_to_reach_live_ones_who_leave_is_caught_up_at_once() -> None:
    scene = Scene(*tasks(1, 2), per_timeline_events=1)
    scene.subscribe("live", EVERYTHING, 2, 2)
    scene.pull()
    scene.publish(*tasks(3))
    scene.pull()
    scene.subscribe("replaying", EVERYTHING, 1, 1)
    assert scene.pull() == [Fetch(1)]
    scene.feed.unsubscribe("live")
    assert scene.pull() == [CaughtUp("replaying", "cursor-1")]
    scene.feed.page(1, [scene.entry(2), scene.entry(3)])
    assert scene.pull() == [scene.deliver(2, "replaying"), scene.deliver(3, "replaying")]


def test_what_was_lost_for_one_who_left_resets_nobody() -> None:
    scene = Scene(*tasks(1, 2, 3, 4, 5), per_timeline_events=2)
    scene.subscribe("a", EVERYTHING, 0, 5)
    scene.subscribe("b", EVERYTHING, 3, 5)
    scene.pull()
    scene.feed.unsubscribe("a")
    scene.feed.lost(5, scene.cursor(5))
    assert scene.pull() == [scene.deliver(4, "b"), scene.deliver(5, "b"), CaughtUp("b", scene.cursor(5))]


def test_a_replay_whose_events_were_pruned_is_reset_then_caught_up_then_live() -> None:
    scene = Scene(*tasks(1, 2, 3, 4, 5), per_timeline_events=2)
    scene.subscribe("a", EVERYTHING, 0, 5)
    assert scene.pull() == [Fetch(0)]
    scene.feed.lost(5, scene.cursor(5))
    assert not scene.feed.idle
    assert scene.pull() == [Reset(("a",), scene.cursor(5)), CaughtUp("a", scene.cursor(5))]
    scene.publish(*tasks(6))
    assert scene.pull() == [scene.deliver(6, "a")]


def test_a_replay_that_the_log_overtook_while_it_asked_goes_on_and_a_late_loss_does_not_concern_it() -> None:
    scene = Scene(*tasks(1))
    scene.subscribe("a", EVERYTHING, 1, 5)
    assert scene.pull() == [Fetch(1)]
    scene.publish(*tasks(2, 3))
    assert scene.pull() == [scene.deliver(2, "a"), scene.deliver(3, "a")]
    scene.feed.lost(3, scene.cursor(3))
    assert not scene.feed.idle
    assert scene.pull() == [Fetch(3)]


def test_live_subscriptions_that_stayed_behind_the_pruned_edge_are_reset_together() -> None:
    scene = Scene(*tasks(1), per_timeline_events=2)
    scene.subscribe("a", EVERYTHING, 1, 1)
    scene.subscribe("b", TASKS, 1, 1)
    scene.pull()
    scene.publish(*tasks(2, 3, 4, 5))
    assert scene.pull() == [Fetch(1)]
    scene.feed.lost(5, scene.cursor(5))
    assert scene.feed.positions() == [], "a reset is said before a position"
    assert scene.pull() == [Reset(("a", "b"), scene.cursor(5))]
    scene.publish(*tasks(6))
    assert scene.pull() == [scene.deliver(6, "a", "b")]


def test_a_reset_does_not_name_one_who_left() -> None:
    scene = Scene(*tasks(1), per_timeline_events=2)
    for name in ("a", "b"):
        scene.subscribe(name, EVERYTHING, 1, 1)
    scene.pull()
    scene.publish(*tasks(2, 3, 4, 5))
    scene.pull()
    scene.feed.lost(5, scene.cursor(5))
    scene.feed.unsubscribe("a")
    assert scene.pull() == [Reset(("b",), scene.cursor(5))]


def test_a_reset_that_nobody_is_left_for_is_not_said() -> None:
    scene = Scene(*tasks(1), per_timeline_events=2)
    scene.subscribe("a", EVERYTHING, 1, 1)
    scene.pull()
    scene.publish(*tasks(2, 3, 4, 5))
    scene.pull()
    scene.feed.lost(5, scene.cursor(5))
    scene.feed.unsubscribe("a")
    assert scene.pull() == []


def test_one_that_began_behind_the_loss_is_not_reset_and_goes_on_from_its_own_start() -> None:
    scene = Scene(*tasks(1), per_timeline_events=1)
    scene.subscribe("behind", EVERYTHING, 1, 1)
    scene.pull()
    scene.publish(*tasks(2, 3, 4, 5, 6))
    scene.subscribe("ahead", EVERYTHING, 4, 4)
    assert scene.pull() == [CaughtUp("ahead", "cursor-4"), Fetch(1)]
    scene.feed.lost(6, scene.cursor(6))
    assert scene.pull() == [Reset(("behind",), scene.cursor(6)), Fetch(4)]
    scene.feed.page(4, [scene.entry(5), scene.entry(6)])
    scene.publish(*tasks(7))
    assert scene.pull() == [scene.deliver(5, "ahead"), scene.deliver(6, "ahead"), scene.deliver(7, "behind", "ahead")]


# -------------------------------------------------------------------------------------------------------------- conflation


def live_scene(*names_and_filters: tuple[str, Filter]) -> Scene:
    scene = Scene(*tasks(1))
    for name, wanted in names_and_filters:
        scene.subscribe(name, wanted, 1, 1)
    scene.pull()
    return scene


def test_progress_gives_way_to_newer_progress_of_the_same_request_and_the_next_frame_says_so() -> None:
    scene = live_scene(("a", EVERYTHING))
    scene.publish(progress(2), progress(3), progress(4, "sr_2"), stored(5), progress(6))
    assert scene.pull(conflate=True) == [
        scene.deliver(4, "a", superseded=[2, 3]),
        scene.deliver(5, "a"),
        scene.deliver(6, "a"),
    ]


def test_nothing_gives_way_on_a_connection_that_keeps_up() -> None:
    scene = live_scene(("a", EVERYTHING))
    scene.publish(progress(2), progress(3))
    assert scene.pull() == [scene.deliver(2, "a"), scene.deliver(3, "a")]


def test_nothing_else_gives_way_and_the_last_progress_never_does() -> None:
    scene = live_scene(("a", EVERYTHING))
    scene.publish(stored(2), stored(3), progress(4))
    assert scene.pull(conflate=True) == [scene.deliver(2, "a"), scene.deliver(3, "a"), scene.deliver(4, "a")]


def test_progress_looks_for_newer_progress_beyond_the_limit_of_the_pull() -> None:
    scene = live_scene(("a", EVERYTHING))
    scene.publish(progress(2), stored(3), stored(4), progress(5))
    assert scene.pull(1, conflate=True) == [scene.deliver(3, "a", superseded=[2])]
    assert scene.pull() == [scene.deliver(4, "a"), scene.deliver(5, "a")]


def test_a_dropped_number_is_listed_for_those_it_was_due_to_each_in_its_next_frame() -> None:
    scene = live_scene(("all", EVERYTHING), ("progress", Filter.member([PROGRESS])), ("tasks", TASKS))
    scene.publish(progress(2), stored(3), progress(4))
    assert scene.pull(conflate=True) == [
        scene.deliver(3, "all", "tasks", superseded=[2]),
        scene.deliver(4, "all", "progress", superseded=[2]),
    ]


def test_a_dropped_number_is_not_listed_for_those_who_never_wanted_it() -> None:
    scene = live_scene(("progress", Filter.member([PROGRESS])), ("tasks", TASKS))
    scene.publish(progress(2), stored(3), progress(4))
    assert scene.pull(conflate=True) == [scene.deliver(3, "tasks"), scene.deliver(4, "progress", superseded=[2])]


def test_no_position_is_reported_past_a_dropped_number_that_was_not_listed_yet() -> None:
    scene = live_scene(("progress", Filter.member([PROGRESS])), ("coverage", Filter.member(["coverage.updated"])))
    scene.publish(progress(2), stored(3), stored(4, "coverage.updated"), progress(5))
    assert scene.pull(1, conflate=True) == [scene.deliver(4, "coverage")]
    assert scene.feed.positions() == []
    assert scene.pull(conflate=True) == [scene.deliver(5, "progress", superseded=[2])]
    assert scene.feed.positions() == [("coverage", scene.cursor(5))]


def test_a_reset_ends_what_was_still_to_be_listed() -> None:
    scene = Scene(*tasks(1), per_timeline_events=4)
    scene.subscribe("progress", Filter.member([PROGRESS]), 1, 1)
    scene.subscribe("tasks", TASKS, 1, 1)
    scene.pull()
    scene.publish(progress(2), stored(3), stored(4), progress(5))
    assert scene.pull(1, conflate=True) == [scene.deliver(3, "tasks")]
    scene.publish(*tasks(6, 7, 8))
    assert scene.pull() == [Fetch(3)]
    scene.feed.lost(8, scene.cursor(8))
    scene.publish(progress(9))
    assert scene.pull() == [Reset(("progress", "tasks"), scene.cursor(8)), scene.deliver(9, "progress")]


def test_a_replay_is_paced_by_its_reader_and_leaves_nothing_out() -> None:
    scene = Scene(progress(1), progress(2))
    scene.subscribe("a", EVERYTHING, 0, 2)
    assert scene.pull(conflate=True)[:2] == [scene.deliver(1, "a"), scene.deliver(2, "a")]


# ------------------------------------------------------------------------------------------------ positions, unnumbered events


def test_events_that_the_filter_left_out_move_the_position_which_is_reported_once() -> None:
    scene = live_scene(("all", EVERYTHING), ("tasks", TASKS))
    scene.publish(stored(2, "rte.completed"), stored(3, "rte.completed"))
    scene.pull()
    assert scene.feed.positions() == [("tasks", scene.cursor(3))]
    assert scene.feed.positions() == []


def test_a_replay_has_no_position_to_report() -> None:
    scene = Scene(*tasks(1, 2, 3))
    scene.subscribe("a", Filter.member(["rte.*"]), 0, 3)
    assert scene.feed.positions() == []


def test_an_unnumbered_event_goes_to_live_subscriptions_that_want_it_with_the_last_position_passed() -> None:
    scene = live_scene(("all", EVERYTHING), ("tasks", TASKS), ("other", Filter.session("sess_2")))
    scene.subscribe("replaying", EVERYTHING, 0, 1)
    scene.publish(*tasks(2))
    event = ephemeral("sess_1")
    assert scene.feed.passing(event) is None, "dropped while the feed is behind"
    scene.pull(2)
    assert scene.feed.passing(event) == Passing(("all",), scene.cursor(2), event)


def test_an_unnumbered_event_that_nobody_wants_is_no_frame() -> None:
    assert live_scene(("tasks", TASKS)).feed.passing(ephemeral()) is None
    assert Scene(*tasks(1)).feed.passing(ephemeral()) is None


def test_an_unnumbered_event_does_not_go_to_one_that_began_ahead_of_the_others() -> None:
    scene = live_scene(("a", EVERYTHING))
    scene.subscribe("ahead", EVERYTHING, 3, 3)
    scene.pull()
    event = ephemeral()
    assert scene.feed.passing(event) == Passing(("a",), "cursor-1", event), "its cursor would be older than their start"


def test_an_unnumbered_event_after_its_session_ended_is_dropped() -> None:
    scene = live_scene(("a", TASKS), ("b", EVERYTHING))
    scene.publish(stored(2, "session.ended", "sess_1", None))
    scene.pull()
    assert scene.feed.passing(ephemeral("sess_1")) is None
    assert scene.feed.passing(ephemeral("sess_2")) is not None


def test_a_feed_remembers_the_sessions_that_ended_last() -> None:
    scene = live_scene(("a", EVERYTHING))
    scene.publish(*(stored(2 + number, "session.ended", f"sess_{number}", None) for number in range(70)))
    scene.pull()
    assert scene.feed.passing(ephemeral("sess_69")) is None
    assert scene.feed.passing(ephemeral("sess_6")) is None
    assert scene.feed.passing(ephemeral("sess_5")) is not None


def test_an_unnumbered_event_waits_for_no_answer_of_the_history() -> None:
    scene = Scene()
    scene.subscribe("a", EVERYTHING, 5, 5)
    scene.pull()
    assert scene.feed.passing(ephemeral()) is None, "nobody knows yet whether something came before it"
    scene.feed.page(5, [])
    assert scene.feed.passing(ephemeral()) is not None


@pytest.mark.parametrize("conflate", [True, False])
def test_a_feed_without_subscriptions_is_idle(conflate: bool) -> None:
    scene = Scene(*tasks(1, 2))
    assert scene.feed.idle
    assert scene.pull(conflate=conflate) == []
