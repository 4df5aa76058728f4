"""Whatever dies, is late, or runs beside it: each event that was committed arrives once, a member's in the order they were
written, and a refused one holds back its member alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from digital_session_producer import RefusedError, TooLargeError, UnavailableError
from digital_session_producer._publication import Answer, Retry, publication
from digital_session_producer.errors import ProducerError
from digital_session_producer.outbox._round import Forward, Limits, Rounds, SetAside, Step, Transact
from digital_session_producer.outbox.table import Rows
from tests.producer.backend import Clock, event, in_memory
from tests.producer.platform import FakePlatform

LIMITS = Limits(batch=5, batch_max_bytes=2000, lease_s=6.0, keep_sent_s=60.0)


class Relay:
    """A relay that does one step at a time, and dies when the test says so."""

    def __init__(self, stage: Stage, name: str, limits: Limits = LIMITS) -> None:
        self._stage = stage
        self._name = name
        self._limits = limits
        self._rounds = Rounds(Rows(stage.outbox, stage.clock.now), name, limits)
        self._round: Generator[Step, Any, int] | None = None
        self._next: Step | None = None
        self.handled = 0

    def step(self, fate: str = "lives") -> bool:
        """Do the next step; whether the round goes on. ``fate``: dies before it, dies before it hears what came of it, or a
        publication's answer is lost."""
        if self._round is None:
            self._round = self._rounds.one(self._stage.clock.seconds)
            if not self._goes_on(None):
                return False
        assert self._next is not None
        if fate == "dies before":
            return self._dies()
        reply = self._stage.carry_out(self._next, fate == "answer lost")
        return self._dies() if fate == "dies deaf" else self._goes_on(reply)

    def _goes_on(self, reply: object) -> bool:
        assert self._round is not None
        try:
            self._next = self._round.send(reply)
        except StopIteration as done:
            self.handled, self._round = done.value, None
        except UnavailableError:
            self.handled, self._round = 0, None
        return self._round is not None

    def _dies(self) -> bool:
        self._round = None
        self._rounds = Rounds(Rows(self._stage.outbox, self._stage.clock.now), f"{self._name}+", self._limits)
        return False

    def round(self) -> int:
        while self.step():
            pass
        return self.handled


class Stage:
    """A backend's database, the platform, and what was committed in which order."""

    def __init__(self, platform: FakePlatform | None = None) -> None:
        self.engine, self.outbox = in_memory()
        self.clock = Clock()
        self.platform = platform or FakePlatform()
        self.committed: dict[str, list[str]] = defaultdict(list)
        self.told: list[str] = []

    def add(self, member: str, *event_ids: str, text: str = "") -> None:
        with self.engine.begin() as connection:
            self.outbox.add(connection, *(event(member, event_id, text) for event_id in event_ids))
        self.committed[member] += event_ids

    def carry_out(self, step: Step, answer_lost: bool = False) -> object:
        match step:
            case Transact():
                with self.engine.begin() as connection:
                    return step.work(connection)
            case Forward():
                error = self._forward(step)
                return UnavailableError("lost") if answer_lost else error
            case SetAside():
                self.told.append(step.event_id)
                return None

    def _forward(self, step: Forward) -> ProducerError | None:
        run = publication(step.envelopes, Retry(tries=1), lambda: 0.0)
        send: Any = next(run)
        heard = self.platform.take(send.content_type, send.body)
        try:
            run.send(Answer(heard.status_code, heard.content))
        except StopIteration:
            return None
        except ProducerError as error:
            return error
        raise AssertionError("a publication of one try goes on")

    def refused(self) -> list[str]:
        with self.engine.begin() as connection:
            return [each.event_id for each in self.outbox.refused(connection)]


FATES = st.sampled_from(["lives"] * 6 + ["dies before", "dies deaf", "answer lost"])
MEMBERS = st.sampled_from(["M1", "M2", "M3"])


