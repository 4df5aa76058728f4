"""The task table as a queue: what is due, what is offered to whom, and whose lease ended unheard."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final, NamedTuple

from session_platform.careflow.catalogue import ExecutorKind
from session_platform.clock import from_micros, to_micros
from session_platform.contract import AssigneeRole
from session_platform.store.port import Reader, Tx, Value

# The partial index of the queue serves these four: their conditions repeat its own.
_DUE: Final = """
SELECT task.task_id, task.member_id, task.urgency, task.run_at, service_request.traceparent
FROM task JOIN service_request ON service_request.service_request_id = task.service_request_id
WHERE task.task_type = :task_type AND task.completed_at IS NULL AND task.executor = 'system' AND task.run_at IS NOT NULL
  AND task.run_at <= :now AND (task.lease_until IS NULL OR task.lease_until <= :now)
ORDER BY task.urgency, task.run_at LIMIT :limit
"""
_NEXT_RUN_AT: Final = """
SELECT min(run_at) FROM task
WHERE task_type = :task_type AND completed_at IS NULL AND executor = 'system' AND run_at IS NOT NULL AND run_at > :now
"""
_NEXT_LEASE_END: Final = """
SELECT min(lease_until) FROM task
WHERE task_type = :task_type AND completed_at IS NULL AND executor = 'system' AND run_at IS NOT NULL AND lease_until > :now
"""
_FREE_LEASES: Final = """
UPDATE task SET lease_owner = NULL, lease_until = NULL, interruptions = interruptions + :interrupted
WHERE completed_at IS NULL AND executor = 'system' AND run_at IS NOT NULL AND lease_until IS NOT NULL
  AND (:everybody = 1 OR lease_owner = :owner)
"""
# Served by the partial index of what is offered.
_OFFERED: Final = """
SELECT task_id FROM task
WHERE completed_at IS NULL AND assigned_at IS NOT NULL AND assignee_id IS NULL AND executor <> 'system'
  AND executor = :executor AND assignee_role = :role AND speciality IS NULL AND publisher IS NULL
  AND (run_at IS NULL OR run_at <= :now) AND task_id > :after
ORDER BY task_id LIMIT :limit
"""
_OFFERED_TO_SPECIALISTS: Final = """
SELECT task_id FROM task
WHERE completed_at IS NULL AND assigned_at IS NOT NULL AND assignee_id IS NULL AND executor <> 'system'
  AND executor = :executor AND assignee_role = :role AND speciality = :speciality AND publisher IS NULL
  AND (run_at IS NULL OR run_at <= :now) AND task_id > :after
ORDER BY task_id LIMIT :limit
"""
_ASSIGNED: Final = """
SELECT task_id FROM task
WHERE completed_at IS NULL AND assignee_id = :assignee AND assignee_role <> 'MEMBER' AND task_id > :after
  AND CASE WHEN assignee_role = 'SYSTEM' THEN 1 ELSE 0 END = :by_service
ORDER BY task_id LIMIT :limit
"""
_LAPSED: Final = """
SELECT task_id, member_id FROM task
WHERE completed_at IS NULL AND executor = 'service' AND lease_until IS NOT NULL AND lease_until <= :now
ORDER BY lease_until LIMIT :limit
"""

_OPEN_KINDS: Final = """
SELECT DISTINCT service_request.service, task.task_type, task.executor
FROM task JOIN service_request ON service_request.service_request_id = task.service_request_id
WHERE task.completed_at IS NULL AND task.publisher IS NULL
"""
_OPEN_OF_KIND: Final = """
SELECT DISTINCT service_request.service_request_id, service_request.member_id
FROM task JOIN service_request ON service_request.service_request_id = task.service_request_id
WHERE task.completed_at IS NULL AND task.publisher IS NULL AND service_request.service = :service
  AND task.task_type = :task_type AND task.executor = :executor
LIMIT :limit
"""


class Due(NamedTuple):
    """A task that somebody may claim; the smallest is the first to take. ``traceparent``: the trace of its request."""

    urgency: int
    run_at: int
    task_id: str
    member_id: str
    traceparent: str | None


class Lapsed(NamedTuple):
    """A service's task whose lease ended."""

    task_id: str
    member_id: str


