"""What may run at the same time, without threads."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from session_platform.store.postgres.lanes import Lanes


@dataclass(frozen=True, eq=False)
class Work:
    number: int
    timelines: tuple[str, ...]


arrivals = st.lists(st.one_of(st.lists(st.sampled_from("abcd"), max_size=3).map(tuple), st.integers(0, 7)), max_size=60)


@given(steps=arrivals)
def test_nothing_runs_beside_its_like_everything_runs_and_each_timeline_in_order(steps: list[tuple[str, ...] | int]) -> None:
    """A step is work that arrives, or which of the running works ends."""
    lanes: Lanes[Work] = Lanes()
    arrived: list[Work] = []
    began: list[Work] = []
    running: list[Work] = []

    def begin_all() -> None:
        while (work := lanes.take()) is not None:
            assert not any(set(work.timelines) & set(other.timelines) for other in running)
            running.append(work)
            began.append(work)

    def end(which: int) -> None:
        before = len(lanes)
        ready = lanes.done(running.pop(which % len(running)))
        begin_all()
        assert before - len(lanes) == ready

    for step in steps:
        if isinstance(step, tuple):
            arrived.append(Work(len(arrived), step))
            lanes.add(arrived[-1])
            begin_all()
        elif running:
            end(step)
    while running:
        end(0)
    assert len(lanes) == 0
    assert sorted(work.number for work in began) == [work.number for work in arrived]
    for timeline in "abcd":
        numbers = [work.number for work in began if timeline in work.timelines]
        assert numbers == sorted(numbers)
