"""How requests and tasks move on, whoever moved them: what is written, what is told, and in which order.

The order of events within a transaction is the order in which things are told: a request is submitted before its tasks are
assigned, and its tasks end before it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from session_platform.careflow import events, progress, rows
from session_platform.careflow.attempts import Failed
from session_platform.careflow.catalogue import (
    INTERNAL_ERROR,
    Catalogue,
    ExecutorKind,
    Failure,
    Order,
    ResultFrom,
    ServiceDefinition,
    TaskDefinition,
)
from session_platform.careflow.model import (
    INTERRUPTIONS_MAX,
    STAFF_ROLES,
    RequestMove,
    TaskMove,
    after_request,
    after_task,
    back_off_s,
    turn,
)
from session_platform.careflow.reads import Reads
from session_platform.careflow.rows import RequestRow, TaskRow
from session_platform.contract import AssigneeRole, ProcessingStage, ServiceError
from session_platform.store.port import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Functions of other rooms that the wiring hands over. ``opened``, ``closed`` and ``active`` get (transaction, session id)
    when a request of the session opens, when one ends, and when anybody moves one by a command; ``opened`` refuses an ended
    session by raising. ``rights_changed`` gets (transaction, member id, staff id) behind the event with which a task of the
    member became or stopped being that staff member's."""

    opened: Callable[[Tx, str], None]
    closed: Callable[[Tx, str], None]
    active: Callable[[Tx, str], None]
    rights_changed: Callable[[Tx, str, str], None]


@dataclass(frozen=True, slots=True)
class Held:
    """A task with all that belongs to it."""

    task: TaskRow
    request: RequestRow
    service: ServiceDefinition
    definition: TaskDefinition


class Begin(NamedTuple):
    """Who begins an attempt: ``owner`` holds it for ``lease_s`` seconds (None: until they give it back), ``assignee`` is whom
    events name."""

    owner: str
    lease_s: float | None
    assignee: str | None = None

    def until(self, now: datetime) -> datetime | None:
        return None if self.lease_s is None else now + timedelta(seconds=self.lease_s)


