"""What may be done to requests and tasks: every command is one transaction under the member's head.

The order of events within a transaction is the order in which things are told: a request is submitted before its tasks are
assigned, and its tasks end before it does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from session_platform.careflow import events, progress, rows
from session_platform.careflow.catalogue import Catalogue, ExecutorKind, Failure, Order, ServiceDefinition, TaskDefinition
from session_platform.careflow.model import (
    URGENCY,
    RequestMove,
    RequestState,
    TaskMove,
    TaskState,
    after_request,
    after_task,
    back_off_s,
    turn,
)
from session_platform.careflow.rows import RequestRow, TaskRow
from session_platform.careflow.submission import NewRequest, accept
from session_platform.careflow.views import Reads, RequestView
from session_platform.contract import AssigneeRole, ProcessingStage, ServiceError
from session_platform.errors import Conflict, ForbiddenOrMissing
from session_platform.store.port import Tx

LEASE_S: Final = 10.0
"""How long a claim holds without being renewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One attempt at a system task. ``attempt`` is the fencing token: it rises with every claim, and an older one commits
    nothing. ``try_number`` rises only after a definite answer and belongs into the idempotency key of side effects. ``subject``
    is an account id; ``data`` the request's, decoded. The attempt may take ``timeout_s`` seconds."""

    task_id: str
    task_type: str
    attempt: int
    try_number: int
    service_request_id: str
    session_id: str | None
    member_id: str
    subject: str | None
    data: Any
    timeout_s: float


def nothing(_: Tx) -> None:
    """The effect of an outcome that has none."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """``result`` is a JSON object. ``apply`` runs in the transaction that completes the task; ``timelines`` are the members
    beside the request's own to whom it emits."""

    result: bytes
    apply: Callable[[Tx], None] = nothing
    timelines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """``code`` is one that the catalogue declares, ``retryable`` overrules it this once; ``payer_errors`` is JSON, kept as it
    is. ``apply`` runs only when the task ends with this failure, not when another attempt follows."""

    code: str
    payer_errors: bytes | None = None
    apply: Callable[[Tx], None] = nothing
    timelines: tuple[str, ...] = ()
    retryable: bool | None = None


Outcome = Succeeded | Failed


@dataclass(frozen=True, slots=True)
class _Held:
    """A task in the hands of the attempt that asks, with all that belongs to it."""

    task: TaskRow
    request: RequestRow
    service: ServiceDefinition
    definition: TaskDefinition


