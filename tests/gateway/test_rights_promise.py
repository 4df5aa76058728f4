"""The promise about rights, on the protocol core: staff get exactly the matching events up to and including the one that ended
their right, whatever happens in between and however late a part learns of what; never one after; and what holds goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from session_platform.gateway.effects import (
    Permit,
)
from session_platform.gateway.tenure import GRACE_S
from session_platform.store import StoredEvent
from session_platform.timeline import Filter, entry_of
from tests.gateway.bench import CODEC, MEMBER, SESSION
from tests.gateway.world import Change, World

NAMES = st.sampled_from(["service_request.processing", "task.assigned", "session.ended"])
SCOPES: list[tuple[dict[str, Any], Filter]] = [
    ({"type": "member", "member_id": MEMBER}, Filter.member()),
    ({"type": "member", "member_id": MEMBER, "events": ["task.*"]}, Filter.member(["task.*"])),
    ({"type": "session", "session_id": SESSION}, Filter.session(SESSION)),
]


@dataclass
class Subscriber:
    """``since``: how many changes there had been when it was permitted; None through the glass."""

    wanted: Filter
    after: int
    since: int | None
    got: list[int] = field(default_factory=list)
    superseded: set[int] = field(default_factory=set)

    def due(self, history: list[StoredEvent], through: int) -> list[int]:
        return [
            event.seq
            for event in history[self.after : through]
            if self.wanted.matches(event.name, event.session_id, event.service_request_id)
        ]

    def had(self, history: list[StoredEvent], through: int) -> bool:
        """Whether it got everything up to there and nothing else."""
        missing = set(self.due(history, through)) - set(self.got)
        return missing <= self.superseded and set(self.got) <= set(self.due(history, through))


class RightsPromise(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.read = len(self.world.frames)
        self.asked: dict[str, tuple[Filter, bool]] = {}
        self.permits: dict[str, int] = {}
        self.live: dict[str, Subscriber] = {}
        self.commands = 0
        self.blocked = False

    # ------------------------------------------------------------------------------------------------------ what is committed

    @rule(name=NAMES, session=st.sampled_from([SESSION, "sess_2"]), count=st.integers(1, 3))
    def events_happen(self, name: str, session: str, count: int) -> None:
        for _ in range(count):
            self.world.commit(name, session)

    @rule(name=NAMES, ends=st.booleans(), with_event=st.booleans())
    def a_relationship_begins_or_ends(self, name: str, ends: bool, with_event: bool) -> None:
        if with_event:
            self.world.commit(name, SESSION)
        self.world.changes.append(Change(not ends, len(self.world.history)))

    # ---------------------------------------------------------------------------------------------- what this process learns

    @rule()
    def the_follower_reads(self) -> None:
        self.world.snapshots.append((len(self.world.history), len(self.world.changes)))

    @precondition(lambda self: self.world.snapshots)
    @rule()
    def what_the_follower_read_arrives(self) -> None:
        events, changes = self.world.snapshots.popleft()
        self.world.take(changes)
        self.world.router.publish(self.world.history[self.world.published : events])
        self.world.published = events

    @rule()
    def the_poll_reads(self) -> None:
        self.world.take(len(self.world.changes))

    @precondition(lambda self: self.world.rechecks)
    @rule()
    def a_recheck_is_read(self) -> None:
        self.world.answers.append(self.world.recheck(self.world.rechecks.popleft()))

    @precondition(lambda self: self.world.answers)
    @rule()
    def a_recheck_arrives(self) -> None:
        self.world.connection.rechecked(self.world.answers.popleft(), self.world.now)

    # ----------------------------------------------------------------------------------------------------------- the client

    @rule(
        scope=st.sampled_from(SCOPES),
        start=st.one_of(st.none(), st.just("beginning"), st.integers(0, 1000)),
        glass=st.sampled_from([False, False, False, True]),
    )
    def the_client_subscribes(self, scope: tuple[dict[str, Any], Filter], start: str | int | None, glass: bool) -> None:
        self.commands += 1
        fields: dict[str, Any] = {"since": start} if isinstance(start, str) else {}
        if isinstance(start, int):
            fields = {"cursor": self.world.cursor(start % (len(self.world.history) + 1))}
        if glass:
            fields["break_glass"] = "emergency"
        name = str(self.commands)
        self.asked[name] = (scope[1], glass)
        frame = {"type": "subscribe", "id": name, "subscription": scope[0], **fields}
        self.world.connection.receive(json.dumps(frame), self.world.now)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 1000))
    def the_client_unsubscribes(self, which: int) -> None:
        name = sorted(self.live)[which % len(self.live)]
        self.world.connection.receive(json.dumps({"type": "unsubscribe", "subscription_id": name}), self.world.now)

    @rule()
    def the_client_stops_and_starts_reading(self) -> None:
        self.blocked = not self.blocked
        if self.blocked:
            self.world.connection.blocked(self.world.now)
        else:
            self.world.connection.unblocked(self.world.now)

    @rule()
    def the_client_comes_back_on_another_connection(self) -> None:
        self._hear()
        self.world.connect()
        self.read = len(self.world.frames)
        self.live, self.asked, self.blocked = {}, {}, False

    # ------------------------------------------------------------------------------------------------- what the store answers

    @precondition(lambda self: self.world.asked)
    @rule()
    def a_command_is_done(self) -> None:
        asked = self.world.asked.popleft()
        if isinstance(asked, Permit):
            self.permits[str(min(map(int, self.asked)))] = len(self.world.changes)
        self.world.outcomes.append(self.world._outcome(asked))

    @precondition(lambda self: self.world.outcomes)
    @rule()
    def its_answer_arrives(self) -> None:
        self.world.connection.resolve(self.world.outcomes.popleft(), self.world.now)

    @precondition(lambda self: self.world.fetches)
    @rule(limit=st.integers(1, 6))
    def a_page_is_read(self, limit: int) -> None:
        fetch = self.world.fetches.pop(0)
        entries = [entry_of(event, CODEC) for event in self.world.history[fetch.after : fetch.after + limit]]
        self.world.pages.append((fetch, entries))

    @precondition(lambda self: self.world.pages)
    @rule()
    def it_arrives(self) -> None:
        """Behind a look at the changes, as every page for staff does."""
        self.world.take(len(self.world.changes))
        self.world.connection.page(*self.world.pages.popleft())

    @rule()
    def the_connection_has_its_turn(self) -> None:
        self.world.connection.pull(self.world.now)

    # --------------------------------------------------------------------------------------------------------------- checks

    @invariant()
    def every_frame_keeps_the_promise(self) -> None:
        self._hear()

    def _hear(self) -> None:
        self.world.do_outputs()
        for frame in self.world.frames[self.read :]:
            getattr(self, f"_{frame['type']}")(frame)
        self.read = len(self.world.frames)

    def _subscribed(self, frame: dict[str, Any]) -> None:
        wanted, glass = self.asked.pop(frame["id"])
        after = CODEC.decode(frame["cursor"], MEMBER).seq
        self.live[frame["subscription_id"]] = Subscriber(wanted, after, None if glass else self.permits[frame["id"]])

    def _error(self, frame: dict[str, Any]) -> None:
        if "id" in frame:
            del self.asked[frame["id"]]

    def _event(self, frame: dict[str, Any]) -> None:
        seq = int(frame["event"]["timelineseq"])
        for name in frame["subscription_ids"]:
            subscriber = self.live[name]
            if subscriber.since is not None:
                assert seq <= self._last_held(), "an event after the one that ended the right"
            subscriber.superseded |= {int(each) for each in frame.get("superseded", ())}
            assert not subscriber.got or subscriber.got[-1] < seq
            subscriber.got.append(seq)

    def _last_held(self) -> int:
        """The highest number that may be seen: everything while the right holds, else up to the newest change (that one names a
        relationship which ended, whether it was the last one or not)."""
        if self.world.holds:
            return len(self.world.history)
        ends = [
            new for old, new in zip(self.world.changes, self.world.changes[1:], strict=False) if old.holds and not new.holds
        ]
        return max(self.world.changes[-1].seq, *(end.seq for end in ends))

    def _unsubscribed(self, frame: dict[str, Any]) -> None:
        subscriber = self.live.pop(frame["subscription_id"])
        if frame["reason"] is None:
            return
        assert frame["reason"] == "right_ended"
        assert subscriber.since is not None, "nothing ends what is seen through the glass"
        changes = self.world.changes[subscriber.since :]
        self._ended_rightly(subscriber, [change.seq for change in changes if not change.holds])

    def _ended_rightly(self, subscriber: Subscriber, ends: list[int]) -> None:
        assert any(subscriber.had(self.world.history, max(end, subscriber.after)) for end in ends), (subscriber, ends)

    def _caught_up(self, frame: dict[str, Any]) -> None:
        assert frame["subscription_id"] in self.live

    def _position(self, frame: dict[str, Any]) -> None:
        assert {each["subscription_id"] for each in frame["positions"]} <= self.live.keys()

    def _three_are_read(self) -> None:
        self.a_page_is_read(3)

    def teardown(self) -> None:
        """Everything arrives in the end: nobody without the right is left, and nobody with it lacks anything."""
        if self.blocked:
            self.the_client_stops_and_starts_reading()
        steps = (
            (self.world.snapshots, self.what_the_follower_read_arrives),
            (self.world.asked, self.a_command_is_done),
            (self.world.outcomes, self.its_answer_arrives),
            (self.world.rechecks, self.a_recheck_is_read),
            (self.world.answers, self.a_recheck_arrives),
            (self.world.fetches, self._three_are_read),
            (self.world.pages, self.it_arrives),
        )
        self.the_follower_reads()
        while any(waiting for waiting, _ in steps) or self.world.connection.pull(self.world.now):
            for waiting, step in steps:
                while waiting:
                    step()
                    self._hear()
            self.world.connection.pull(self.world.now)
            self._hear()
        assert self.world.holds or all(each.since is None for each in self.live.values())
        for subscriber in self.live.values():
            assert subscriber.had(self.world.history, len(self.world.history)), subscriber


class RightsPromiseInTime(RightsPromise):
    """Also when rechecks fail and time passes: then what was still to come may be cut short, and nothing else changes."""

    @precondition(lambda self: self.world.rechecks)
    @rule()
    def a_recheck_fails(self) -> None:
        self.world.connection.recheck_failed(self.world.rechecks.popleft(), self.world.now)

    @rule(seconds=st.sampled_from([0.1, GRACE_S, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.connection.ponged(self.world.now)
        self.world.now += seconds
        self.world.connection.tick(self.world.now)
        if self.blocked:
            self.world.connection.blocked(self.world.now)

    def _ended_rightly(self, subscriber: Subscriber, ends: list[int]) -> None:
        assert ends
        through = subscriber.got[-1] if subscriber.got else subscriber.after
        assert subscriber.had(self.world.history, through), subscriber

    def teardown(self) -> None:
        for _ in range(3):
            self.time_passes(1.0)
            self._hear()
            self.time_passes(GRACE_S)
            self._hear()
        super().teardown()


TestRightsPromise = RightsPromise.TestCase
TestRightsPromise.settings = settings(max_examples=250, stateful_step_count=40, deadline=None)
TestRightsPromiseInTime = RightsPromiseInTime.TestCase
TestRightsPromiseInTime.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
