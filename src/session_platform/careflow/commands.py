"""What may be done to requests, and to the tasks that the platform does itself: every command is one transaction under the
member's head. What people and services do by hand is in `hands`."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import msgspec

from session_platform.careflow import events, rows
from session_platform.careflow.attempts import Failed, Succeeded, TaskRun
from session_platform.careflow.catalogue import SERVICE_CHANGED, Catalogue, ExecutorKind, TaskDefinition
from session_platform.careflow.flow import Begin, Flow, Held, Neighbours
from session_platform.careflow.hands import Hands
from session_platform.careflow.model import STAFF_ROLES, URGENCY, RequestMove, RequestState, TaskState, after_request
from session_platform.careflow.rows import RequestRow, TaskRow
from session_platform.careflow.submission import NewRequest, accept
from session_platform.careflow.views import RequestView
from session_platform.contract import AssigneeRole, ProcessingStage
from session_platform.errors import Conflict, ForbiddenOrMissing
from session_platform.store.port import Tx

LEASE_S: Final = 10.0
"""How long a claim holds without being renewed."""


class Careflow(Flow):
    """The commands, beside the `Reads`; ``hands`` has those of people and services."""

    def __init__(self, catalogue: Catalogue, neighbours: Neighbours) -> None:
        super().__init__(catalogue, neighbours)
        self.hands = Hands(self)

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
            traceparent=tx.traceparent,
        )
        rows.insert_request(tx, request)
        for place, definition in enumerate(accepted.service.tasks):
            rows.insert_task(tx, _new_task(tx.mint("task"), request, place, definition))
        events.submitted(tx, request)
        self.assign(tx, accepted.service, request)
        self.tell(tx, request)
        self.neighbours.opened(tx, new.session_id)
        return self.view_of(tx, request, tx.now)

    def cancel(self, tx: Tx, service_request_id: str, actor: str) -> RequestView:
        """End a request and its open tasks; whoever works on one finds its attempt refused. The same actor may repeat it.

        Raises `ForbiddenOrMissing` without such a request, `Conflict` when it has ended otherwise or a backend moves it.
        """
        request = rows.find_request(tx, service_request_id)
        if request is None:
            raise ForbiddenOrMissing
        if request.publisher is not None:
            raise Conflict("A backend's service request is moved by its events only.")
        if request.session_id is not None:
            self.neighbours.active(tx, request.session_id)
        if request.state is RequestState.CANCELED and request.canceled_by == actor:
            return self.view_of(tx, request, tx.now)
        state = after_request(request.state, RequestMove.CANCEL)
        self.cancel_open_tasks(tx, request, actor)
        return self.view_of(tx, self.end(tx, replace(request, state=state, canceled_by=actor)), tx.now)

    # ------------------------------------------------------------------------------------------------------------ by workers

    def withdraw(self, tx: Tx, service_request_id: str) -> None:
        """End an open request with `SERVICE_CHANGED`, if an open task of it is no longer declared."""
        request = rows.find_request(tx, service_request_id)
        if request is None or request.publisher is not None or request.completed_at is not None:
            return
        open_tasks = [task for task in rows.tasks_of_request(tx, service_request_id) if task.completed_at is None]
        if not all(self.declares(request.service, task.task_type, task.executor) for task in open_tasks):
            self.end_failed(tx, request, SERVICE_CHANGED, self.catalogue.failures[SERVICE_CHANGED])

    def claim(self, tx: Tx, task_id: str, owner: str) -> TaskRun | None:
        """Take a system task that is due for `LEASE_S` seconds; None when there is nothing to take (any more)."""
        task = rows.find_task(tx, task_id)
        if task is None or task.executor is not ExecutorKind.SYSTEM or not task.claimable(tx.now):
            return None
        held = self.held(tx, task)
        begun = None if held is None else self.begin(tx, held, Begin(owner, LEASE_S))
        if held is None or begun is None:
            return None
        earlier = rows.tasks_of_request(tx, held.request.service_request_id)
        return TaskRun(
            task_id=task.task_id,
            task_type=task.task_type,
            attempt=begun.attempt,
            try_number=task.try_number,
            service_request_id=held.request.service_request_id,
            session_id=held.request.session_id,
            member_id=held.request.member_id,
            subject=held.request.subject,
            data=None if held.request.data is None else msgspec.json.decode(held.request.data),
            timeout_s=held.definition.attempt_timeout_s,
            found={each.task_type: msgspec.json.decode(each.result) for each in earlier if each.result is not None},
            traceparent=held.request.traceparent,
        )

    def renew(self, tx: Tx, run: TaskRun) -> bool:
        """Hold the task for another `LEASE_S` seconds, and tell how far it is when that is news. False: it is no longer this
        attempt's (taken over, or its request ended): stop working."""
        held = self._held_by(tx, run)
        if held is None:
            return False
        rows.update_task(tx, replace(held.task, lease_until=tx.now + timedelta(seconds=LEASE_S)))
        self.tell(tx, held.request, only_news=True)
        return True

    def hand_back(self, tx: Tx, run: TaskRun, pause_s: float) -> None:
        """Give up this attempt without an answer: anybody may claim the task after ``pause_s``, and nothing is counted."""
        held = self._held_by(tx, run)
        if held is not None:
            free_at = tx.now + timedelta(seconds=pause_s)
            rows.update_task(tx, replace(held.task, lease_owner=None, lease_until=None, run_at=free_at, interruptions=0))

    def succeed(self, tx: Tx, run: TaskRun, done: Succeeded) -> None:
        """End the task with its result; the request goes on to its next task or ends.

        Raises `Conflict` for an attempt that no longer holds the task, `msgspec.MsgspecError` unless the result is an object.
        """
        held = self._held_or_conflict(tx, run)
        done.apply(tx)
        self.complete_task(tx, held, replace(held.task, result=done.result, completed_by=events.SYSTEM))

    def fail(self, tx: Tx, run: TaskRun, failed: Failed, jitter: float) -> None:
        """Count a failed attempt: another follows after a pause, or the task and its request end with the failure.

        ``jitter`` is random in [0, 1). Raises `Conflict` for an attempt that no longer holds the task, `LookupError` for a code
        that nobody declares, `msgspec.MsgspecError` when ``payer_errors`` is no JSON.
        """
        self.fail_attempt(tx, self._held_or_conflict(tx, run), failed, jitter)

    # --------------------------------------------------------------------------------------------------------------- inside

    def _held_by(self, tx: Tx, run: TaskRun) -> Held | None:
        task = rows.find_task(tx, run.task_id)
        if task is None or task.attempt != run.attempt or task.lease_until is None:
            return None
        return self.held(tx, task)

    def _held_or_conflict(self, tx: Tx, run: TaskRun) -> Held:
        held = self._held_by(tx, run)
        if held is None:
            raise Conflict
        return held


def _new_task(task_id: str, request: RequestRow, place: int, definition: TaskDefinition) -> TaskRow:
    """A human task is meant for whom the request names, else for whom the service declares; no person is the system."""
    human = definition.done_by is ExecutorKind.HUMAN
    wanted = request.target_role if human and request.target_role is not AssigneeRole.SYSTEM else None
    role = wanted or definition.role
    speciality = (request.target_speciality or definition.speciality) if role in STAFF_ROLES else None
    return TaskRow(
        task_id=task_id,
        service_request_id=request.service_request_id,
        session_id=request.session_id,
        member_id=request.member_id,
        task_type=definition.type,
        title=definition.title,
        place=place,
        urgency=URGENCY[request.priority],
        executor=definition.done_by,
        state=TaskState.WAITING,
        assignee_id=None,
        assignee_role=role,
        speciality=None if speciality is None else speciality.upper(),
        form=None if definition.form is None else msgspec.json.encode(definition.form).decode(),
    )