class Flow(Reads):
    """The moves that `Careflow` and `Hands` make their commands of."""

    def __init__(self, catalogue: Catalogue, neighbours: Neighbours) -> None:
        super().__init__(catalogue)
        self.neighbours = neighbours

    def held(self, tx: Tx, task: TaskRow) -> Held | None:
        """None when its request's service no longer declares it, or a backend moves the task."""
        if task.service_request_id is None or task.publisher is not None:
            return None
        request = rows.find_request(tx, task.service_request_id)
        assert request is not None, "the schema keeps every task's request"
        service = self.catalogue.find(request.service)
        definition = None if service is None else service.task(task.task_type)
        return None if service is None or definition is None else Held(task, request, service, definition)

    def declares(self, service: str, task_type: str, executor: ExecutorKind) -> bool:
        """Whether a task that was taken up as this can still be done: declarations may have changed. A function's is done by
        a function, whichever it is now; people and services see theirs through."""
        declared = self.catalogue.find(service)
        definition = None if declared is None else declared.task(task_type)
        if definition is None:
            return False
        return executor is not ExecutorKind.SYSTEM or definition.done_by is ExecutorKind.SYSTEM

    def assign(self, tx: Tx, service: ServiceDefinition, request: RequestRow) -> None:
        """Offer the tasks whose turn it is; a member's own is theirs at once."""
        tasks = rows.tasks_of_request(tx, request.service_request_id)
        for place in turn([task.state for task in tasks], parallel=service.order is Order.PARALLEL):
            task = tasks[place]
            definition = service.task(task.task_type)
            assigned = replace(
                task,
                state=after_task(task.state, TaskMove.ASSIGN),
                assigned_at=tx.now,
                due_at=tx.now + timedelta(seconds=definition.due_s) if definition and definition.due_s else None,
                run_at=None if task.executor is ExecutorKind.HUMAN else tx.now,
            )
            if task.assignee_role is AssigneeRole.MEMBER:
                state = after_task(assigned.state, TaskMove.CLAIM)
                assigned = replace(assigned, state=state, assignee_id=task.member_id, attempt=task.attempt + 1)
            rows.update_task(tx, assigned)
            events.task_assigned(tx, assigned)

    def begin(self, tx: Tx, held: Held, start: Begin) -> TaskRow | None:
        """Start an attempt. None: too many were lost before, one after the other, and the task ended instead."""
        task = held.task
        lost = task.interruptions + (task.lease_until is not None)
        if lost >= INTERRUPTIONS_MAX:
            self.lose(tx, held)
            return None
        begun = replace(
            task,
            state=after_task(task.state, TaskMove.BEGIN),
            assignee_id=start.assignee,
            attempt=task.attempt if task.executor is ExecutorKind.HUMAN else task.attempt + 1,
            interruptions=lost,
            lease_owner=start.owner if start.lease_s is not None else None,
            lease_until=start.until(tx.now),
            started_at=tx.now,
            released_by=None,
            completion=None,
        )
        rows.update_task(tx, begun)
        events.task_in_progress(tx, begun, math.ceil(self.usual_s(tx, held.definition)))
        self.tell(tx, replace(held.request, state=after_request(held.request.state, RequestMove.BEGIN)))
        return begun

    def lose(self, tx: Tx, held: Held) -> None:
        """End a task that kills whoever works on it."""
        # One that went back to the queue has to be begun again to end; nobody needs to be told of that.
        held = replace(held, task=replace(held.task, state=after_task(held.task.state, TaskMove.BEGIN)))
        self._fail_for_good(tx, held, Failed(INTERNAL_ERROR), self.catalogue.failures[INTERNAL_ERROR])

    def give_back(self, tx: Tx, held: Held, task: TaskRow) -> TaskRow:
        """Offer the task to everybody again; ``task`` is what changes with it."""
        free = replace(
            task,
            state=after_task(held.task.state, TaskMove.RELEASE),
            assignee_id=None,
            assignee_name=None,
            assigned_at=tx.now,
            started_at=None,
            run_at=None if task.executor is ExecutorKind.HUMAN else tx.now,
            lease_owner=None,
            lease_until=None,
        )
        rows.update_task(tx, free)
        events.task_assigned(tx, free)
        if held.task.started_at is not None:
            self.tell(tx, held.request)
        return free

    def complete_task(self, tx: Tx, held: Held, done: TaskRow) -> TaskRow:
        """``done`` has its result and who completed it. The request goes on to its next task or ends."""
        ended = self._end_task(tx, done, TaskMove.SUCCEED)
        if ended.started_at is not None and ended.executor is not ExecutorKind.HUMAN:
            rows.insert_duration(tx, ended.task_type, tx.now - ended.started_at)
        tasks = rows.tasks_of_request(tx, held.request.service_request_id)
        if any(task.completed_at is None for task in tasks):
            self.assign(tx, held.service, held.request)
            self.tell(tx, held.request)
            return ended
        request = replace(
            held.request,
            state=after_request(held.request.state, RequestMove.SUCCEED),
            stage=ProcessingStage.FINALIZING,
            percent_complete=100,
            payer_errors=None,
            result=_result(held.service, tasks),
        )
        events.processing(tx, request, tasks, remaining_s=0)
        self.end(tx, request)
        return ended

    def fail_attempt(self, tx: Tx, held: Held, failed: Failed, jitter: float) -> None:
        """Count a failed attempt: another follows after a pause, or the task and its request end with the failure. People get
        no second attempt. Raises `LookupError` for a code that nobody declares."""
        failure = self.catalogue.failure(held.service, failed.code)
        if failure is None:
            raise LookupError("the catalogue does not declare this failure code")
        if failed.retryable is not None:
            failure = msgspec.structs.replace(failure, retryable=failed.retryable)
        request = replace(held.request, payer_errors=_kept(failed.payer_errors) or held.request.payer_errors)
        task = replace(held.task, failures=held.task.failures + failed.counted, interruptions=0)
        held = replace(held, request=request, task=task)
        again = task.failures < held.definition.max_attempts or not failed.counted
        if failure.retryable and again and task.executor is not ExecutorKind.HUMAN:
            self._retry(tx, held, failure.answered and failed.counted, jitter)
        else:
            self._fail_for_good(tx, held, failed, failure)

    def tell(self, tx: Tx, request: RequestRow, *, only_news: bool = False) -> None:
        """Write the request down with where it stands now, and tell it."""
        tasks = rows.tasks_of_request(tx, request.service_request_id)
        outlook = self.outlook(tx, request, tasks, tx.now)
        if outlook is None:
            rows.update_request(tx, request)
            return
        if only_news and not progress.worth_telling(request.percent_complete, outlook.percent, len(tasks)):
            return
        told = replace(request, stage=outlook.stage, percent_complete=max(request.percent_complete, outlook.percent))
        rows.update_request(tx, told)
        events.processing(tx, told, tasks, outlook.remaining_s)

    def cancel_open_tasks(self, tx: Tx, request: RequestRow, actor: str) -> None:
        for task in rows.tasks_of_request(tx, request.service_request_id):
            if task.completed_at is None:
                self._end_task(tx, replace(task, completed_by=actor), TaskMove.CANCEL)

    def end_failed(self, tx: Tx, request: RequestRow, code: str, failure: Failure) -> None:
        """End a request with a failure; what is still open of its tasks is canceled."""
        self.cancel_open_tasks(tx, request, events.SYSTEM)
        error = ServiceError(code=code, message=failure.message, retryable=failure.retryable)
        state = after_request(request.state, RequestMove.FAIL)
        self.end(tx, replace(request, state=state, error=msgspec.json.encode(error).decode()))

    def end(self, tx: Tx, request: RequestRow) -> RequestRow:
        """``request`` has its last state; its tasks have ended."""
        ended = replace(request, completed_at=tx.now)
        rows.update_request(tx, ended)
        events.completed(tx, ended)
        if ended.session_id is not None:
            self.neighbours.closed(tx, ended.session_id)
        return ended

    # --------------------------------------------------------------------------------------------------------------- inside

    def _retry(self, tx: Tx, held: Held, answered: bool, jitter: float) -> None:
        task, pause_s = held.task, back_off_s(held.definition.back_off_s, held.task.failures, jitter)
        rows.update_task(
            tx,
            replace(
                task,
                state=after_task(task.state, TaskMove.RETRY),
                assignee_id=None,
                released_by=task.assignee_id,
                try_number=task.try_number + answered,
                run_at=tx.now + timedelta(seconds=pause_s),
                lease_owner=None,
                lease_until=None,
                result=None,
                completed_by=None,
            ),
        )
        self.tell(tx, held.request)

    def _fail_for_good(self, tx: Tx, held: Held, failed: Failed, failure: Failure) -> None:
        failed.apply(tx)
        by = held.task.completed_by or events.SYSTEM
        self._end_task(tx, replace(held.task, completed_by=by), TaskMove.FAIL)
        self.end_failed(tx, held.request, failed.code, failure)

    def _end_task(self, tx: Tx, task: TaskRow, move: TaskMove) -> TaskRow:
        """Tasks that were never assigned end unheard: nobody was told of them."""
        ended = replace(
            task, state=after_task(task.state, move), completed_at=tx.now, run_at=None, lease_owner=None, lease_until=None
        )
        rows.update_task(tx, ended)
        if ended.assigned_at is not None:
            events.task_completed(tx, ended)
        if ended.assignee_id is not None and ended.assignee_role in STAFF_ROLES:
            self.neighbours.rights_changed(tx, ended.member_id, ended.assignee_id)
        return ended


def _result(service: ServiceDefinition, tasks: list[TaskRow]) -> bytes:
    """What a request found, see `ResultFrom`."""
    found = {task.task_type: task.result or b"{}" for task in tasks}
    if service.result is ResultFrom.MERGED:
        merged: dict[str, msgspec.Raw] = {}
        for result in found.values():
            merged |= msgspec.json.decode(result, type=dict[str, msgspec.Raw])
        return msgspec.json.encode(merged)
    if service.order is Order.SEQUENCE or len(tasks) == 1:
        return found[tasks[-1].task_type]
    return msgspec.json.encode({task_type: msgspec.Raw(result) for task_type, result in found.items()})


def _kept(payer_errors: bytes | None) -> str | None:
    """The payer's words, byte for byte; only checked."""
    if payer_errors is None:
        return None
    msgspec.json.decode(payer_errors)
    return payer_errors.decode()
