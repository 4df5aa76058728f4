"""Declarations of services from files: the platform's own and an operator's are read by the same loader, once, at the start.

A mistake is said as ``file:line: key: what is wrong``, so that it can be mended without a search.
"""

from __future__ import annotations

import importlib
import inspect
import math
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from session_platform.careflow.catalogue import places
from session_platform.careflow.catalogue.definitions import (
    OWN_FAILURES,
    Catalogue,
    Code,
    Failure,
    ServiceDefinition,
    TaskDefinition,
)
from session_platform.careflow.model import STAFF_ROLES
from session_platform.contract import AssigneeRole
from session_platform.errors import StartError, kind_and_place

SERVICES: Final = Path(__file__).with_name("services")
"""The services that every installation has."""
OWN_FUNCTIONS: Final = frozenset({"coverage_check", "stone_creation", "pdid_retrieval"})
"""The names of the platform's own functions; the wiring has them."""
_BRINGS_ITS_OWN: Final = ":"
S = TypeVar("S")


class Mistake(NamedTuple):
    """``path`` leads to it in the file, ``words`` say what is wrong there."""

    path: places.Path
    words: str


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    source: str

    def error(self, mistake: Mistake) -> StartError:
        line = places.line_of(self.source, mistake.path)
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in mistake.path).lstrip(".")
        return StartError(f"{self.path}:{line}: {key + ': ' if key else ''}{mistake.words.rstrip('.?')}.")


def load_catalogue(
    *directories: Path, failures: Mapping[str, Failure] = OWN_FAILURES, functions: Collection[str] = OWN_FUNCTIONS
) -> Catalogue:
    """The services of all ``*.toml`` files in ``directories``; ``failures`` by code are those that the executors report,
    ``functions`` the names that a declaration may use without bringing the function itself.

    Raises `StartError` naming the file and the line of the first mistake.
    """
    services: dict[str, ServiceDefinition] = {}
    files: dict[str, _File] = {}
    brought: dict[str, Any] = {}
    for path in _files(directories):
        file = _read(path)
        service = _load(file)
        if service.code in services:
            words = f"{files[service.code].path} declares the same service; each may be declared once"
            raise file.error(Mistake(("code",), words))
        for mistake in _mistakes(service, services.values()):
            raise file.error(mistake)
        for place, task in enumerate(service.tasks):
            brought |= _function(file, place, task, functions)
        services[service.code], files[service.code] = service, file
    return Catalogue(MappingProxyType(services), MappingProxyType({**OWN_FAILURES, **failures}), MappingProxyType(brought))


def _files(directories: tuple[Path, ...]) -> Iterator[Path]:
    for directory in directories:
        if not directory.is_dir():
            raise StartError(f"{directory} is no directory with service declarations (*.toml).")
        yield from sorted(directory.glob("*.toml"))