class Kind(NamedTuple):
    """What a task is, and whose part it is."""

    service: str
    task_type: str
    executor: ExecutorKind


def due(reader: Reader, task_types: Iterable[str], now: datetime, limit: int) -> list[Due]:
    """At most ``limit`` tasks of these types, done by functions, that may be claimed at ``now``: the urgent first, then the
    longest due."""
    found = [
        Due(urgency=row[2], run_at=row[3], task_id=row[0], member_id=row[1], traceparent=row[4])
        for task_type in task_types
        for row in reader.all(_DUE, task_type=task_type, now=to_micros(now), limit=limit)
    ]
    return sorted(found, key=lambda each: each[:3])[:limit]


def next_due_at(reader: Reader, task_types: Iterable[str], now: datetime) -> datetime | None:
    """When the next such task that is not yet due, or is in somebody's hands, may become claimable."""
    moments = [
        row[0]
        for task_type in task_types
        for sql in (_NEXT_RUN_AT, _NEXT_LEASE_END)
        if (row := reader.one(sql, task_type=task_type, now=to_micros(now))) and row[0] is not None
    ]
    return from_micros(min(moments)) if moments else None


def free_leases(tx: Tx, owner: str | None = None) -> int:
    """Take every task out of the hands of ``owner``, who stops in good order, or of everybody: only for who knows that they are
    dead, which counts as an interruption. How many there were."""
    everybody = int(owner is None)
    return tx.execute(_FREE_LEASES, everybody=everybody, owner=owner or "", interrupted=everybody)


def offered_to_staff(
    reader: Reader, roles: Collection[AssigneeRole], specialities: Collection[str], *, now: datetime, after: str, limit: int
) -> list[str]:
    """Ids of tasks that staff with these roles and specialities may claim, in order of creation, behind the id ``after``."""
    what: dict[str, Value] = {"executor": ExecutorKind.HUMAN.value, "now": to_micros(now), "after": after, "limit": limit}
    found = [row[0] for role in roles for row in reader.all(_OFFERED, role=role.value, **what)]
    for role in roles:
        for speciality in sorted({each.upper() for each in specialities}):
            found += [row[0] for row in reader.all(_OFFERED_TO_SPECIALISTS, role=role.value, speciality=speciality, **what)]
    return sorted(found)[:limit]


def offered_to_services(reader: Reader, *, now: datetime, after: str, limit: int) -> list[str]:
    """As `offered_to_staff`, of tasks that a service may start."""
    what = {"executor": ExecutorKind.SERVICE.value, "role": AssigneeRole.SYSTEM.value}
    return [row[0] for row in reader.all(_OFFERED, now=to_micros(now), after=after, limit=limit, **what)]


def assigned_to(reader: Reader, assignee: str, *, by_service: bool, after: str, limit: int) -> list[str]:
    """Ids of the open tasks of any member that this staff member, or this service, holds: they may be called alike."""
    held = reader.all(_ASSIGNED, assignee=assignee, by_service=int(by_service), after=after, limit=limit)
    return [row[0] for row in held]


def lapsed(reader: Reader, now: datetime, limit: int) -> list[Lapsed]:
    """Services' tasks whose lease has ended, the longest first."""
    return [Lapsed(*row) for row in reader.all(_LAPSED, now=to_micros(now), limit=limit)]


def open_kinds(reader: Reader) -> list[Kind]:
    """Every kind of task that is open, of those that the platform runs."""
    return [Kind(row[0], row[1], ExecutorKind(row[2])) for row in reader.all(_OPEN_KINDS)]


def open_of_kind(reader: Reader, kind: Kind, limit: int) -> list[tuple[str, str]]:
    """(service request id, member id) of requests with such an open task."""
    what: dict[str, Value] = {"service": kind.service, "task_type": kind.task_type, "executor": kind.executor.value}
    return [(row[0], row[1]) for row in reader.all(_OPEN_OF_KIND, limit=limit, **what)]
