"""The user's side of a timeline: a connection that applies what a feed says and checks the promise at every step.

The promise, per subscription: every matching event after its start, in order, once, with none left out that `superseded` does
not name; one `CaughtUp`, not before everything that existed at the start; or a `Reset`, and only if something is lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from session_platform.contract import SealedEphemeral
from session_platform.store import GENESIS, Position, StoredEvent
from session_platform.timeline import CaughtUp, CursorCodec, Deliver, Entry, Feed, Fetch, Filter, Reset, Router, Step, Windows

PROCESSING = "service_request.processing"
ENDED = "session.ended"
CODEC = CursorCodec({1: bytes(range(32))})


class Subscriber:
    """One subscription and what its user knows: everything up to number ``through``."""

    def __init__(self, wanted: Filter, after: int, head: int) -> None:
        self.wanted = wanted
        self.through = after
        self.head_at_start = head
        self.live = False
        self.resets = 0
        self.received: list[int] = []

    def wants(self, event: StoredEvent) -> bool:
        return self.wanted.matches(event.name, event.session_id, event.service_request_id)


class Connection:
    """``history`` answers the whole current history, pruned events included; ``edge`` the last pruned number."""

    def __init__(
        self,
        timeline: str,
        windows: Windows,
        router: Router,
        history: Callable[[], Sequence[StoredEvent]],
        edge: Callable[[], int],
        codec: CursorCodec = CODEC,
    ) -> None:
        self.timeline = timeline
        self.feed = Feed(timeline, windows)
        self.router = router
        self.codec = codec
        self.history = history
        self.edge = edge
        self.subscribers: dict[str, Subscriber] = {}
        self.order: list[str] = []  # live ones, in the order in which they became so
        self.asked: int | None = None  # the unanswered Fetch
        self.due = False  # there is a reason to pull
        self.cursors: list[str] = []  # every cursor this client was ever given
        self.seen: Counter[str] = Counter()  # what happened here, for a census

    # ------------------------------------------------------------------------------------------------ what the gateway does

    def wake(self, timeline: str) -> None:
        assert timeline == self.timeline
        self.due = True

    def passing(self, timeline: str, event: SealedEphemeral) -> None:
        assert timeline == self.timeline
        frame = self.feed.passing(event)
        if frame is None:
            return
        place = self.codec.decode(frame.cursor, self.timeline)
        for name in frame.subscription_ids:
            subscriber = self.subscribers[name]
            assert subscriber.live
            assert subscriber.wanted.matches(event.name, event.session_id, event.service_request_id)
            self._complete_up_to(subscriber, place)
            assert not any(
                self.history()[seq - 1].name == ENDED and self.history()[seq - 1].session_id == event.session_id
                for seq in subscriber.received
            ), "an ephemeral event after its session ended"
            self.seen["passed_by"] += 1

    def subscribe(self, name: str, wanted: Filter, after: int, cursor: str, head: int) -> None:
        self.subscribers[name] = Subscriber(wanted, after, head)
        self.cursors.append(cursor)
        self.feed.subscribe(name, wanted, after, cursor, head)
        self.due = True

    def unsubscribe(self, name: str) -> None:
        self.feed.unsubscribe(name)
        del self.subscribers[name]
        if name in self.order:
            self.order.remove(name)
        self.due = True

    def pull(self, limit: int, *, conflate: bool) -> list[Step]:
        steps = self.feed.pull(limit, conflate=conflate)
        assert len([step for step in steps if not isinstance(step, Reset)]) <= limit
        self.due = len(steps) >= limit
        for step in steps:
            self._apply(step)
        if not self.due:
            assert self.feed.idle
            assert self.feed.pull(limit, conflate=conflate) == [], "an idle feed has nothing to say"
        return steps

    def answer(self, entries: Sequence[Entry]) -> None:
        assert self.asked is not None
        asked, self.asked = self.asked, None
        self.feed.page(asked, entries)
        self.due = True

    def answer_lost(self, head: Position) -> None:
        self.asked = None
        self.feed.lost(head.seq, self.codec.encode(self.timeline, head))
        self.due = True

    def check_positions(self) -> None:
        for name, cursor in self.feed.positions():
            subscriber = self.subscribers[name]
            assert subscriber.live
            place = self.codec.decode(cursor, self.timeline)
            assert place.seq > subscriber.through, "a position is news"
            self._complete_up_to(subscriber, place)
            self.cursors.append(cursor)
        assert self.feed.positions() == []

    # ------------------------------------------------------------------------------------------------------- what is promised

    def _apply(self, step: Step) -> None:
        match step:
            case Deliver():
                self._deliver(step)
            case CaughtUp(name, cursor):
                subscriber = self.subscribers[name]
                assert not subscriber.live, "CaughtUp comes once"
                subscriber.live = True
                place = self.codec.decode(cursor, self.timeline)
                assert place.seq >= subscriber.head_at_start, "CaughtUp after all that existed at the start"
                self._complete_up_to(subscriber, place)
                self.order.append(name)
                self.cursors.append(cursor)
            case Fetch(after):
                assert self.asked is None, "one Fetch at a time"
                self.asked = after
                self.seen["fetched"] += 1
            case Reset(names, cursor):
                place = self._place(cursor)
                for name in names:
                    subscriber = self.subscribers[name]
                    assert subscriber.through < self.edge(), "nothing was lost"
                    assert place.seq >= subscriber.through
                    subscriber.through = subscriber.head_at_start = place.seq
                    subscriber.resets += 1
                self.cursors.append(cursor)
                self.seen["resets"] += 1

    def _deliver(self, step: Deliver) -> None:
        entry = step.entry
        event = self.history()[entry.seq - 1]
        assert entry.position == event.position
        assert (entry.name, entry.session_id, entry.service_request_id) == (
            event.name,
            event.session_id,
            event.service_request_id,
        )
        assert entry.body == event.body
        assert self._place(entry.cursor) == event.position
        first = self.subscribers[step.subscription_ids[0]]
        if first.live:
            due = [
                name
                for name in self.order
                if self.subscribers[name].through < entry.seq and self.subscribers[name].wants(event)
            ]
            assert list(step.subscription_ids) == due, "one frame names all that are due"
        else:
            assert len(step.subscription_ids) == 1
            assert step.superseded == ()
        self.seen["superseded"] += len(step.superseded)
        self.seen["shared"] += len(step.subscription_ids) > 1
        for seq in step.superseded:
            self._check_superseded(seq, step)
        for name in step.subscription_ids:
            self._receive(self.subscribers[name], event, step.superseded)
        assert self.feed.sent >= entry.seq
        self.cursors.append(entry.cursor)

    def _check_superseded(self, seq: int, step: Deliver) -> None:
        old = self.history()[seq - 1]
        assert old.name == PROCESSING
        assert seq < step.entry.seq
        named = [self.subscribers[name] for name in step.subscription_ids]
        assert any(each.wants(old) and each.through < seq for each in named), "listed once, for whom it was due to"
        assert any(
            new.name == PROCESSING and new.service_request_id == old.service_request_id for new in self.history()[seq:]
        ), "what gives way gives way to something newer"

    def _receive(self, subscriber: Subscriber, event: StoredEvent, superseded: Sequence[int]) -> None:
        assert subscriber.wants(event), "only what was asked for"
        assert event.seq > subscriber.through, "in order, once"
        between = self.history()[subscriber.through : event.seq - 1]
        left_out = {each.seq for each in between if subscriber.wants(each)} - set(superseded)
        assert not left_out, "every matching event"
        subscriber.through = event.seq
        subscriber.received.append(event.seq)

    def _complete_up_to(self, subscriber: Subscriber, place: Position) -> None:
        assert place.seq >= subscriber.through
        assert place == (self.history()[place.seq - 1].position if place.seq else GENESIS)
        assert not [each.seq for each in self.history()[subscriber.through : place.seq] if subscriber.wants(each)]
        subscriber.through = place.seq

    def check_complete(self) -> None:
        """Once everything was published, read and pulled: nobody misses anything."""
        end = self.history()[-1].position if self.history() else GENESIS
        for subscriber in self.subscribers.values():
            assert subscriber.live
            self._complete_up_to(subscriber, end)

    def _place(self, cursor: str) -> Position:
        return self.codec.decode(cursor, self.timeline)
