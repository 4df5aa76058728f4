"""What an event costs from the router to the frame's edge: `python -m benchmarks.feed`.

One timeline, events of 700 bytes, each published alone (the worst case: bursts share their wakes). Every connection has one
subscription, or one connection has them all. CPU time, medians of several runs; without store, frames and sockets.
"""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable

from session_platform.contract import SealedEphemeral
from session_platform.store import GENESIS, StoredEvent
from session_platform.timeline import CursorCodec, Feed, Filter, Router, Windows

TIMELINE = "M123456"
CODEC = CursorCodec({1: bytes(range(32))})
EVENTS = 2_000
RUNS = 7
NAMES = ("service_request.processing", "task.assigned", "task.in_progress", "rte.completed")
BODY = b"x" * 700


class Connection:
    """A connection that pulls when it is woken."""

    def __init__(self, windows: Windows, subscriptions: int, wanted: Filter) -> None:
        self.feed = Feed(TIMELINE, windows)
        self.delivered = 0
        for number in range(subscriptions):
            self.feed.subscribe(f"sub_{number}", wanted, 0, CODEC.encode(TIMELINE, GENESIS), 0)

    def wake(self, _timeline: str, /) -> None:
        self.delivered += len(self.feed.pull(64, conflate=False))

    def passing(self, _timeline: str, _event: SealedEphemeral, /) -> None:
        return


def events() -> list[StoredEvent]:
    return [
        StoredEvent(seq, TIMELINE, 1, seq, seq * 7919 % 2**32, NAMES[seq % 4], "sess_1", "sr_1", BODY)
        for seq in range(1, EVENTS + 1)
    ]


def measured(prepare: Callable[[], Callable[[], None]]) -> float:
    """Median of the runs, in microseconds an event."""
    took = []
    for _ in range(RUNS):
        run = prepare()
        gc.collect()
        gc.disable()
        started = time.process_time()
        run()
        took.append((time.process_time() - started) / EVENTS * 1e6)
        gc.enable()
    return statistics.median(took)


def publishing(connections: int, subscriptions: int, wanted: Filter) -> Callable[[], Callable[[], None]]:
    def prepare() -> Callable[[], None]:
        windows = Windows(CODEC)
        router = Router(windows)
        windows.hold(TIMELINE)
        windows.prime(TIMELINE, 0)
        for _ in range(connections):
            connection = Connection(windows, subscriptions, wanted)
            router.listen(TIMELINE, connection)
            connection.wake(TIMELINE)
        batch = [[event] for event in events()]

        def run() -> None:
            for each in batch:
                router.publish(each)

        return run

    return prepare


def replaying() -> Callable[[], None]:
    windows = Windows(CODEC, per_timeline_events=EVENTS)
    for event in events():
        windows.append(event)
    feed = Feed(TIMELINE, windows)
    feed.subscribe("sub", Filter.member(), 0, "", EVENTS)

    def run() -> None:
        while feed.pull(64, conflate=False):
            pass

    return run


def main() -> None:
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, µs of CPU an event\n")
    alone = measured(publishing(0, 0, Filter.member()))
    print(f"{'append alone (entry, cursor, window)':<46}{alone:9.2f}")
    for title, wanted in (
        ("everything", Filter.member()),
        ("session and globs", Filter.session("sess_1", ["task.*", "rte.*"])),
    ):
        for count in (1, 10, 100):
            total = measured(publishing(count, 1, wanted))
            each = (total - alone) / count
            print(f"{f'{count} connections, {title}':<46}{total:9.2f}  {each:6.2f} a connection")
    for count in (10, 100):
        total = measured(publishing(1, count, Filter.member()))
        print(f"{f'1 connection, {count} subscriptions':<46}{total:9.2f}  {(total - alone) / count:6.2f} a subscription")
    print(f"{'replay from the window':<46}{measured(replaying):9.2f}")


if __name__ == "__main__":
    main()