class Interleavings(RuleBasedStateMachine):
    """Three relays, of which each may be slow enough to lose its lease, over one outbox."""

    @initialize(terse=st.booleans(), body_max_bytes=st.sampled_from([900, 100_000]))
    def begin(self, terse: bool, body_max_bytes: int) -> None:
        self.stage = Stage(FakePlatform(body_max_bytes))
        self.stage.platform.terse = terse
        self.relays = [Relay(self.stage, name) for name in "abc"]
        self.minted = 0
        self.skipped: set[str] = set()

    def mint(self) -> str:
        self.minted += 1
        return f"e{self.minted}"

    @rule(member=MEMBERS, count=st.integers(1, 4), poison=st.integers(0, 12))
    def commit(self, member: str, count: int, poison: int) -> None:
        names = [self.mint() for _ in range(count)]
        if poison < count:
            self.stage.platform.poison.add(names[poison])
        self.stage.add(member, *names)

    @rule(member=MEMBERS)
    def roll_back(self, member: str) -> None:
        with self.stage.engine.connect() as connection:
            self.stage.outbox.add(connection, event(member, self.mint()))
            connection.rollback()

    @rule(relay=st.integers(0, 2), steps=st.integers(1, 6), fate=FATES)
    def relay_works(self, relay: int, steps: int, fate: str) -> None:
        for _ in range(steps - 1):
            self.relays[relay].step()
        self.relays[relay].step(fate)

    @rule(seconds=st.sampled_from([1.0, 3.0, 7.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self.stage.clock.advance(seconds)

    @rule(heals=st.booleans())
    def operator_looks(self, heals: bool) -> None:
        for name in self.stage.refused()[:1]:
            with self.stage.engine.begin() as connection:
                if heals:
                    self.stage.platform.poison.discard(name)
                    assert self.stage.outbox.retry(connection, name)
                else:
                    assert self.stage.outbox.skip(connection, name)
                    self.skipped.add(name)

    @invariant()
    def a_members_events_arrive_in_order_and_without_a_hole(self) -> None:
        if not hasattr(self, "stage"):
            return
        for member, taken in self.stage.platform.taken.items():
            said = [name for name in self.stage.committed[member] if name not in self.skipped]
            assert taken == said[: len(taken)]

    def teardown(self) -> None:
        if not hasattr(self, "stage"):
            return
        self._drain()
        held = set(self.stage.refused())
        for member, said in self.stage.committed.items():
            due = [name for name in said if name not in self.skipped]
            first = next((index for index, name in enumerate(due) if name in held), len(due))
            assert self.stage.platform.taken[member] == due[:first]
        for name in held:
            self.stage.platform.poison.discard(name)
        self.stage.platform.poison.clear()
        with self.stage.engine.begin() as connection:
            for name in held:
                self.stage.outbox.retry(connection, name)
        self._drain()
        for member, said in self.stage.committed.items():
            assert self.stage.platform.taken[member] == [name for name in said if name not in self.skipped]

    def _drain(self) -> None:
        self.stage.clock.advance(60)
        fresh = Relay(self.stage, "last")
        while fresh.round():
            pass


Interleavings.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestInterleavings = Interleavings.TestCase


STEPS_OF_A_ROUND = 4


@pytest.mark.parametrize("fate", ["dies before", "dies deaf", "answer lost"])
@pytest.mark.parametrize("at", range(STEPS_OF_A_ROUND))
def test_a_relay_may_die_at_every_step(at: int, fate: str) -> None:
    stage = Stage()
    stage.add("M1", "e1", "e2")
    stage.add("M2", "e3")
    dying = Relay(stage, "a")
    for _ in range(at):
        assert dying.step()
    dying.step(fate)
    stage.clock.advance(10)
    next_one = Relay(stage, "b")
    while next_one.round():
        pass
    assert stage.platform.taken == {"M1": ["e1", "e2"], "M2": ["e3"]}


def test_a_round_has_as_many_steps_as_are_tried() -> None:
    stage = Stage()
    stage.add("M1", "e1")
    relay = Relay(stage, "a")
    assert [relay.step() for _ in range(STEPS_OF_A_ROUND)] == [True, True, True, False]


def test_the_second_relay_rests_while_the_first_works_and_takes_over_when_it_is_gone() -> None:
    stage = Stage()
    first, second = Relay(stage, "a"), Relay(stage, "b")
    stage.add("M1", "e1")
    assert first.round() == 1
    stage.add("M1", "e2")
    assert second.round() == 0
    stage.clock.advance(6.1)
    assert second.round() == 1
    assert stage.platform.taken == {"M1": ["e1", "e2"]}


def test_a_relay_that_lets_go_is_followed_at_once() -> None:
    stage = Stage()
    first, second = Rounds(Rows(stage.outbox, stage.clock.now), "a", LIMITS), Relay(stage, "b")
    stage.carry_out(next(first.one(0.0)))
    stage.add("M1", "e1")
    stage.carry_out(first.let_go())
    assert second.round() == 1


def test_a_poison_row_is_set_aside_with_its_reason_and_told_once() -> None:
    stage = Stage()
    stage.platform.poison = {"e2"}
    stage.add("M1", "e1", "e2", "e3")
    stage.add("M2", "e4")
    Relay(stage, "a").round()
    assert stage.platform.taken == {"M1": ["e1"], "M2": ["e4"]}
    assert stage.told == ["e2"]
    with stage.engine.begin() as connection:
        (refused,) = stage.outbox.refused(connection)
    assert (refused.event_id, refused.reason) == ("e2", "/data/task_id: is unknown")


def test_what_is_refused_only_because_an_earlier_one_was_is_not_blamed() -> None:
    stage = Stage()
    stage.platform.poison = {"e1", "e2"}
    stage.add("M1", "e1", "e2")
    Relay(stage, "a").round()
    assert stage.told == ["e1"]
    with stage.engine.begin() as connection:
        (refused,) = stage.outbox.refused(connection)
    assert (refused.event_id, refused.reason) == ("e1", "/data/task_id: is unknown")


@pytest.mark.parametrize("error", [RefusedError("no"), TooLargeError("no")], ids=lambda error: error.code)
def test_an_event_that_is_refused_alone_without_a_pointer_is_set_aside(error: ProducerError) -> None:
    stage = Stage()
    stage.add("M1", "e1")
    steps = Rounds(Rows(stage.outbox, stage.clock.now), "a", LIMITS).one(0.0)
    step = next(steps)
    told: list[Step] = []
    with pytest.raises(StopIteration):  # noqa: PT012 (a generator's end)
        while True:
            told += [step] if isinstance(step, SetAside) else []
            step = steps.send(error if isinstance(step, Forward) else stage.carry_out(step))
    assert told == [SetAside("e1", str(error))]


def test_batches_are_bounded_by_size_and_one_large_event_goes_alone() -> None:
    stage = Stage()
    stage.add("M1", "e1", "e2", text="x" * 600)
    stage.add("M1", "e3", text="x" * 5000)
    stage.add("M1", "e4")
    relay = Relay(stage, "a", Limits(batch_max_bytes=2000))
    sizes: list[int] = []
    take = stage.platform.take

    def noting(content_type: str, body: bytes) -> Any:
        sizes.append(len(body))
        return take(content_type, body)

    stage.platform.take = noting  # type: ignore[method-assign]
    relay.round()
    assert stage.platform.taken == {"M1": ["e1", "e2", "e3", "e4"]}
    assert [size > 5000 for size in sizes] == [False, True, False]


def test_an_idle_relay_deletes_what_is_long_done() -> None:
    stage = Stage()
    stage.add("M1", "e1")
    relay = Relay(stage, "a")
    relay.round()
    stage.clock.advance(61)
    assert relay.round() == 0
    with stage.engine.begin() as connection:
        assert connection.execute(stage.outbox.table.select()).all() == []
