"""The steps of a service request, as its events tell of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

# What a task's end means for its state.
_STATE_OF_OUTCOME: Mapping[str, str] = {"SUCCESS": "completed", "FAILED": "failed", "CANCELED": "canceled"}


@dataclass(frozen=True, slots=True)
class Step:
    """One task.

    ``state`` is pending, in_progress, completed, failed or canceled; ``tries`` how often it was begun; ``waits_for`` the role
    of the person who has to do it, empty for a system's.
    """

    task_id: str
    task_type: str
    title: str = ""
    state: str = "pending"
    tries: int = 0
    waits_for: str = ""

    @property
    def words(self) -> str:
        """State and tries: ``in_progress, try 2``."""
        again = f", {'try' if self.state == 'in_progress' else 'tries:'} {self.tries}" if self.tries > 1 else ""
        waiting = f", waits for {self.waits_for}" if self.waits_for and self.state in {"pending", "in_progress"} else ""
        return f"{self.state}{again}{waiting}"


class Steps:
    """All steps of one request."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def heard(self, name: str, task: Mapping[str, Any]) -> Step | None:
        """Take in the task event ``name``; the step as it is now, None where nothing changed."""
        step = self._known(task)
        match name:
            case "task.assigned":
                role = str(task.get("assignee_role", ""))
                step = replace(step, title=task.get("title") or step.title, waits_for="" if role == "SYSTEM" else role)
            case "task.in_progress":
                step = replace(step, state="in_progress", tries=step.tries + 1)
            case "task.completed":
                step = replace(step, state=_STATE_OF_OUTCOME.get(str(task.get("outcome", "SUCCESS")), "completed"))
        return self._put(step)

    def foretold(self, tasks: Sequence[Mapping[str, Any]]) -> list[Step]:
        """Take in the steps that a progress names; those of which no event has told yet."""
        new = [self._known(task) for task in tasks if task["task_id"] not in self._steps]
        self._steps.update({step.task_id: step for step in new})
        return new

    def _known(self, task: Mapping[str, Any]) -> Step:
        task_id = task["task_id"]
        return self._steps.get(task_id) or Step(task_id, str(task.get("task_type", "")))

    def _put(self, step: Step) -> Step | None:
        changed = self._steps.get(step.task_id) != step
        self._steps[step.task_id] = step
        return step if changed else None
