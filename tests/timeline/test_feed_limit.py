"""A feed with a limit: nothing above it is put out, gives way or passes, and nothing is lost when it goes."""

from __future__ import annotations

from session_platform.timeline import CaughtUp
from tests.timeline.events import TIMELINE, ephemeral
from tests.timeline.test_feed import EVERYTHING, Scene, progress, tasks


def live(*seqs: int, limit: int) -> Scene:
    """A live subscription behind 0, of these events, with a limit."""
    scene = Scene()
    scene.windows.prime(TIMELINE, 0)
    scene.subscribe("a", EVERYTHING, 0, 0)
    assert scene.pull() == [CaughtUp("a", "cursor-0")]
    scene.feed.limit(limit)
    scene.publish(*tasks(*seqs))
    return scene


def test_live_events_stop_at_the_limit_and_go_on_without_it() -> None:
    scene = live(1, 2, 3, limit=2)
    assert scene.pull() == [scene.deliver(1, "a"), scene.deliver(2, "a")]
    assert scene.pull() == []
    assert scene.feed.idle
    assert scene.feed.position("a") == 2
    scene.feed.limit(None)
    assert not scene.feed.idle
    assert scene.pull() == [scene.deliver(3, "a")]


def test_a_limit_below_where_the_feed_stands_lets_nothing_more_through() -> None:
    scene = live(1, 2, limit=5)
    scene.pull()
    scene.feed.limit(1)
    scene.publish(*tasks(3))
    assert scene.pull() == []
    assert scene.feed.position("a") == 2


def test_a_replay_stops_at_the_limit_without_being_caught_up() -> None:
    scene = Scene(*tasks(1, 2, 3))
    scene.subscribe("a", EVERYTHING, 0, 3)
    scene.feed.limit(2)
    assert scene.pull() == [scene.deliver(1, "a"), scene.deliver(2, "a")]
    assert scene.feed.idle
    assert scene.feed.position("a") == 2
    scene.feed.limit(None)
    assert not scene.feed.idle
    assert scene.pull() == [scene.deliver(3, "a"), CaughtUp("a", scene.cursor(3))]


def test_a_replay_whose_goal_is_within_the_limit_is_caught_up() -> None:
    scene = Scene(*tasks(1, 2))
    scene.subscribe("a", EVERYTHING, 0, 2)
    scene.feed.limit(2)
    assert scene.pull()[-1] == CaughtUp("a", scene.cursor(2))


def test_progress_within_the_limit_never_gives_way_to_progress_above_it() -> None:
    scene = Scene()
    scene.windows.prime(TIMELINE, 0)
    scene.subscribe("a", EVERYTHING, 0, 0)
    scene.pull()
    scene.feed.limit(2)
    scene.publish(progress(1), progress(2), progress(3))
    assert scene.pull(conflate=True) == [scene.deliver(2, "a", superseded=[1])]


def test_what_is_ephemeral_does_not_pass_while_there_is_a_limit() -> None:
    scene = live(1, limit=1)
    scene.pull()
    assert scene.feed.passing(ephemeral()) is None
    scene.feed.limit(None)
    assert scene.feed.passing(ephemeral()) is not None
