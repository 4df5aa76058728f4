"""Whatever is done to requests and tasks, by workers, people and services, in whatever order, late, twice or by who lost its
lease: the timeline tells one sound story of each, each completes exactly once, and each comes to an end."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from session_platform.careflow import LEASE_S, Hand, TaskRun, TaskView, queue
from session_platform.clock import ManualClock
from session_platform.errors import Conflict, Invalid
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore
from tests.careflow.made_up import MEMBER, SESSION, Clinic, open_clinic

R = TypeVar("R")
Event = tuple[str, dict[str, Any]]
PERSON = {"first_name": "Ada", "born": "1985-04-12"}
SYSTEM_TASKS = ("RTE_CHECK", "FIND", "CHECK", "FILE", "LEFT", "RIGHT")
PEOPLE: Final = (Hand(id="C001", name="Dana"), Hand(id="C002", name="Ito"), Hand(id=MEMBER))
SERVICES_AT_WORK: Final = (Hand(id="printer"), Hand(id="printer-2"))
HANDS: Final = st.sampled_from(PEOPLE + SERVICES_AT_WORK)
FITTING: Final[dict[str, dict[str, Any]]] = {"FILL_IN": {"name": "Ada"}, "ADVISE": {"advice": "Rest."}, "PRINT": {"pages": 1}}


class Story:
    """The timeline so far, read the way a validator would: it remembers only what events said."""

    def __init__(self) -> None:
        self.percents: dict[str, int] = {}
        self.tasks: dict[str, set[str]] = {}
        self.ended_requests: dict[str, str] = {}
        self.ended_tasks: dict[str, str] = {}
        self.holders: dict[str, str | None] = {}
        self._assigned: set[str] = set()
        self._begun: set[str] = set()
        self._open_tasks: dict[str, set[str]] = defaultdict(set)

    def read(self, name: str, data: dict[str, Any]) -> None:
        request_id = data["service_request_id"]
        assert request_id not in self.ended_requests, "nothing follows the end of a request"
        assert (name == "service_request.submitted") == (request_id not in self.percents), (
            "everything begins with its submission"
        )
        match name:
            case "service_request.submitted":
                self.percents[request_id] = 0
            case "service_request.processing":
                self._processing(request_id, data)
            case "service_request.completed":
                assert not self._open_tasks[request_id], "tasks end before their request"
                assert (self.percents[request_id] == 100) == (data["outcome"] == "SUCCESS")
                self.ended_requests[request_id] = data["outcome"]
            case _:
                self._task(name, request_id, data["task_id"], data)

    def _processing(self, request_id: str, data: dict[str, Any]) -> None:
        assert data["percent_complete"] >= self.percents[request_id], "a percentage never falls"
        assert (data["percent_complete"] == 100) == (data["stage"] == "FINALIZING")
        assert data["estimated_completion_seconds"] >= 0
        self.percents[request_id] = data["percent_complete"]
        listed = {status["task_id"] for status in data["task_statuses"]}
        assert self.tasks.setdefault(request_id, listed) == listed, "every report lists all tasks"
        for status in data["task_statuses"]:
            assert (status["status"] in {"completed", "failed", "canceled"}) == (status["task_id"] in self.ended_tasks)

    def _task(self, name: str, request_id: str, task_id: str, data: dict[str, Any]) -> None:
        assert task_id not in self.ended_tasks, "a task completes once, and nothing follows"
        match name:
            case "task.assigned":
                assert task_id not in self._assigned or data["assignee_role"] != "MEMBER", "a member's task stays the member's"
                self._assigned.add(task_id)
                self.holders[task_id] = data.get("assignee_id")
                self._open_tasks[request_id].add(task_id)
            case "task.in_progress":
                assert task_id in self._assigned
                if data["assignee_role"] != "SYSTEM":
                    assert data["started_by"] == self.holders[task_id], "who has it begins it"
                self._begun.add(task_id)
            case "task.completed":
                assert task_id in self._assigned
                assert task_id in self._begun or data["outcome"] == "CANCELED"
                if data["assignee_role"] != "SYSTEM" and data["outcome"] != "CANCELED":
                    assert data["completed_by"] == self.holders[task_id], "who has it ends it"
                self.ended_tasks[task_id] = data["outcome"]
                self._open_tasks[request_id].discard(task_id)


class AnySequence(RuleBasedStateMachine):
    requests: Bundle[str] = Bundle("requests")
    tasks: Bundle[str] = Bundle("tasks")
    runs: Bundle[TaskRun] = Bundle("runs")
    seen: Bundle[TaskView] = Bundle("seen")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = TemporaryDirectory()
        self.clock = ManualClock()
        self.story = Story()
        self.read = 0
        self.succeeded: list[str] = []
        self.clinic: Clinic

    def do(self, coroutine: Coroutine[Any, Any, R]) -> R:
        return self.runner.run(coroutine)

    @initialize()
    def open(self) -> None:
        store = self.do(SqliteStore.open(Path(self.directory.name) / "store", self.clock, IdMint()))
        self.clinic = open_clinic(store, self.clock, Path(self.directory.name) / "services")

    @rule(target=requests, service=st.sampled_from(["RTE", "INTAKE", "SURVEY", "FORM", "ADVICE", "LETTER"]))
    def submit(self, service: str) -> str:
        view = self.do(self.clinic.submit(service, data=PERSON if service == "INTAKE" else None))
        return view.service_request_id

    @rule(target=tasks, request=requests, place=st.integers(0, 2))
    def look_at(self, request: str, place: int) -> str:
        listed = self.do(self.clinic.view(request)).tasks
        return listed[place % len(listed)].task_id

    @rule(target=runs, task=tasks, owner=st.sampled_from(["w1", "w2"]))
    def claim(self, task: str, owner: str) -> Any:
        run = self.do(self.clinic.claim_if_possible(task, owner))
        return multiple() if run is None else run

    @rule(target=runs)
    def claim_what_is_first(self) -> Any:
        found = self.due()
        return self.do(self.clinic.claim(found[0])) if found else multiple()

    @rule(run=runs)
    def succeed(self, run: TaskRun) -> None:
        if self.accepted(self.clinic.succeed(run)):
            self.succeeded.append(run.task_id)

    @rule(run=runs, choice=st.integers(0, 9), jitter=st.floats(0, 1, exclude_max=True))
    def fail(self, run: TaskRun, choice: int, jitter: float) -> None:
        catalogue = self.clinic.careflow.catalogue
        declared = sorted({*catalogue.failures, *catalogue.services[self.service_of(run)].failures})
        self.accepted(self.clinic.fail(run, declared[choice % len(declared)], b"[]", jitter))

    @rule(run=runs)
    def renew(self, run: TaskRun) -> None:
        self.do(self.clinic.run(lambda tx: self.clinic.careflow.renew(tx, run)))

    @rule(run=runs)
    def hand_back(self, run: TaskRun) -> None:
        self.do(self.clinic.run(lambda tx: self.clinic.careflow.hand_back(tx, run, 1.0)))

    @rule(target=seen, task=tasks, who=HANDS)
    def take(self, task: str, who: Hand) -> Any:
        return self.done_by_hand(self.clinic.take(task, who))

    @rule(target=seen, task=tasks, who=HANDS)
    def start(self, task: str, who: Hand) -> Any:
        return self.done_by_hand(self.clinic.start(task, who))

    @rule(target=seen, task=tasks, who=HANDS)
    def release(self, task: str, who: Hand) -> Any:
        return self.done_by_hand(self.clinic.release(task, who))

    @rule(task=tasks, who=st.sampled_from(SERVICES_AT_WORK))
    def begin_and_let_go(self, task: str, who: Hand) -> None:
        """The way services go on most often: without it few sequences get as far as a completion."""
        self.done_by_hand(self.clinic.start(task, who))
        self.clock.advance(30)
        self.do(self.clinic.lapse(task))

    @rule(task=tasks, who=st.sampled_from(PEOPLE))
    def take_and_start(self, task: str, who: Hand) -> None:
        self.done_by_hand(self.clinic.take(task, who))
        self.done_by_hand(self.clinic.start(task, who))

    @rule(task=tasks, who=HANDS)
    def complete_whatever_attempt(self, task: str, who: Hand) -> None:
        view = self.do(self.clinic.task(task))
        self.complete(view, who, view.attempt, "SUCCESS")

    @rule(view=seen, outcome=st.sampled_from(["SUCCESS", "FAILED", "JAM"]), again=st.booleans())
    def complete_what_was_seen(self, view: TaskView, outcome: str, again: bool) -> None:
        """Perhaps after it was given back and taken anew, which the one who completes has forgotten."""
        who = Hand(id=view.assignee_id or "printer")
        for move in (self.clinic.release, self.clinic.take, self.clinic.start) if again else ():
            self.done_by_hand(move(view.task_id, who))
        self.complete(view, who, view.attempt, outcome)

    def complete(self, view: TaskView, who: Hand, attempt: int, outcome: str) -> None:
        before = self.do(self.clinic.task(view.task_id))
        result = {"code": "jam"} if outcome == "JAM" else FITTING.get(view.task_type, {}) if outcome == "SUCCESS" else {}
        told = "SUCCESS" if outcome == "SUCCESS" else "FAILED"
        try:
            after = self.do(self.clinic.complete(view.task_id, who, told, attempt, **result))
        except (Conflict, Invalid):
            return
        assert before.completed_at is not None or before.assignee_id == who.id or before.status == "pending"
        assert before.completed_at is not None or before.attempt == attempt, "a stale attempt ends nothing"
        if before.completed_at is None and after.outcome == "SUCCESS":
            self.succeeded.append(view.task_id)

    def done_by_hand(self, coroutine: Coroutine[Any, Any, TaskView]) -> Any:
        try:
            return self.do(coroutine)
        except Conflict:
            return multiple()

    @rule(task=tasks)
    def lapse(self, task: str) -> None:
        self.do(self.clinic.lapse(task))

    @rule(request=requests, actor=st.sampled_from([MEMBER, "C001"]))
    def cancel(self, request: str, actor: str) -> None:
        self.accepted(self.clinic.cancel(request, actor))

    @rule(owner=st.sampled_from(["w1", "w2", None]))
    def crash_and_start_again(self, owner: str | None) -> None:
        self.do(self.clinic.store.run(lambda tx: queue.free_leases(tx, owner)))

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, LEASE_S, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def due(self) -> list[str]:
        found = self.do(self.clinic.store.read(lambda reader: queue.due(reader, SYSTEM_TASKS, self.clock.now(), 100)))
        return [each.task_id for each in found]

    def service_of(self, run: TaskRun) -> str:
        return self.do(self.clinic.view(run.service_request_id)).service

    def accepted(self, coroutine: Coroutine[Any, Any, object]) -> bool:
        before = len(self.clinic.closed)
        try:
            self.do(coroutine)
        except Conflict:
            assert len(self.clinic.closed) == before
            return False
        return True

    @invariant()
    def the_timeline_tells_a_sound_story(self) -> None:
        if not hasattr(self, "clinic"):
            return
        events = self.do(self.clinic.events(self.read))
        self.read += len(events)
        for name, data in events:
            self.story.read(name, data)
        assert sorted(self.succeeded) == sorted(
            task for task, outcome in self.story.ended_tasks.items() if outcome == "SUCCESS"
        )
        assert self.clinic.opened == [SESSION] * len(self.story.percents)
        assert self.clinic.closed == [SESSION] * len(self.story.ended_requests)

    @invariant()
    def what_is_read_is_what_was_told(self) -> None:
        for request in list(self.story.percents):
            view = self.do(self.clinic.view(request))
            assert (view.outcome, view.percent_complete) == (
                self.story.ended_requests.get(request),
                self.story.percents[request],
            )
            ended = [task.task_id for task in view.tasks if task.status in {"completed", "failed", "canceled"}]
            assert view.outcome is not None or len(ended) < len(view.tasks), "a request ends with its tasks"
            assert view.outcome is None or len(ended) == len(view.tasks)

    def teardown(self) -> None:
        if hasattr(self, "clinic"):
            self.whatever_happened_workers_bring_it_to_an_end()
            self.do(self.clinic.store.close())
        self.runner.close()
        self.directory.cleanup()

    def whatever_happened_workers_bring_it_to_an_end(self) -> None:
        for _ in range(10):
            self.clock.advance(60)
            for task in self.due():
                self.succeed(self.do(self.clinic.claim(task)))
            self.the_timeline_tells_a_sound_story()
        for request in set(self.story.percents) - set(self.story.ended_requests):
            view = self.do(self.clinic.view(request))
            assert view.service in {"FORM", "ADVICE", "LETTER"}, "only what waits for people and services is still open"
            self.somebody_does(view.tasks[0].task_id)
        for _ in range(2):
            for task in self.due():
                self.succeed(self.do(self.clinic.claim(task)))
        self.the_timeline_tells_a_sound_story()
        assert set(self.story.percents) == set(self.story.ended_requests)

    def somebody_does(self, task_id: str) -> None:
        """Whoever has it, or who takes it when nobody does."""
        task = self.do(self.clinic.task(task_id))
        if task.completed_at is not None:
            return
        self.do(self.clinic.lapse(task_id))
        task = self.do(self.clinic.task(task_id))
        who = Hand(id=task.assignee_id or {"PRINT": "printer", "ADVISE": "C001"}[task.task_type])
        if task.assignee_id is None and task.task_type == "ADVISE":
            self.do(self.clinic.take(task_id, who))
        self.do(self.clinic.start(task_id, who))
        self.complete(task, who, self.do(self.clinic.task(task_id)).attempt, "SUCCESS")


TestAnySequence = AnySequence.TestCase
# Without shrinking: it takes minutes here, and a failing sequence of 40 steps can be read as it is.
TestAnySequence.settings = settings(
    phases=[Phase.explicit, Phase.generate],
    max_examples=50,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
