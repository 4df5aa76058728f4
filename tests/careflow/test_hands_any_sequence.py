"""Two tasks and many hands: whatever several people and services do to them in whatever order, with whatever they remember,
each task completes at most once, by who holds it and with the present attempt, and the timeline tells it soundly."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from session_platform.careflow import Hand, TaskView
from session_platform.clock import ManualClock
from session_platform.errors import Conflict, Invalid
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore
from tests.careflow.made_up import Clinic, open_clinic
from tests.careflow.test_any_sequence import Story

PEOPLE = {
    "ADVISE": [Hand(id="C001", name="Dana"), Hand(id="C002", name="Ito")],
    "PRINT": [Hand(id="printer"), Hand(id="press")],
}
RESULTS: dict[str, dict[str, Any]] = {"ADVISE": {"advice": "Rest."}, "PRINT": {"pages": 1}}


class Step(NamedTuple):
    """``memory``: which of the attempts that the hand has seen it thinks it works on; 0 is the newest."""

    what: str
    task: int
    who: int
    memory: int
    outcome: str


STEPS = st.lists(
    st.builds(
        Step,
        what=st.sampled_from(["take", "take", "start", "start", "start", "release", "complete", "complete", "lapse", "cancel"]),
        task=st.integers(0, 1),
        who=st.integers(0, 1),
        memory=st.integers(0, 2),
        outcome=st.sampled_from(["SUCCESS", "SUCCESS", "FAILED", "JAM"]),
    ),
    max_size=40,
)


class Ward:
    def __init__(self, clinic: Clinic, tasks: list[TaskView]) -> None:
        self.clinic = clinic
        self.tasks = tasks
        self.seen: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.completions: list[str] = []
        self.refused = 0

    async def do(self, step: Step) -> None:
        task = self.tasks[step.task]
        who = PEOPLE[task.task_type][step.who]
        try:
            match step.what:
                case "lapse":
                    self.clinic.clock.advance(step.memory * 20)
                    await self.clinic.lapse(task.task_id)
                case "cancel" if step.memory == 2 and step.outcome == "JAM":
                    assert task.service_request_id is not None
                    await self.clinic.cancel(task.service_request_id)
                case "complete":
                    await self.complete(task, who, step)
                case "take" | "start" | "release":
                    view = await getattr(self.clinic, step.what)(task.task_id, who)
                    self.seen[task.task_id, who.id].append(view.attempt)
        except (Conflict, Invalid):
            self.refused += 1

    async def complete(self, task: TaskView, who: Hand, step: Step) -> None:
        before = await self.clinic.task(task.task_id)
        seen = self.seen[task.task_id, who.id]
        attempt = seen[-1 - step.memory] if step.memory < len(seen) else 0
        result = RESULTS[task.task_type] if step.outcome == "SUCCESS" else {"code": "jam"} if step.outcome == "JAM" else {}
        after = await self.clinic.complete(
            task.task_id, who, "SUCCESS" if step.outcome == "SUCCESS" else "FAILED", attempt, **result
        )
        if after != before:
            assert (before.assignee_id, before.status, before.attempt) == (who.id, "in_progress", attempt)
            self.completions += [task.task_id] if after.completed_at is not None else []


@given(steps=STEPS)
@settings(max_examples=80, phases=[Phase.explicit, Phase.generate], deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_task_completes_at_most_once_by_who_holds_its_present_attempt(steps: list[Step]) -> None:
    asyncio.run(play(steps))


async def play(steps: list[Step]) -> None:
    with TemporaryDirectory() as directory:
        clock = ManualClock()
        store = await SqliteStore.open(Path(directory) / "store", clock, IdMint())
        clinic = open_clinic(store, clock, Path(directory) / "services")
        requests = [await clinic.submit(service) for service in ("ADVICE", "LETTER")]
        ward = Ward(clinic, [await clinic.task(request.tasks[0].task_id) for request in requests])
        for step in steps:
            await ward.do(step)
        story = Story()
        for name, data in await clinic.events():
            story.read(name, data)
        assert len(ward.completions) == len(set(ward.completions))
        told = [task for task, outcome in story.ended_tasks.items() if outcome != "CANCELED"]
        assert sorted(told) == sorted(ward.completions)
        held = [name for name in clinic.rights if name not in {"C001", "C002"}]
        assert held == [], "only staff have relationships"
        await store.close()