def _read(path: Path) -> _File:
    try:
        return _File(path, path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{path} cannot be read: {type(error).__name__}.") from None


def _load(file: _File) -> ServiceDefinition:
    try:
        document = tomllib.loads(file.source)
    except tomllib.TOMLDecodeError as error:
        line, words = places.syntax_error(str(error), file.source)
        raise StartError(f"{file.path}:{line}: this is no TOML: {words}.") from None
    # One by one, because what is said of all of them together does not name the one that is meant.
    failures = document.get("failures")
    for code, failure in failures.items() if isinstance(failures, dict) else ():
        _convert(file, {code: failure}, dict[Code, Any], "failures", code)
        _convert(file, failure, Failure, "failures", code)
    return _convert(file, document, ServiceDefinition)


def _convert(file: _File, value: Any, shape: type[S], *at: str) -> S:
    """``value``, which stands at ``at``, in its shape; raises `StartError` when it has another."""
    try:
        return msgspec.convert(value, shape)
    except msgspec.ValidationError as error:
        raise file.error(Mistake((*at, *places.path_in(str(error))), str(error))) from None


def _mistakes(service: ServiceDefinition, others: Collection[ServiceDefinition]) -> Iterator[Mistake]:
    """What the types alone cannot say."""
    for place, task in enumerate(service.tasks):
        for key, words in _task_mistakes(task):
            yield Mistake(("tasks", place, *key), words)
        if task.type in {earlier.type for earlier in service.tasks[:place]}:
            yield Mistake(("tasks", place, "type"), "a service has each task type once")
        if any((other := each.task(task.type)) and other.function != task.function for each in others):
            words = "another service has a task of this type that is done by another function; the queue is by type"
            yield Mistake(("tasks", place, "type"), words)
    if service.data_schema is not None:
        yield from (Mistake(("data_schema", *path), words) for path, words in _schema_mistakes(service.data_schema))


def _task_mistakes(task: TaskDefinition) -> Iterator[tuple[places.Path, str]]:
    system = task.executor == "system"
    if system != (task.role is AssigneeRole.SYSTEM):
        yield ("role",), "a system task has the role SYSTEM (the default), a human task another"
    if system and task.form is not None:
        yield ("form",), "only a human task has a form"
    if not system and task.function is not None:
        yield ("function",), "only a system task has a function"
    if task.speciality is not None and task.role not in STAFF_ROLES:
        yield ("speciality",), "only a task of CARE_TEAM or CLINICIAN asks for a speciality"
    if task.form is not None:
        yield from ((("form", *path), words) for path, words in _schema_mistakes(task.form))


def _schema_mistakes(schema: Mapping[str, Any]) -> Iterator[tuple[places.Path, str]]:
    """What it describes is an object. References may only point into the schema itself: nothing is fetched, now or when a
    request comes."""
    yield from ((path, "is no value of JSON: write it as text or as a number") for path in _no_json(schema, ()))
    try:
        Draft202012Validator.check_schema(schema)
        resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
        for reference in _references(schema):
            resolver.lookup(reference)
        Draft202012Validator(schema, registry=Registry()).is_valid({})
    except RecursionError:
        yield (), "has a reference that leads back to itself"
    except SchemaError as error:
        yield tuple(error.absolute_path), f"is no JSON Schema: {error.message}"
    except Unresolvable as error:
        yield (), f"has a reference that leads nowhere: {error.ref}"
    else:
        if "object" not in schema.get("type", "object"):
            yield ("type",), "must be object: what is submitted is an object with fields"


def _no_json(value: object, path: tuple[str | int, ...]) -> Iterator[places.Path]:
    """Where a schema has what TOML can say and JSON cannot: dates and times, infinity, whole numbers beyond 64 bits."""
    if isinstance(value, Mapping | list):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            yield from _no_json(part, (*path, key))
    elif not (
        isinstance(value, str | bool)
        or (isinstance(value, int) and -(2**63) <= value < 2**64)
        or (isinstance(value, float) and math.isfinite(value))
    ):
        yield path


def _references(schema: object) -> Iterator[str]:
    if isinstance(schema, Mapping):
        yield from (each for key in ("$ref", "$dynamicRef") if isinstance(each := schema.get(key), str))
    parts = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for part in parts:
        yield from _references(part)


def _function(file: _File, place: int, task: TaskDefinition, known: Collection[str]) -> Mapping[str, Any]:
    """The function that a declaration brings along, by its name; raises `StartError` when there is no such function."""
    name, at = task.function, ("tasks", place, "function")
    if name is None or name in known:
        return {}
    if _BRINGS_ITS_OWN not in name:
        words = f"the platform has no such function: use module:function or one of {', '.join(sorted(known))}"
        raise file.error(Mistake(at, words))
    module, _, attribute = name.partition(_BRINGS_ITS_OWN)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever an operator's module raises, it stops the start
        words = f"cannot be imported ({_what_broke(error)}): is it whole, and installed beside the platform"
        raise file.error(Mistake(at, words)) from None
    if not inspect.iscoroutinefunction(found) or not _takes_one(found):
        raise file.error(Mistake(at, "is no coroutine function: it must be `async def` and take the attempt (TaskRun)"))
    return {name: found}


def _what_broke(error: BaseException) -> str:
    """A syntax error is where it stands, and not where it was raised."""
    if isinstance(error, SyntaxError) and error.filename is not None:
        return f"{type(error).__name__} at {Path(error.filename).name}:{error.lineno}"
    return kind_and_place(error)


def _takes_one(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    return True
