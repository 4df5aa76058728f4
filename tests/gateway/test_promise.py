"""The promise to a client, on the protocol core: whatever happens in between, each subscription gets each matching event once,
in order, with exactly one `caught_up`, and nothing is left out that `superseded` does not name."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from session_platform.store import StoredEvent
from session_platform.timeline import Filter
from tests.gateway.bench import CODEC, MEMBER, REQUEST, SESSION, Bench

PROCESSING = "service_request.processing"
NAMES = st.sampled_from([PROCESSING, PROCESSING, "task.assigned", "task.completed", "rte.completed", "not.invented.yet"])
SCOPES: list[tuple[dict[str, Any], Filter]] = [
    ({"type": "member", "member_id": MEMBER}, Filter.member()),
    ({"type": "member", "member_id": MEMBER, "events": ["task.*"]}, Filter.member(["task.*"])),
    ({"type": "session", "session_id": SESSION}, Filter.session(SESSION)),
    ({"type": "session", "session_id": "sess_2", "events": ["*"]}, Filter.session("sess_2")),
    (
        {"type": "service_request", "service_request_ids": [REQUEST, "sr_2"], "events": [PROCESSING]},
        Filter.service_requests([REQUEST, "sr_2"], [PROCESSING]),
    ),
]


class Subscriber:
    """What the user of one subscription knows."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.through = 0  # everything up to here is known
        self.live = False
        self.gone = False

    def wants(self, event: StoredEvent) -> bool:
        return self.wanted.matches(event.name, event.session_id, event.service_request_id)


