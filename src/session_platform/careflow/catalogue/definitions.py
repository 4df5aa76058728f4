"""Services as data: what each is made of, who does it, how long it usually takes, how it may fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from session_platform.contract import AssigneeRole

Code = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}\Z")]
Text = Annotated[str, Meta(min_length=1, max_length=300)]
Seconds = Annotated[float, Meta(gt=0, le=315_360_000)]
"""At most ten years: a due date has to be a date."""
FunctionName = Annotated[str, Meta(pattern=r"^([A-Za-z_][A-Za-z0-9_.]*:)?[A-Za-z_][A-Za-z0-9_]*\Z", max_length=300)]


class ExecutorKind(StrEnum):
    """Who does a task: a function of the platform, another backend through REST, or a person."""

    SYSTEM = "system"
    SERVICE = "service"
    HUMAN = "human"


class Order(StrEnum):
    """How the tasks of a service follow each other."""

    SEQUENCE = "sequence"
    PARALLEL = "parallel"


class ResultFrom(StrEnum):
    """What a request found. LAST: what its last task did; in parallel, what each did, by its type. MERGED: the fields of all of
    them in one object, where a later task's go over an earlier one's."""

    LAST = "last"
    MERGED = "merged"


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``message`` is what a person reads; ``retryable``: another attempt may succeed. ``answered``: the other side gave a
    definite answer, so the next attempt asks anew; without one it repeats the question under the same idempotency key."""

    message: Text
    retryable: bool
    answered: bool = True


INTERNAL_ERROR: Final = "internal_error"
TIMED_OUT: Final = "timed_out"
NOT_DONE: Final = "not_done"
SERVICE_CHANGED: Final = "service_changed"
OWN_FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {
        INTERNAL_ERROR: Failure(message="Something went wrong on our side: try again later.", retryable=True, answered=False),
        TIMED_OUT: Failure(message="This took longer than it may: try again later.", retryable=True, answered=False),
        NOT_DONE: Failure(message="Whoever worked on this could not complete it: ask us what to do next.", retryable=False),
        SERVICE_CHANGED: Failure(message="This is no longer offered as you asked for it: see what is now.", retryable=False),
    }
)
"""What can happen to every task, whatever its service declares."""


class TaskDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task. ``usual_s`` is believed until enough durations were measured; ``due_s`` counts from when its turn came.

    A system task is done by ``function``, a name that the platform gives out or ``module:function``; without one, by a service
    through REST. An attempt at it may take ``attempt_timeout_s``, the ``max_attempts``-th failure is final, and the pause after
    the first is about ``back_off_s`` and doubles. A human task is done by who has ``role`` (and ``speciality``) with ``form``,
    a JSON Schema of its result.
    """

    type: Code
    title: Text
    executor: Literal["system", "human"]
    usual_s: Seconds
    role: AssigneeRole = AssigneeRole.SYSTEM
    speciality: Text | None = None
    due_s: Seconds | None = None
    form: dict[str, Any] | None = None
    function: FunctionName | None = None
    attempt_timeout_s: Seconds = 30.0
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    back_off_s: Seconds = 2.0

    @property
    def done_by(self) -> ExecutorKind:
        if self.executor == "human":
            return ExecutorKind.HUMAN
        return ExecutorKind.SERVICE if self.function is None else ExecutorKind.SYSTEM


class ServiceDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service; without ``data_schema`` (JSON Schema 2020-12) it takes no data."""

    code: Code
    title: Text
    tasks: Annotated[tuple[TaskDefinition, ...], Meta(min_length=1, max_length=50)]
    order: Order = Order.SEQUENCE
    result: ResultFrom = ResultFrom.LAST
    data_schema: dict[str, Any] | None = None
    failures: dict[Code, Failure] = {}
    """By code; beside, or instead of, those that its executors declare."""

    def task(self, task_type: str) -> TaskDefinition | None:
        """The declaration of the task of this type."""
        return next((task for task in self.tasks if task.type == task_type), None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every service, by code; ``failures`` by code are those that executors report, whatever the service. ``functions`` by name
    are those that declarations brought along as ``module:function``."""

    services: Mapping[str, ServiceDefinition]
    failures: Mapping[str, Failure]
    functions: Mapping[str, Any] = field(default_factory=dict)

    def find(self, code: str) -> ServiceDefinition | None:
        return self.services.get(code)

    def failure(self, service: ServiceDefinition, code: str) -> Failure | None:
        """What is declared for a failure code: the service's own word goes first."""
        return service.failures.get(code) or self.failures.get(code)

    def function_names(self) -> Mapping[str, str]:
        """The name of the function that does it, by type of system task."""
        tasks = (task for service in self.services.values() for task in service.tasks)
        return {task.type: task.function for task in tasks if task.function is not None}
