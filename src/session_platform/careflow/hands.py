"""Tasks that people and other backends work on: claimed, released, started, completed, by hand so to speak.

That the caller may do it is decided before. What is decided here is whether the state allows it, and that a repetition of a
move already made, by who made it, changes nothing and is answered. A person holds a task until they give it back; a service's
hold is a lease, and one that ends unheard puts the task back into the queue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from session_platform.careflow import events, rows
from session_platform.careflow.attempts import Failed
from session_platform.careflow.catalogue import NOT_DONE, ExecutorKind
from session_platform.careflow.flow import Begin, Held
from session_platform.careflow.model import INTERRUPTIONS_MAX, TaskMove, TaskState, after_task
from session_platform.careflow.rows import TaskRow
from session_platform.careflow.submission import schema_problems
from session_platform.careflow.views import TaskView, task_at_work, task_view
from session_platform.contract import AssigneeRole, TaskOutcome
from session_platform.errors import Conflict, FieldProblem, ForbiddenOrMissing, Invalid
from session_platform.store.port import Tx

if TYPE_CHECKING:
    from session_platform.careflow.flow import Flow

LONGEST_PAUSE: Final = 1.0
"""As jitter: what one service gives up is in nobody else's way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """Who does it: a member's, staff member's or service's id; staff have a name."""

    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """How a task ended: ``outcome`` SUCCESS with a ``result`` that its form accepts, or FAILED, where ``result`` may name a
    declared failure as ``code``. ``attempt``: which attempt this ends; None: the present one. ``digest`` is equal for equal
    bodies."""

    outcome: TaskOutcome
    result: dict[str, Any]
    attempt: int | None
    digest: bytes


class Hands:
    """The commands. All raise `ForbiddenOrMissing` without such a task, and `Conflict` when its state forbids the move, when it
    is another's, or when a backend's events move it."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def claim(self, tx: Tx, task_id: str, hand: Hand) -> TaskView:
        """Make an offered task this person's own."""
        task = self._task(tx, task_id)
        if task.assignee_id == hand.id and task.completed_at is None:
            return task_view(task)
        if task.executor is not ExecutorKind.HUMAN:
            raise Conflict("Nobody claims this task: it is done by a system.")
        if self._flow.held(tx, task) is None:
            raise Conflict("This task is no longer offered: its service changed.")
        claimed = replace(
            task,
            state=after_task(task.state, TaskMove.CLAIM),
            assignee_id=hand.id,
            assignee_name=hand.name,
            attempt=task.attempt + 1,
            assigned_at=tx.now,
            released_by=None,
        )
        rows.update_task(tx, claimed)
        events.task_assigned(tx, claimed)
        self._flow.neighbours.rights_changed(tx, task.member_id, hand.id)
        return task_view(claimed)

    def release(self, tx: Tx, task_id: str, hand: Hand) -> TaskView:
        """Put the task back into the queue."""
        task = self._task(tx, task_id)
        if task.assignee_id is None and task.released_by == hand.id and task.completed_at is None:
            return task_view(task)
        if task.assignee_role is AssigneeRole.MEMBER:
            raise Conflict("A member's own task is nobody else's: it cannot be released.")
        held = self._held(tx, task, hand)
        free = self._flow.give_back(tx, held, replace(task, released_by=hand.id, interruptions=0))
        if task.executor is ExecutorKind.HUMAN:
            self._flow.neighbours.rights_changed(tx, task.member_id, hand.id)
        return task_view(free)

    def start(self, tx: Tx, task_id: str, hand: Hand) -> TaskView:
        """Begin to work on it: who claimed it, or a service on one that is offered to services, which then holds it for the
        task's ``attempt_timeout_s``; to start it once more renews that."""
        task = self._task(tx, task_id)
        if task.executor is ExecutorKind.SERVICE:
            return self._start_by_service(tx, task, hand)
        held = self._held(tx, task, hand)
        if task.state is TaskState.IN_PROGRESS:
            return task_view(task)
        begun = self._flow.begin(tx, held, Begin(hand.id, None, hand.id))
        assert begun is not None, "people lose no attempts"
        return task_view(begun)

    def complete(self, tx: Tx, task_id: str, hand: Hand, completion: Completion) -> TaskView:
        """End the task; a failed attempt of a service that can be retried puts it back into the queue.

        Raises `Invalid` for a result that is not what the form asks for, by pointer.
        """
        task = self._task(tx, task_id)
        if task.completion == completion.digest and hand.id in {task.completed_by, task.released_by}:
            return task_view(task)
        held = self._held(tx, task, hand)
        if completion.attempt not in (None, task.attempt):
            raise Conflict("This attempt is not the present one: the task was taken over.")
        failed = _accepted(self._flow, held, completion)
        result = msgspec.json.encode(completion.result) if completion.result or failed is None else None
        done = replace(task, result=result, completed_by=hand.id, completion=completion.digest)
        if failed is None:
            return task_view(self._flow.complete_task(tx, held, done))
        after_task(task.state, TaskMove.FAIL)
        self._flow.fail_attempt(tx, replace(held, task=done), failed, LONGEST_PAUSE)
        return task_view(self._task(tx, task_id))

    def lapse(self, tx: Tx, task_id: str) -> None:
        """Put a service's task back into the queue when its lease has ended; nothing when it has not."""
        task = rows.find_task(tx, task_id)
        if task is None or task.lease_until is None or task.lease_until > tx.now or task.executor is not ExecutorKind.SERVICE:
            return
        held = self._flow.held(tx, task)
        if held is None:
            return
        if task.interruptions + 1 >= INTERRUPTIONS_MAX:
            self._flow.lose(tx, held)
        else:
            self._flow.give_back(tx, held, replace(task, interruptions=task.interruptions + 1))

    # --------------------------------------------------------------------------------------------------------------- inside

    def _start_by_service(self, tx: Tx, task: TaskRow, hand: Hand) -> TaskView:
        held = self._flow.held(tx, task)
        if held is None:
            raise Conflict
        lease = Begin(hand.id, held.definition.attempt_timeout_s, hand.id)
        if task.assignee_id == hand.id and task.lease_until is not None and task.lease_until > tx.now:
            renewed = replace(task, lease_until=lease.until(tx.now))
            rows.update_task(tx, renewed)
            return task_at_work(renewed, held.request)
        if not task.claimable(tx.now):
            raise Conflict
        begun = self._flow.begin(tx, held, lease)
        return task_view(self._task(tx, task.task_id)) if begun is None else task_at_work(begun, held.request)

    def _task(self, tx: Tx, task_id: str) -> TaskRow:
        task = rows.find_task(tx, task_id)
        if task is None:
            raise ForbiddenOrMissing
        if task.publisher is not None:
            raise Conflict("A backend's task is moved by its events only.")
        if task.session_id is not None:
            self._flow.neighbours.active(tx, task.session_id)
        return task

    def _held(self, tx: Tx, task: TaskRow, hand: Hand) -> Held:
        """The task with what belongs to it, if it is in these hands."""
        held = self._flow.held(tx, task)
        if held is None or task.assignee_id != hand.id or task.completed_at is not None:
            raise Conflict
        return held


def _accepted(flow: Flow, held: Held, completion: Completion) -> Failed | None:
    """The failure that the completion tells, None for a success. Raises `Invalid`."""
    if completion.outcome is TaskOutcome.SUCCESS:
        form = {} if held.task.form is None else msgspec.json.decode(held.task.form)
        if problems := schema_problems(form, completion.result, "result"):
            raise Invalid(*problems)
        return None
    code = completion.result.get("code", NOT_DONE)
    if not isinstance(code, str) or flow.catalogue.failure(held.service, code) is None:
        raise Invalid(FieldProblem("/result/code", "is no failure that the service declares"))
    return Failed(code)