class Promise(RuleBasedStateMachine):
    """A client that checks every frame against the history, and a world that answers when and how it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(events_in_window=5)
        self.bench.connect()
        self.bench.answering = False
        self.read = len(self.bench.frames)
        self.blocked = False
        self.unheard: list[StoredEvent] = []
        self.asked: dict[str, Filter] = {}  # by frame id
        self.subscribers: dict[str, Subscriber] = {}
        self.cursors = [self.bench.cursor(0)]
        self.commands = 0

    # ---------------------------------------------------------------------------------------------------------------- rules

    @rule(
        name=NAMES,
        session=st.sampled_from([SESSION, "sess_2"]),
        request=st.sampled_from([REQUEST, "sr_2"]),
        count=st.integers(1, 4),
    )
    def events_happen(self, name: str, session: str, request: str, count: int) -> None:
        self.unheard += [self.bench.commit(name, session, request) for _ in range(count)]

    @precondition(lambda self: self.unheard)
    @rule()
    def they_are_published(self) -> None:
        self.bench.router.publish(self.unheard)
        self.unheard = []

    @precondition(lambda self: self.bench.history)
    @rule()
    def old_ones_are_published_again(self) -> None:
        self.bench.router.publish(self.bench.history[: len(self.bench.history) - len(self.unheard)])

    @rule(scope=st.sampled_from(SCOPES), start=st.one_of(st.none(), st.just("beginning"), st.integers(0, 1000)))
    def the_client_subscribes(self, scope: tuple[dict[str, Any], Filter], start: str | int | None) -> None:
        self.commands += 1
        fields: dict[str, Any] = {"since": start} if isinstance(start, str) else {}
        if isinstance(start, int):
            fields = {"cursor": self.cursors[start % len(self.cursors)]}
        self.asked[str(self.commands)] = scope[1]
        self.bench.tell(type="subscribe", id=str(self.commands), subscription=scope[0], **fields)

    @precondition(lambda self: self.subscribers)
    @rule(which=st.integers(0, 1000))
    def the_client_unsubscribes(self, which: int) -> None:
        name = sorted(self.subscribers)[which % len(self.subscribers)]
        self.bench.tell(type="unsubscribe", subscription_id=name)

    @precondition(lambda self: self.bench.asked)
    @rule()
    def the_world_answers(self) -> None:
        self.bench.answer_one()

    @precondition(lambda self: self.bench.fetches)
    @rule(limit=st.integers(1, 6))
    def the_history_answers(self, limit: int) -> None:
        self.bench.fetch_one(limit)

    @precondition(lambda self: self.bench.fetches)
    @rule()
    def the_history_is_away(self) -> None:
        self.bench.connection.page_failed(self.bench.fetches.pop(0), self.bench.now)

    @rule(seconds=st.sampled_from([0.1, 1.0, 14.0]))
    def time_passes(self, seconds: float) -> None:
        self.bench.connection.ponged(self.bench.now)
        self.bench.now += seconds
        self.bench.connection.tick(self.bench.now)
        if self.blocked:
            self.bench.connection.blocked(self.bench.now)

    @rule()
    def the_client_stops_and_starts_reading(self) -> None:
        self.blocked = not self.blocked
        if self.blocked:
            self.bench.connection.blocked(self.bench.now)
        else:
            self.bench.connection.unblocked(self.bench.now)

    @rule()
    def the_connection_has_its_turn(self) -> None:
        self.bench.connection.pull(self.bench.now)

    @rule(session=st.sampled_from([SESSION, "sess_2"]))
    def something_passes_by(self, session: str) -> None:
        self.bench.pass_by(session)

    # --------------------------------------------------------------------------------------------------------------- checks

    @invariant()
    def every_frame_keeps_the_promise(self) -> None:
        for output in self.bench.connection.take():
            self.bench._do(output)
        assert self.bench.closed is None
        for frame in self.bench.frames[self.read :]:
            getattr(self, f"_{frame['type']}")(frame)
        self.read = len(self.bench.frames)

    def _subscribed(self, frame: dict[str, Any]) -> None:
        subscriber = Subscriber(self.asked.pop(frame["id"]))
        subscriber.through = self._place(frame["cursor"])
        self.subscribers[frame["subscription_id"]] = subscriber

    def _unsubscribed(self, frame: dict[str, Any]) -> None:
        self.subscribers[frame["subscription_id"]].gone = True

    def _event(self, frame: dict[str, Any]) -> None:
        assert not self.blocked
        if "timelineseq" not in frame["event"]:
            self._passed_by(frame)
            return
        seq = int(frame["event"]["timelineseq"])
        assert self._place(frame["cursor"]) == seq
        self.cursors.append(frame["cursor"])
        superseded = {int(each) for each in frame.get("superseded", ())}
        assert all(self.bench.history[each - 1].name == PROCESSING for each in superseded)
        for name in frame["subscription_ids"]:
            subscriber = self.subscribers[name]
            assert not subscriber.gone
            assert subscriber.wants(self.bench.history[seq - 1])
            left_out = [event.seq for event in self.bench.history[subscriber.through : seq - 1] if subscriber.wants(event)]
            assert set(left_out) <= superseded, "an event was left out"
            assert seq > subscriber.through, "an event came twice or late"
            subscriber.through = seq

    def _passed_by(self, frame: dict[str, Any]) -> None:
        for name in frame["subscription_ids"]:
            assert self.subscribers[name].live
            assert self.subscribers[name].through <= self._place(frame["cursor"])

    def _caught_up(self, frame: dict[str, Any]) -> None:
        subscriber = self.subscribers[frame["subscription_id"]]
        assert not subscriber.gone
        assert not subscriber.live, "caught_up came twice"
        subscriber.live = True
        self._knows_up_to(subscriber, frame["cursor"])

    def _position(self, frame: dict[str, Any]) -> None:
        for each in frame["positions"]:
            subscriber = self.subscribers[each["subscription_id"]]
            assert subscriber.live
            self._knows_up_to(subscriber, each["cursor"])

    def _error(self, frame: dict[str, Any]) -> None:
        assert frame["code"] == "forbidden_or_missing", "only an unsubscribe of what is gone already"

    def _knows_up_to(self, subscriber: Subscriber, cursor: str) -> None:
        place = self._place(cursor)
        missed = [event.seq for event in self.bench.history[subscriber.through : place] if subscriber.wants(event)]
        assert not missed, "a cursor went past an event that was not sent"
        subscriber.through = max(subscriber.through, place)
        self.cursors.append(cursor)

    def _place(self, cursor: str) -> int:
        return CODEC.decode(cursor, MEMBER).seq

    def teardown(self) -> None:
        """In the end the client reads, the world answers, and everything published is there."""
        if self.blocked:
            self.the_client_stops_and_starts_reading()
        self.bench.router.publish(self.unheard)
        for _ in range(3):
            self.bench.now += self.bench.limits.retry_s
            self.bench.connection.ponged(self.bench.now)
            self.bench.answering = True
            self.bench.settle()
            self.every_frame_keeps_the_promise()
        for subscriber in self.subscribers.values():
            if not subscriber.gone:
                assert subscriber.live, "a subscription never caught up"
                missed = [event.seq for event in self.bench.history[subscriber.through :] if subscriber.wants(event)]
                assert not missed, "an event never came"


Promise.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestThePromise = Promise.TestCase
