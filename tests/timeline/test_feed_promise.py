"""The promise of the feed against a naive model: whatever happens, each subscription gets every matching event once, in order,
or is told that it does not.

A life is a list of acts, each with two numbers that choose among what is there. Committing and publishing are apart (the log
lags), publications are lost and repeated, windows are crowded out, prefixes are pruned, fetches are answered late, connections
are blocked, and the process restarts, also on an older copy of its database. `Connection` checks every step; `settle` checks
that nobody waits for something that is there, although it pulls only where there is a reason to.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_platform.store import GENESIS, Position, StoredEvent
from session_platform.timeline import Entry, Filter, Router, Windows, entry_of
from tests.timeline.client import CODEC, Connection
from tests.timeline.events import FILTERS, KINDS, SESSIONS, TIMELINE, ephemeral, stored

CONNECTIONS = 2
ACTS = {
    "commit": 6,
    "publish": 6,
    "pull": 5,
    "begin_to_subscribe": 4,
    "subscribe": 5,
    "read_a_page": 4,
    "answer": 5,
    "unsubscribe": 1,
    "reconnect": 1,
    "fall_behind": 2,
    "report_positions": 3,
    "ephemeral": 3,
    "prune": 1,
    "crowd_the_windows": 2,
    "publish_again": 1,
    "lose_a_publication": 1,
    "settle": 1,
}
RARE_ACTS = ("copy_the_database", "restart", "restart_on_the_copy")
numbers = st.integers(0, 10_000)
acts = st.tuples(st.sampled_from([act for act, weight in ACTS.items() for _ in range(weight)]), numbers, numbers)
rare_acts = st.tuples(st.sampled_from(RARE_ACTS), numbers, numbers)


class Started(NamedTuple):
    """A subscription whose start was read, but which its feed does not know yet."""

    connection: Connection
    name: str
    wanted: Filter
    after: int
    cursor: str
    head: int


class World:
    """One timeline's naive history, and a process that serves it."""

    def __init__(self, per_timeline_events: int, total_entries: int) -> None:
        self.sizes = (per_timeline_events, total_entries * 530)
        self.log: list[StoredEvent] = []
        self.pruned = GENESIS
        self.epoch = 1
        self.copy: tuple[list[StoredEvent], Position, int] = ([], GENESIS, 1)
        self.cursors = [CODEC.encode(TIMELINE, GENESIS)]
        self.connections: list[Connection] = []
        self.names = self.published = self.other = 0
        self.restart(0, 0)

    @property
    def head(self) -> Position:
        return self.log[-1].position if self.log else GENESIS

    # ------------------------------------------------------------------------------------------------- the store and its log

    def commit(self, a: int, b: int) -> None:
        for number in range(1 + a % 9):
            self.log.append(stored(len(self.log) + 1, *KINDS[(b + number * (1 + a % 5)) % len(KINDS)], epoch=self.epoch))

    def prune(self, a: int, b: int) -> None:
        kept = len(self.log) - self.pruned.seq
        if kept:
            self.pruned = self.log[self.pruned.seq + a % kept].position

    def publish(self, a: int, b: int) -> None:
        until = min(self.published + 1 + a % 12, len(self.log))
        self.router.publish(self.log[self.published : until])
        self.published = until

    def publish_again(self, a: int, b: int) -> None:
        start = a % (self.published + 1)
        self.router.publish(self.log[start : min(start + 1 + b % 5, self.published)])

    def lose_a_publication(self, a: int, b: int) -> None:
        """It shows at the next one."""
        self.commit(1, b)
        self.published = len(self.log) - 1
        self.publish(0, 0)

    def crowd_the_windows(self, a: int, b: int) -> None:
        for _ in range(1 + a % 12):
            self.other += 1
            self.router.publish([stored(self.other, timeline="M200001")])
        assert self.windows.size_bytes <= self.sizes[1]

    def ephemeral(self, a: int, b: int) -> None:
        self.router.ephemeral([ephemeral(SESSIONS[a % 2])])

    def copy_the_database(self, a: int, b: int) -> None:
        self.copy = (list(self.log), self.pruned, self.epoch)

    def restart_on_the_copy(self, a: int, b: int) -> None:
        self.log, self.pruned, self.epoch = list(self.copy[0]), self.copy[1], self.copy[2]
        self.restart(a, b)

    def restart(self, a: int, b: int) -> None:
        for connection in self.connections:
            self.cursors += connection.cursors
        self.windows = Windows(CODEC, per_timeline_events=self.sizes[0], total_bytes=self.sizes[1])
        self.router = Router(self.windows)
        self.connections = [self._connection() for _ in range(CONNECTIONS)]
        self.starting: list[Started] = []
        self.answers: dict[Connection, list[Entry] | Position] = {}
        self.published, self.other = len(self.log), 0

    # ----------------------------------------------------------------------------------------------------------- connections

    def begin_to_subscribe(self, a: int, b: int) -> None:
        connection = self.connections[a % CONNECTIONS]
        if b % 2:
            self.router.listen(TIMELINE, connection)
        self.windows.hold(TIMELINE)  # as `History.start` does before it reads the head
        place = (self.head, self.pruned, self._resume(connection, b), self._resume(connection, b + 1))[a // 2 % 4]
        self.names += 1
        cursor = CODEC.encode(TIMELINE, place)
        self.starting.append(
            Started(connection, f"sub_{self.names}", FILTERS[b % len(FILTERS)], place.seq, cursor, self.head.seq)
        )

    def _resume(self, connection: Connection, choice: int) -> Position:
        """Where a client starts that comes with a cursor: there, if exactly that event is here and nothing after it is gone."""
        known = connection.cursors or self.cursors
        place = CODEC.decode(known[-1 - choice % len(known)], TIMELINE)
        here = place == GENESIS or place in [event.position for event in self.log]
        if not here:
            self.epoch = max(self.epoch, place.epoch + 1)
        return place if here and place.seq >= self.pruned.seq else self.head

    def subscribe(self, a: int, b: int) -> None:
        if not self.starting:
            self.begin_to_subscribe(a, b)
        connection, name, wanted, after, cursor, head = self.starting.pop(b % len(self.starting))
        if a % 4:
            self.windows.prime(TIMELINE, head)
        self.windows.release(TIMELINE)
        self.router.listen(TIMELINE, connection)
        connection.subscribe(name, wanted, after, cursor, head)

    def unsubscribe(self, a: int, b: int) -> None:
        connection = self.connections[a % CONNECTIONS]
        if connection.subscribers:
            connection.unsubscribe(sorted(connection.subscribers)[b % len(connection.subscribers)])

    def reconnect(self, a: int, b: int) -> None:
        gone = self.connections.pop(a % CONNECTIONS)
        while any(each.connection is gone for each in self.starting):
            self.starting.remove(next(each for each in self.starting if each.connection is gone))
            self.windows.release(TIMELINE)
        self.router.unlisten(TIMELINE, gone)
        self.answers.pop(gone, None)
        self.cursors += gone.cursors
        self.connections.append(self._connection())
        self.connections[-1].cursors = gone.cursors[-5:]

    def pull(self, a: int, b: int) -> None:
        self.connections[a % CONNECTIONS].pull(1 + b // 2 % 9, conflate=b % 2 == 0)

    def fall_behind(self, a: int, b: int) -> None:
        """A blocked connection comes back, and its backlog is conflated."""
        self.commit(5, b)
        self.publish(11, b)
        self.connections[a % CONNECTIONS].pull(1 + a // 2 % 9, conflate=True)

    def report_positions(self, a: int, b: int) -> None:
        self.connections[a % CONNECTIONS].check_positions()

    def read_a_page(self, a: int, b: int) -> None:
        connection = self.connections[a % CONNECTIONS]
        after = connection.asked
        if after is None:
            return
        page = [entry_of(event, CODEC) for event in self.log[after : after + 1 + b % 5]]
        self.answers[connection] = self.head if after < self.pruned.seq else page

    def answer(self, a: int, b: int) -> None:
        connection = self.connections[a % CONNECTIONS]
        if connection in self.answers:
            answer = self.answers.pop(connection)
            if isinstance(answer, Position):
                connection.answer_lost(answer)
            else:
                connection.answer(answer)

    def settle(self, a: int, b: int) -> None:
        """All is published, read and sent. Pulls only after a wake, an answer, or a pull that was full."""
        while self.starting:
            self.subscribe(a, b)
        self.router.publish(self.log[self.published :])
        self.published = len(self.log)
        for number, connection in enumerate(self.connections):
            while connection.due or connection.asked is not None:
                if connection.due:
                    connection.pull(2 + a % 8, conflate=False)
                elif connection not in self.answers:
                    self.read_a_page(number, b)
                else:
                    self.answer(number, b)
            connection.check_positions()
            connection.check_complete()

    def _connection(self) -> Connection:
        return Connection(TIMELINE, self.windows, self.router, lambda: self.log, lambda: self.pruned.seq)


def live_through(world: World, life: list[tuple[str, int, int]]) -> None:
    for act, a, b in life:
        getattr(world, act)(a, b)
    world.settle(7, 3)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.integers(1, 12), st.integers(1, 40), st.lists(acts, min_size=40, max_size=160))
def test_each_subscription_gets_every_matching_event_once_in_order_or_is_told(
    per_timeline_events: int, total_entries: int, life: list[tuple[str, int, int]]
) -> None:
    live_through(World(per_timeline_events, total_entries), life)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.integers(1, 6), st.lists(acts, min_size=20, max_size=40), rare_acts, st.lists(acts, min_size=20, max_size=40), rare_acts
)
def test_it_does_so_across_restarts_and_older_copies(
    size: int,
    before: list[tuple[str, int, int]],
    first: tuple[str, int, int],
    between: list[tuple[str, int, int]],
    second: tuple[str, int, int],
) -> None:
    copy = ("copy_the_database", 0, 0)
    live_through(World(size, size * 2), [*before[:20], copy, *before[20:], first, *between, second, *between])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 40))
def test_it_does_so_in_long_lives(seed: int, per_timeline_events: int, total_entries: int) -> None:
    # What needs many things to come together is rarely drawn act by act: dice find it, the lists above explain it.
    dice = Random(seed)
    often = [act for act, weight in ACTS.items() for _ in range(10 * weight)] + list(RARE_ACTS)
    life = [(dice.choice(often), dice.randrange(10_000), dice.randrange(10_000)) for _ in range(300)]
    live_through(World(per_timeline_events, total_entries), life)


def test_the_model_reaches_what_it_is_about() -> None:
    """The property means nothing when nothing happens in it."""
    world, dice = World(8, 30), Random(7)
    choices = [act for act, weight in ACTS.items() for _ in range(weight)]
    seen = dict.fromkeys(["superseded", "shared", "resets", "passed_by", "fetched"], 0)
    for _ in range(4000):
        getattr(world, dice.choice(choices))(dice.randrange(10_000), dice.randrange(10_000))
        for connection in world.connections:
            seen = {what: seen[what] + connection.seen.pop(what, 0) for what in seen}
    assert all(count > 20 for count in seen.values()), seen
