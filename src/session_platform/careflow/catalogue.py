"""Services as data: what each is made of, who does it, how long it usually takes, how it may fail.

A service is one TOML file; the platform's own and an operator's are read by the same loader, once, at the start.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from msgspec import Meta, Struct
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from session_platform.contract import AssigneeRole
from session_platform.errors import StartError

SERVICES: Final = Path(__file__).with_name("services")
"""The services that every installation has."""

Code = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Text = Annotated[str, Meta(min_length=1, max_length=300)]
Seconds = Annotated[float, Meta(gt=0)]


class ExecutorKind(StrEnum):
    """Who does a task: a function of the platform, or a person."""

    SYSTEM = "system"
    HUMAN = "human"


class Order(StrEnum):
    """How the tasks of a service follow each other."""

    SEQUENCE = "sequence"
    PARALLEL = "parallel"


class Failure(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``message`` is what a person reads; ``retryable``: another attempt may succeed. ``answered``: the other side gave a
    definite answer, so the next attempt asks anew; without one it repeats the question under the same idempotency key."""

    message: Text
    retryable: bool
    answered: bool = True


INTERNAL_ERROR: Final = "internal_error"
TIMED_OUT: Final = "timed_out"
OWN_FAILURES: Final[Mapping[str, Failure]] = MappingProxyType(
    {
        INTERNAL_ERROR: Failure(message="Something went wrong on our side: try again later.", retryable=True, answered=False),
        TIMED_OUT: Failure(message="This took longer than it may: try again later.", retryable=True, answered=False),
    }
)
"""What can happen to every system task, whatever its service declares."""


class TaskDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One task. ``usual_s`` is believed until enough durations were measured; ``due_s`` counts from the assignment. For system
    tasks: an attempt may take ``attempt_timeout_s``, the ``max_attempts``-th failure is final, and the pause after the first is
    about ``back_off_s`` and doubles."""

    type: Code
    title: Text
    executor: ExecutorKind
    usual_s: Seconds
    role: AssigneeRole = AssigneeRole.SYSTEM
    due_s: Seconds | None = None
    form: dict[str, Any] | None = None
    attempt_timeout_s: Seconds = 30.0
    max_attempts: Annotated[int, Meta(ge=1, le=100)] = 3
    back_off_s: Seconds = 2.0


class ServiceDefinition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One service; without ``data_schema`` (JSON Schema 2020-12) it takes no data."""

    code: Code
    title: Text
    tasks: Annotated[tuple[TaskDefinition, ...], Meta(min_length=1, max_length=50)]
    order: Order = Order.SEQUENCE
    data_schema: dict[str, Any] | None = None
    failures: dict[Code, Failure] = {}
    """By code; beside, or instead of, those that its executors declare."""

    def task(self, task_type: str) -> TaskDefinition | None:
        """The declaration of the task of this type."""
        return next((task for task in self.tasks if task.type == task_type), None)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every service, by code; ``failures`` by code are those that executors report, whatever the service."""

    services: Mapping[str, ServiceDefinition]
    failures: Mapping[str, Failure]

    def find(self, code: str) -> ServiceDefinition | None:
        return self.services.get(code)

    def failure(self, service: ServiceDefinition, code: str) -> Failure | None:
        """What is declared for a failure code: the service's own word goes first."""
        return service.failures.get(code) or self.failures.get(code)

    def task_types(self) -> frozenset[str]:
        """The types of all system tasks: each needs an executor."""
        tasks = (task for service in self.services.values() for task in service.tasks)
        return frozenset(task.type for task in tasks if task.executor is ExecutorKind.SYSTEM)


def load_catalogue(*directories: Path, failures: Mapping[str, Failure] = OWN_FAILURES) -> Catalogue:
    """The services of all ``*.toml`` files in ``directories``; ``failures`` by code are those that the executors report.

    Raises `StartError` naming the file, and the line or key, of the first mistake.
    """
    services: dict[str, ServiceDefinition] = {}
    files: dict[str, Path] = {}
    for path in _files(directories):
        service = _load(path)
        if service.code in services:
            raise StartError(f"{path}: code: {files[service.code]} declares the same service; each may be declared once.")
        services[service.code], files[service.code] = service, path
    return Catalogue(MappingProxyType(services), MappingProxyType({**OWN_FAILURES, **failures}))


def _files(directories: tuple[Path, ...]) -> Iterator[Path]:
    for directory in directories:
        if not directory.is_dir():
            raise StartError(f"{directory} is no directory with service declarations (*.toml).")
        yield from sorted(directory.glob("*.toml"))


def _load(path: Path) -> ServiceDefinition:
    try:
        service = msgspec.convert(tomllib.loads(path.read_text("utf-8")), ServiceDefinition)
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path} cannot be read: {type(error).__name__}.") from None
    except tomllib.TOMLDecodeError as error:
        raise StartError(f"{path} is no TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise StartError(f"{path}: {error}.") from None
    for key, mistake in _mistakes(service):
        raise StartError(f"{path}: {key}: {mistake}.")
    return service


def _mistakes(service: ServiceDefinition) -> Iterator[tuple[str, str]]:
    """(key, what is wrong with it): what the types alone cannot say."""
    for place, task in enumerate(service.tasks):
        if (task.executor is ExecutorKind.SYSTEM) != (task.role is AssigneeRole.SYSTEM):
            yield f"tasks[{place}].role", "a system task has the role SYSTEM, a human task another"
        if task.form is not None and task.executor is ExecutorKind.SYSTEM:
            yield f"tasks[{place}].form", "only a human task has a form"
        if task.type in {earlier.type for earlier in service.tasks[:place]}:
            yield f"tasks[{place}].type", "a service has each task type once"
    if service.data_schema is not None and (mistake := _schema_mistake(service.data_schema)):
        yield "data_schema", mistake


def _schema_mistake(schema: Mapping[str, Any]) -> str | None:
    """References may only point into the schema itself: nothing is fetched, now or when a request comes."""
    try:
        Draft202012Validator.check_schema(schema)
        resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
        for reference in _references(schema):
            resolver.lookup(reference)
    except SchemaError as error:
        return f"is no JSON Schema at {error.json_path}: {error.message}"
    except Unresolvable as error:
        return f"has a reference that leads nowhere: {error.ref}"
    return None


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference
    parts = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for part in parts:
        yield from _references(part)
