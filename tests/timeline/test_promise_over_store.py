"""The promise over the real parts: a SQLite store, the follower, the router, the history and feeds, against what was committed.

Everything runs as it does in the platform: commits wake the follower, the follower publishes while others commit and subscribe,
pages are read from the database. The process restarts, also on an older copy of its directory, and clients come back with
cursors of any age and history.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.log import Follower
from session_platform.store import GENESIS, StoredEvent, outbox, retention
from session_platform.store.sqlite import SqliteStore
from session_platform.timeline import ContinuityLost, History, Router, Windows
from tests.timeline.client import CODEC, Connection
from tests.timeline.emitting import KINDS, emit
from tests.timeline.events import FILTERS, TIMELINE

OTHER = "M200001"
CONNECTIONS = 2
ACTS = {
    "commit": 5,
    "commit_meanwhile": 3,
    "commit_elsewhere": 2,
    "subscribe": 5,
    "pull": 6,
    "fetch": 4,
    "unsubscribe": 1,
    "reconnect": 1,
    "prune": 1,
    "copy": 1,
    "restart": 1,
    "restore": 1,
}
acts = st.tuples(
    st.sampled_from([act for act, weight in ACTS.items() for _ in range(weight)]), st.integers(0, 999), st.integers(0, 999)
)


class Platform:
    """One data directory, the process over it, two clients."""

    def __init__(self, directory: Path, per_timeline_events: int, total_events: int) -> None:
        self.directory = directory
        self.sizes = (per_timeline_events, total_events * 1000)
        self.clock = ManualClock()
        self.copied: tuple[list[StoredEvent], int] | None = None
        self.log: list[StoredEvent] = []  # the whole current history, pruned events included
        self.edge = 0
        self.cursors: list[str] = [CODEC.encode(TIMELINE, GENESIS)]
        self.connections: list[Connection] = []
        self.meanwhile: list[asyncio.Task[None]] = []
        self.raised: list[tuple[int, int]] = []  # a head, and the epoch that everything after it is above
        self.names = 0

    async def boot(self) -> None:
        self.store = await SqliteStore.open(self.directory / "data", self.clock, IdMint())
        self.windows = Windows(CODEC, per_timeline_events=self.sizes[0], total_bytes=self.sizes[1])
        self.router = Router(self.windows)
        self.history = History(self.store, self.windows, CODEC)
        self.published = await self.store.read(outbox.last_id)
        self.moved = asyncio.Event()
        follower = Follower(self.store, self._publish, self.router.ephemeral)
        await follower.start()
        self.following = asyncio.create_task(follower.run())
        self.connections = [self._connection() for _ in range(CONNECTIONS)]

    async def halt(self) -> None:
        await self._wait_for_commits()
        self.following.cancel()
        await asyncio.wait([self.following])
        await self.store.close()
        for connection in self.connections:
            self.cursors += connection.cursors

    def _publish(self, events: Sequence[StoredEvent]) -> None:
        self._take_up([event for event in events if event.timeline == TIMELINE])
        self.router.publish(events)
        self.published = events[-1].id
        self.moved.set()

    # ------------------------------------------------------------------------------------------------------------------ acts

    async def commit(self, a: int, b: int) -> None:
        await emit(self.store, *(KINDS[(b + number) % len(KINDS)] for number in range(1 + a % 5)))
        await self._learn()

    async def commit_meanwhile(self, a: int, b: int) -> None:
        self.meanwhile.append(asyncio.create_task(emit(self.store, *[KINDS[b % len(KINDS)]] * (1 + a % 3))))

    async def commit_elsewhere(self, a: int, b: int) -> None:
        await emit(self.store, *[KINDS[0]] * (1 + a % 12), timeline=OTHER)

    async def prune(self, a: int, b: int) -> None:
        await self._wait_for_commits()
        self.clock.advance(1)
        now, keep = self.clock.now(), a % (len(self.log) + 1)
        await self.store.run(lambda tx: retention.prune(tx, TIMELINE, now, min_keep=keep), TIMELINE)
        self.edge = (await self.store.read(lambda reader: outbox.head(reader, TIMELINE))).pruned.seq

    async def copy(self, a: int, b: int) -> None:
        await self.halt()
        shutil.rmtree(self.directory / "copy", ignore_errors=True)
        shutil.copytree(self.directory / "data", self.directory / "copy")
        self.copied = (list(self.log), self.edge)
        await self.boot()

    async def restart(self, a: int, b: int) -> None:
        await self.halt()
        await self.boot()

    async def restore(self, a: int, b: int) -> None:
        if self.copied is None:
            return
        await self.halt()
        shutil.rmtree(self.directory / "data")
        shutil.copytree(self.directory / "copy", self.directory / "data")
        self.log, self.edge, self.raised = list(self.copied[0]), self.copied[1], []
        await self.boot()

    async def subscribe(self, a: int, b: int) -> None:
        connection = self.connections[a % CONNECTIONS]
        known = connection.cursors[-8:] or self.cursors
        cursor = None if a // 2 % 4 < 2 else known[b % len(known)] if a // 2 % 4 == 2 else self.cursors[b % len(self.cursors)]
        listens_first = b // 3 % 3 > 0
        if listens_first:
            self.router.listen(TIMELINE, connection)
        start = await self.history.start(TIMELINE, cursor=cursor, since_beginning=a // 2 % 4 == 1)
        await self._learn()
        self._check_start(cursor, start.recovered, start.after, start.cursor, start.head)
        if not listens_first:
            self.router.listen(TIMELINE, connection)
        self.names += 1
        connection.subscribe(f"sub_{self.names}", FILTERS[b % len(FILTERS)], start.after, start.cursor, start.head)

    def _check_start(self, cursor: str | None, recovered: bool | None, after: int, start_cursor: str, head: int) -> None:
        assert CODEC.decode(start_cursor, TIMELINE) == (self.log[after - 1].position if after else GENESIS)
        if cursor is None:
            assert recovered is None
            return
        place = CODEC.decode(cursor, TIMELINE)
        here = place == GENESIS or place in [event.position for event in self.log]
        if here and place.seq >= self.edge:
            assert recovered is True
            assert after == place.seq
        else:
            assert recovered is False
            assert after == head
            if not here and place.seq >= self.edge:
                self.raised.append((head, place.epoch))

    async def pull(self, a: int, b: int) -> None:
        self.connections[a % CONNECTIONS].pull(1 + b // 2 % 9, conflate=b % 2 == 0)
        self.connections[a % CONNECTIONS].check_positions()

    async def fetch(self, a: int, b: int) -> None:
        connection = self.connections[a % CONNECTIONS]
        if connection.asked is None:
            return
        try:
            page = await self.history.page(TIMELINE, connection.asked, 1 + b % 6)
        except ContinuityLost as lost:
            await self._learn()
            connection.answer_lost(CODEC.decode(lost.head_cursor, TIMELINE))
        else:
            await self._learn()
            connection.answer(page)

    async def unsubscribe(self, a: int, b: int) -> None:
        connection = self.connections[a % CONNECTIONS]
        if connection.subscribers:
            connection.unsubscribe(sorted(connection.subscribers)[b % len(connection.subscribers)])

    async def reconnect(self, a: int, b: int) -> None:
        gone = self.connections.pop(a % CONNECTIONS)
        self.router.unlisten(TIMELINE, gone)
        self.cursors += gone.cursors
        self.connections.append(self._connection())
        self.connections[-1].cursors = gone.cursors[-5:]

    async def settle(self) -> None:
        """Everything is published, read and sent; pulls only where there is a reason to."""
        await self._wait_for_commits()
        last = await self.store.read(outbox.last_id)
        while self.published < last:
            self.moved.clear()
            await self.moved.wait()
        for number, connection in enumerate(self.connections):
            while connection.due or connection.asked is not None:
                if connection.due:
                    connection.pull(7, conflate=False)
                else:
                    await self.fetch(number, 3)
            connection.check_positions()
            connection.check_complete()
        for head, epoch in self.raised:
            assert all(event.epoch > epoch for event in self.log[head:]), "new events cannot be taken for old ones"

    # ------------------------------------------------------------------------------------------------------------- the model

    async def _learn(self) -> None:
        """Take up what was committed since; what feeds say is checked against it."""
        known = len(self.log)
        self._take_up(await self.store.read(lambda reader: outbox.page(reader, TIMELINE, known, 100_000)))

    def _take_up(self, events: Sequence[StoredEvent]) -> None:
        for event in events:
            if event.seq > len(self.log):
                assert event.seq == len(self.log) + 1
                self.log.append(event)

    async def _wait_for_commits(self) -> None:
        if self.meanwhile:
            await asyncio.wait(self.meanwhile)
            self.meanwhile = []
        await self._learn()

    def _connection(self) -> Connection:
        return Connection(TIMELINE, self.windows, self.router, lambda: self.log, lambda: self.edge)


async def live_through(life: list[tuple[str, int, int]], per_timeline_events: int, total_events: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory), per_timeline_events, total_events)
        await platform.boot()
        try:
            for act, a, b in life:
                await getattr(platform, act)(a, b)
            await platform.settle()
        finally:
            await platform.halt()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(acts, min_size=25, max_size=70), st.integers(1, 8), st.integers(2, 30))
def test_each_subscription_gets_every_matching_event_once_in_order_or_is_told(
    life: list[tuple[str, int, int]], per_timeline_events: int, total_events: int
) -> None:
    asyncio.run(live_through(life, per_timeline_events, total_events))
