"""What a new request, and a task's result, must look like: every field checked before anything is written. Pure.

What is refused is named by JSON pointer, in words that never repeat what was submitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

from session_platform.careflow.catalogue import Catalogue, ServiceDefinition
from session_platform.contract import AssigneeRole, ServiceRequestPriority
from session_platform.errors import FieldProblem, Invalid

REASON_MAX_CHARS: Final = 1_000
NAME_MAX_CHARS: Final = 200
"""For ``target_speciality`` and ``current_call_id``."""
PROBLEMS_MAX: Final = 50
"""More mistakes than this in one body help nobody."""

# By keyword of JSON Schema; {} is the schema's own value, which the operator wrote. Others get the general text.
_DETAILS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "type": "must be of type {}",
        "enum": "must be one of the values that the service declares",
        "const": "must be the value that the service declares",
        "format": "must be a valid {}",
        "pattern": "does not have the form that the service declares",
        "minLength": "must have at least {} characters",
        "maxLength": "must have at most {} characters",
        "minimum": "must be at least {}",
        "maximum": "must be at most {}",
        "minItems": "must have at least {} entries",
        "maxItems": "must have at most {} entries",
        "additionalProperties": "has a field that this service does not take",
        "unevaluatedProperties": "has a field that this service does not take",
    }
)
_GENERAL: Final = "is not what the service declares"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """What somebody asks for. ``subject`` is the account it is for; that the caller may ask for it is decided before.
    ``priority`` and ``target_role`` (in any case) are taken as submitted; ``data`` is decoded JSON, None without."""

    session_id: str
    member_id: str
    initiator_id: str
    service: str
    subject: str | None = None
    reason: str | None = None
    priority: str = ServiceRequestPriority.STANDARD
    data: Any = None
    target_role: str | None = None
    target_speciality: str | None = None
    current_call_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A request in which everything is as it must be; ``data`` is JSON."""

    service: ServiceDefinition
    priority: ServiceRequestPriority
    target_role: AssigneeRole | None
    data: str | None


def accept(new: NewRequest, catalogue: Catalogue) -> Accepted:
    """Raises `Invalid` naming everything that is wrong."""
    service = catalogue.find(new.service)
    problems = [*_field_problems(new)]
    if service is None:
        problems.insert(0, FieldProblem("/service", "is no service of the catalogue"))
    else:
        problems.extend(_data_problems(service, new.data))
    if service is None or problems:
        raise Invalid(*problems)
    return Accepted(
        service=service,
        priority=ServiceRequestPriority(new.priority),
        target_role=None if new.target_role is None else AssigneeRole(new.target_role),
        data=None if service.data_schema is None or new.data is None else msgspec.json.encode(new.data).decode(),
    )


def _field_problems(new: NewRequest) -> Iterator[FieldProblem]:
    if new.priority not in ServiceRequestPriority.__members__:
        yield FieldProblem("/priority", "must be one of " + ", ".join(ServiceRequestPriority))
    if new.target_role is not None and new.target_role.upper() not in AssigneeRole.__members__:
        yield FieldProblem("/target_role", "must be one of " + ", ".join(AssigneeRole))
    limits = {"reason": REASON_MAX_CHARS, "target_speciality": NAME_MAX_CHARS, "current_call_id": NAME_MAX_CHARS}
    for field, max_chars in limits.items():
        text: str | None = getattr(new, field)
        if text is not None and (detail := _text_problem(text, max_chars)):
            yield FieldProblem(f"/{field}", detail)


def _text_problem(text: str, max_chars: int) -> str | None:
    if not text or len(text) > max_chars:
        return f"must have 1 to {max_chars} characters"
    if any((ch < " " and ch not in "\t\n\r") or "\ud800" <= ch <= "\udfff" for ch in text):
        return "must not contain control characters or broken Unicode"
    return None


def _data_problems(service: ServiceDefinition, data: Any) -> list[FieldProblem]:
    if service.data_schema is None:
        return [] if data in (None, {}) else [FieldProblem("/data", "must be absent: this service takes no data")]
    return schema_problems(service.data_schema, {} if data is None else data, "data")


def schema_problems(schema: Mapping[str, Any], value: Any, field: str) -> list[FieldProblem]:
    """Everything wrong with ``value``, decoded JSON, by JSON pointer below ``/field``, at most `PROBLEMS_MAX`."""
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        return [FieldProblem(f"/{field}", "must not contain broken Unicode")]
    validator = Draft202012Validator(schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    found: dict[FieldProblem, None] = {}
    for error in validator.iter_errors(value):
        found.update(dict.fromkeys(_explain(error, field)))
        if len(found) >= PROBLEMS_MAX:
            break
    return list(found)[:PROBLEMS_MAX]


def _explain(error: ValidationError, field: str) -> Iterator[FieldProblem]:
    path: tuple[str | int, ...] = (field, *error.absolute_path)
    if error.validator == "required":
        declared, given = cast(list[str], error.validator_value), cast(dict[str, Any], error.instance)
        yield from (FieldProblem(_pointer(*path, name), "is required") for name in declared if name not in given)
    else:
        detail = _DETAILS.get(str(error.validator), _GENERAL)
        yield FieldProblem(_pointer(*path), detail.format(_words(error.validator_value)))


def _words(value: Any) -> str:
    return " or ".join(map(str, value)) if isinstance(value, list) else str(value)


def _pointer(*path: str | int) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
