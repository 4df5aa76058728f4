"""The router: events go into the windows, whoever listens is woken, once a timeline."""

from __future__ import annotations

from collections.abc import Callable

from session_platform.contract import SealedEphemeral
from session_platform.timeline import Router, Windows
from tests.timeline.client import CODEC
from tests.timeline.events import TIMELINE, ephemeral, stored

OTHER = "M200001"


class Recorder:
    """A listener that notes what it hears."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.heard: list[str | SealedEphemeral] = []
        self.then = then

    def wake(self, timeline: str) -> None:
        self.heard.append(timeline)
        self.then()

    def passing(self, timeline: str, event: SealedEphemeral) -> None:
        assert timeline == event.timeline
        self.heard.append(event)


def test_a_listener_is_woken_once_a_timeline_however_many_events_came_and_finds_them_all() -> None:
    windows = Windows(CODEC)
    router = Router(windows)
    found: list[int] = []
    listener = Recorder(lambda: found.extend(entry.seq for entry in windows.after(TIMELINE, 0, 10) or ()))
    stranger = Recorder()
    router.listen(TIMELINE, listener)
    router.listen(OTHER, stranger)
    router.publish([stored(1), stored(2), stored(3)])
    assert listener.heard == [TIMELINE]
    assert found == [1, 2, 3]
    assert stranger.heard == []


def test_what_a_primed_window_takes_for_a_duplicate_still_wakes_those_who_did_not_see_it() -> None:
    # One listener knows the store's end as 0; another started at 5, which the log has yet to publish.
    windows = Windows(CODEC)
    router, listener = Router(windows), Recorder()
    router.listen(TIMELINE, listener)
    windows.prime(TIMELINE, 5)
    router.publish([stored(seq) for seq in range(1, 6)])
    assert listener.heard == [TIMELINE]


def test_listening_twice_is_listening_once_and_unlistening_twice_does_no_harm() -> None:
    windows = Windows(CODEC, total_bytes=540)
    router, listener, other = Router(windows), Recorder(), Recorder()
    router.listen(TIMELINE, listener)
    router.listen(TIMELINE, listener)
    router.listen(TIMELINE, other)
    router.publish([stored(1)])
    assert listener.heard == [TIMELINE]
    router.unlisten(TIMELINE, listener)
    router.unlisten(TIMELINE, listener)
    router.unlisten(OTHER, listener)
    router.publish([stored(2), stored(1, timeline=OTHER)])
    assert listener.heard == [TIMELINE]
    assert other.heard == [TIMELINE, TIMELINE]
    assert windows.head(TIMELINE) == 2, "held while anybody listens"
    router.unlisten(TIMELINE, other)
    assert windows.head(TIMELINE) is None, "and no longer"


def test_a_listener_may_leave_while_it_is_woken() -> None:
    router = Router(Windows(CODEC))
    leaving = Recorder(lambda: router.unlisten(TIMELINE, leaving))
    staying = Recorder()
    router.listen(TIMELINE, leaving)
    router.listen(TIMELINE, staying)
    router.publish([stored(1)])
    router.publish([stored(2)])
    assert leaving.heard == [TIMELINE]
    assert staying.heard == [TIMELINE, TIMELINE]


def test_an_unnumbered_event_passes_by_those_who_listen_to_its_timeline() -> None:
    router, listener, stranger = Router(Windows(CODEC)), Recorder(), Recorder()
    router.listen(TIMELINE, listener)
    router.listen(OTHER, stranger)
    first, second = ephemeral(), ephemeral()
    router.ephemeral([first, second])
    assert listener.heard == [first, second]
    assert stranger.heard == []