class Careflow(Reads):
    """The commands, beside the `Reads`. ``opened`` and ``closed`` get (transaction, session id) when a request of the session
    opens and ends; ``opened`` refuses an ended session by raising."""

    def __init__(self, catalogue: Catalogue, opened: Callable[[Tx, str], None], closed: Callable[[Tx, str], None]) -> None:
        super().__init__(catalogue)
        self._opened = opened
        self._closed = closed

    # ------------------------------------------------------------------------------------------------------ by those who ask

    def submit(self, tx: Tx, new: NewRequest) -> RequestView:
        """Take a request up. Raises `Invalid`, and whatever ``opened`` raises."""
        accepted = accept(new, self.catalogue)
        request = RequestRow(
            service_request_id=tx.mint("sr"),
            session_id=new.session_id,
            member_id=new.member_id,
            service=new.service,
            subject=new.subject,
            reason=new.reason,
            priority=accepted.priority,
            data=accepted.data,
            initiator_id=new.initiator_id,
            target_role=accepted.target_role,
            target_speciality=new.target_speciality,
            current_call_id=new.current_call_id,
            state=RequestState.SUBMITTED,
            stage=ProcessingStage.QUEUED,
            submitted_at=tx.now,
        )
        rows.insert_request(tx, request)
        for place, definition in enumerate(accepted.service.tasks):
            rows.insert_task(tx, _new_task(tx.mint("task"), request, place, definition))
        events.submitted(tx, request)
        self._assign(tx, accepted.service, request)
        self._tell(tx, request)
        self._opened(tx, new.session_id)
        return self.view_of(tx, request, tx.now)

    def cancel(self, tx: Tx, service_request_id: str, actor: str) -> RequestView:
        """End a request and its open tasks; whoever works on one finds its attempt refused. The same actor may repeat it.

        Raises `ForbiddenOrMissing` without such a request, `Conflict` when it has ended otherwise.
        """
        request = rows.find_request(tx, service_request_id)
        if request is None:
            raise ForbiddenOrMissing
        if request.state is RequestState.CANCELED and request.canceled_by == actor:
            return self.view_of(tx, request, tx.now)
        state = after_request(request.state, RequestMove.CANCEL)
        self._cancel_open_tasks(tx, request, actor)
        return self.view_of(tx, self._end(tx, replace(request, state=state, canceled_by=actor)), tx.now)

    # ----------------------------------------------------------------------------------------------------- by those who work

    def claim(self, tx: Tx, task_id: str, owner: str) -> TaskRun | None:
        """Take a system task that is due for `LEASE_S` seconds; None when there is nothing to take (any more)."""
        task = rows.find_task(tx, task_id)
        if task is None or not _claimable(task, tx.now):
            return None
        request, service, definition = self._belongings(tx, task)
        if service is None or definition is None:
            return None
        claimed = replace(
            task,
            state=after_task(task.state, TaskMove.CLAIM),
            attempt=task.attempt + 1,
            lease_owner=owner,
            lease_until=tx.now + timedelta(seconds=LEASE_S),
            started_at=tx.now,
        )
        rows.update_task(tx, claimed)
        usual_s = progress.usual_s(definition.usual_s, rows.durations_s(tx, task.task_type))
        events.task_in_progress(tx, claimed, math.ceil(usual_s))
        self._tell(tx, replace(request, state=after_request(request.state, RequestMove.BEGIN)))
        return TaskRun(
            task_id=task.task_id,
            task_type=task.task_type,
            attempt=claimed.attempt,
            try_number=task.try_number,
            service_request_id=request.service_request_id,
            session_id=request.session_id,
            member_id=request.member_id,
            subject=request.subject,
            data=None if request.data is None else msgspec.json.decode(request.data),
            timeout_s=definition.attempt_timeout_s,
        )

    def renew(self, tx: Tx, run: TaskRun) -> bool:
        """Hold the task for another `LEASE_S` seconds, and tell how far it is when that is news. False: it is no longer this
        attempt's (taken over, or its request ended): stop working."""
        held = self._held(tx, run)
        if held is None:
            return False
        rows.update_task(tx, replace(held.task, lease_until=tx.now + timedelta(seconds=LEASE_S)))
        self._tell(tx, held.request, only_news=True)
        return True

    def hand_back(self, tx: Tx, run: TaskRun, pause_s: float) -> None:
        """Give up this attempt without an answer: anybody may claim the task after ``pause_s``, and nothing is counted."""
        held = self._held(tx, run)
        if held is not None:
            free_at = tx.now + timedelta(seconds=pause_s)
            rows.update_task(tx, replace(held.task, lease_owner=None, lease_until=None, run_at=free_at))

    def succeed(self, tx: Tx, run: TaskRun, done: Succeeded) -> None:
        """End the task with its result; the request goes on to its next task or ends.

        Raises `Conflict` for an attempt that no longer holds the task, `msgspec.MsgspecError` unless the result is an object.
        """
        held = self._held_or_conflict(tx, run)
        done.apply(tx)
        ended = self._end_task(tx, replace(held.task, result=done.result, completed_by=events.SYSTEM), TaskMove.SUCCEED)
        if ended.started_at is not None:
            rows.insert_duration(tx, run.task_type, tx.now - ended.started_at)
        tasks = rows.tasks_of_request(tx, run.service_request_id)
        if any(task.completed_at is None for task in tasks):
            self._assign(tx, held.service, held.request)
            self._tell(tx, held.request)
            return
        request = replace(
            held.request,
            state=after_request(held.request.state, RequestMove.SUCCEED),
            stage=ProcessingStage.FINALIZING,
            percent_complete=100,
            payer_errors=None,
            result=_result(held.service, tasks),
        )
        events.processing(tx, request, tasks, remaining_s=0)
        self._end(tx, request)

    def fail(self, tx: Tx, run: TaskRun, failed: Failed, jitter: float) -> None:
        """Count a failed attempt: another follows after a pause, or the task and its request end with the failure.

        ``jitter`` is random in [0, 1). Raises `Conflict` for an attempt that no longer holds the task, `LookupError` for a code
        that nobody declares, `msgspec.MsgspecError` when ``payer_errors`` is no JSON.
        """
        held = self._held_or_conflict(tx, run)
        failure = self.catalogue.failure(held.service, failed.code)
        if failure is None:
            raise LookupError("the catalogue does not declare this failure code")
        retryable = failure.retryable if failed.retryable is None else failed.retryable
        request = replace(held.request, payer_errors=_kept(failed.payer_errors) or held.request.payer_errors)
        task = replace(held.task, failures=held.task.failures + 1)
        if retryable and task.failures < held.definition.max_attempts:
            self._retry(tx, request, task, failure, back_off_s(held.definition.back_off_s, task.failures, jitter))
            return
        failed.apply(tx)
        self._end_task(tx, replace(task, completed_by=events.SYSTEM), TaskMove.FAIL)
        self._cancel_open_tasks(tx, request, events.SYSTEM)
        error = ServiceError(code=failed.code, message=failure.message, retryable=retryable)
        state = after_request(request.state, RequestMove.FAIL)
        self._end(tx, replace(request, state=state, error=msgspec.json.encode(error).decode()))

    # --------------------------------------------------------------------------------------------------------------- inside

    def _retry(self, tx: Tx, request: RequestRow, task: TaskRow, failure: Failure, pause_s: float) -> None:
        rows.update_task(
            tx,
            replace(
                task,
                state=after_task(task.state, TaskMove.RETRY),
                try_number=task.try_number + failure.answered,
                run_at=tx.now + timedelta(seconds=pause_s),
                lease_owner=None,
                lease_until=None,
            ),
        )
        self._tell(tx, request)

    def _assign(self, tx: Tx, service: ServiceDefinition, request: RequestRow) -> None:
        """Offer the tasks whose turn it is."""
        tasks = rows.tasks_of_request(tx, request.service_request_id)
        for place in turn([task.state for task in tasks], parallel=service.order is Order.PARALLEL):
            task = tasks[place]
            definition = service.task(task.task_type)
            assigned = replace(
                task,
                state=after_task(task.state, TaskMove.ASSIGN),
                assigned_at=tx.now,
                due_at=tx.now + timedelta(seconds=definition.due_s) if definition and definition.due_s else None,
                run_at=tx.now if task.executor is ExecutorKind.SYSTEM else None,
            )
            rows.update_task(tx, assigned)
            events.task_assigned(tx, assigned)

    def _tell(self, tx: Tx, request: RequestRow, *, only_news: bool = False) -> None:
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

    def _end_task(self, tx: Tx, task: TaskRow, move: TaskMove) -> TaskRow:
        """Tasks that were never assigned end unheard: nobody was told of them."""
        ended = replace(
            task, state=after_task(task.state, move), completed_at=tx.now, run_at=None, lease_owner=None, lease_until=None
        )
        rows.update_task(tx, ended)
        if ended.assigned_at is not None:
            events.task_completed(tx, ended)
        return ended

    def _cancel_open_tasks(self, tx: Tx, request: RequestRow, actor: str) -> None:
        for task in rows.tasks_of_request(tx, request.service_request_id):
            if task.completed_at is None:
                self._end_task(tx, replace(task, completed_by=actor), TaskMove.CANCEL)

    def _end(self, tx: Tx, request: RequestRow) -> RequestRow:
        """``request`` has its last state; its tasks have ended."""
        ended = replace(request, completed_at=tx.now)
        rows.update_request(tx, ended)
        events.completed(tx, ended)
        if ended.session_id is not None:
            self._closed(tx, ended.session_id)
        return ended

    def _held(self, tx: Tx, run: TaskRun) -> _Held | None:
        task = rows.find_task(tx, run.task_id)
        if task is None or task.attempt != run.attempt or task.lease_until is None:
            return None
        request, service, definition = self._belongings(tx, task)
        return None if service is None or definition is None else _Held(task, request, service, definition)

    def _held_or_conflict(self, tx: Tx, run: TaskRun) -> _Held:
        held = self._held(tx, run)
        if held is None:
            raise Conflict
        return held

    def _belongings(self, tx: Tx, task: TaskRow) -> tuple[RequestRow, ServiceDefinition | None, TaskDefinition | None]:
        request = rows.find_request(tx, task.service_request_id)
        assert request is not None, "the schema keeps every task's request"
        service = self.catalogue.find(request.service)
        return request, service, None if service is None else service.task(task.task_type)


