"""A backend as a model: whatever it does next is allowed, and it knows what reads must say afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.ingest import published
from tests.ingest.published import MEMBER

Draw = Callable[..., Any]
"""``draw(options)``: one of them."""
STATUSES = ("ACTIVE", "INACTIVE", "TERMINATED", "UNKNOWN")
ENDS = {"SUCCESS": "completed", "FAILED": "failed", "CANCELED": "canceled"}


@dataclass
class Request:
    session_id: str | None
    status: str = "SUBMITTED"
    percent: int = 0
    result: Any = None
    tasks: list[str] = field(default_factory=list)


@dataclass
class Task:
    request_id: str | None
    status: str = "pending"
    result: Any = None

    @property
    def open(self) -> bool:
        return self.status in {"pending", "in_progress"}


@dataclass
class Backend:
    """``told`` are the names that its member's timeline must hold, in order."""

    open_sessions: dict[str, bool] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    coverage: str | None = None
    told: list[str] = field(default_factory=list)

    def act(self, draw: Draw) -> dict[str, Any]:
        """Do something; the event that says so."""
        name, act = draw(self._possible())
        event: dict[str, Any] = act(draw)
        if name is not None:
            self.told.append(name)
        return event

    def _possible(self) -> list[tuple[str | None, Callable[[Draw], dict[str, Any]]]]:
        acts: list[tuple[str | None, Callable[[Draw], dict[str, Any]]]] = [
            ("session.created", self._open_session),
            ("service_request.submitted", self._submit),
            ("task.assigned", self._assign),
            ("care_plan.updated", lambda draw: published.care_plan(status=draw(["DRAFT", "ACTIVE"]))),
            (None, self._cover),
        ]
        if self._sessions():
            acts += [("session.ended", self._end_session), (None, lambda draw: published.active(draw(self._sessions())))]
        if self._requests():
            acts += [("service_request.processing", self._process)] * 2
        if self._requests(settled=True):
            acts += [("service_request.completed", self._complete)]
        if self._tasks():
            acts += [("task.in_progress", self._begin), ("task.completed", self._finish), ("task.assigned", self._pass_on)]
        return acts

    # ---------------------------------------------------------------------------------------------------------- what there is

    def _sessions(self) -> list[str]:
        return [each for each, is_open in self.open_sessions.items() if is_open]

    def _requests(self, *, settled: bool = False) -> list[str]:
        return [
            each
            for each, request in self.requests.items()
            if request.status in {"SUBMITTED", "PROCESSING"}
            and not (settled and any(self.tasks[task].open for task in request.tasks))
        ]

    def _tasks(self) -> list[str]:
        return [each for each, task in self.tasks.items() if task.open]

    # ------------------------------------------------------------------------------------------------------------ what it does

    def _open_session(self, _: Draw) -> dict[str, Any]:
        session_id = f"s{len(self.open_sessions)}"
        self.open_sessions[session_id] = True
        return published.created(session_id)

    def _end_session(self, draw: Draw) -> dict[str, Any]:
        session_id = draw(self._sessions())
        self.open_sessions[session_id] = False
        return published.ended(session_id, reason=draw(["USER_CLOSED", "COMPLETED"]))

    def _submit(self, draw: Draw) -> dict[str, Any]:
        request_id, session_id = f"r{len(self.requests)}", draw([None, *self._sessions()])
        self.requests[request_id] = Request(session_id)
        return published.submitted(request_id, **({} if session_id is None else {"session_id": session_id}))

    def _process(self, draw: Draw) -> dict[str, Any]:
        request_id = draw(self._requests())
        request = self.requests[request_id]
        request.percent, request.status = draw(range(request.percent, 101)), "PROCESSING"
        return published.processing(request_id, request.percent)

    def _complete(self, draw: Draw) -> dict[str, Any]:
        request_id, outcome = draw(self._requests(settled=True)), draw(list(ENDS))
        request = self.requests[request_id]
        request.status = "COMPLETED" if outcome == "SUCCESS" else outcome
        if outcome != "SUCCESS":
            return published.completed(request_id, outcome)
        request.percent, request.result = 100, {"number": draw(range(10))}
        return published.completed(request_id, outcome, result_data=request.result)

    def _assign(self, draw: Draw) -> dict[str, Any]:
        task_id, request_id = f"t{len(self.tasks)}", draw([None, *self._requests()])
        self.tasks[task_id] = Task(request_id)
        if request_id is None:
            return published.assigned(task_id)
        self.requests[request_id].tasks.append(task_id)
        return published.assigned(task_id, service_request_id=request_id)

    def _pass_on(self, draw: Draw) -> dict[str, Any]:
        task_id = draw(self._tasks())
        self.tasks[task_id].status = "pending"
        return published.assigned(task_id, assignee_id=draw(["C001", "C002"]))

    def _begin(self, draw: Draw) -> dict[str, Any]:
        task_id = draw(self._tasks())
        self.tasks[task_id].status = "in_progress"
        return published.in_progress(task_id)

    def _finish(self, draw: Draw) -> dict[str, Any]:
        task_id, outcome = draw(self._tasks()), draw(list(ENDS))
        task = self.tasks[task_id]
        task.status, task.result = ENDS[outcome], draw([None, {"form": "filled"}])
        return published.done(task_id, outcome=outcome, **({} if task.result is None else {"task_result": task.result}))

    def _cover(self, draw: Draw) -> dict[str, Any]:
        status = draw(STATUSES)
        if status != self.coverage:
            self.told.append("coverage.updated")
        self.coverage = status
        return published.covered(MEMBER, coverage=published.coverage(coverage_status=status))