def _new_task(task_id: str, request: RequestRow, place: int, definition: TaskDefinition) -> TaskRow:
    """A human task is meant for whom the request names, else for whom the service declares."""
    human = definition.executor is ExecutorKind.HUMAN
    role = request.target_role if human and request.target_role is not None else definition.role
    return TaskRow(
        task_id=task_id,
        service_request_id=request.service_request_id,
        session_id=request.session_id,
        member_id=request.member_id,
        task_type=definition.type,
        title=definition.title,
        place=place,
        urgency=URGENCY[request.priority],
        executor=definition.executor,
        state=TaskState.WAITING,
        assignee_id=request.member_id if role is AssigneeRole.MEMBER else None,
        assignee_role=role,
        speciality=request.target_speciality if human else None,
        form=None if definition.form is None else msgspec.json.encode(definition.form).decode(),
    )


def _claimable(task: TaskRow, now: datetime) -> bool:
    """Due, and in nobody's hands."""
    return task.run_at is not None and task.run_at <= now and (task.lease_until is None or task.lease_until <= now)


def _result(service: ServiceDefinition, tasks: list[TaskRow]) -> bytes:
    """What a request found: in sequence what its last task found, in parallel what each found by its type."""
    found = {task.task_type: task.result or b"{}" for task in tasks}
    if service.order is Order.SEQUENCE or len(tasks) == 1:
        return found[tasks[-1].task_type]
    return msgspec.json.encode({task_type: msgspec.Raw(result) for task_type, result in found.items()})


def _kept(payer_errors: bytes | None) -> str | None:
    """The payer's words, byte for byte; only checked."""
    if payer_errors is None:
        return None
    msgspec.json.decode(payer_errors)
    return payer_errors.decode()
