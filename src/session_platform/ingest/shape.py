"""Whether ``data`` has the shape of its contract type: every field known, of its type, and none missing. Pure.

The contract's own decoder ignores what it does not know, as receivers must; a backend that misspells a field is told.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping
from enum import EnumMeta
from functools import cache
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from session_platform.errors import FieldProblem
from session_platform.ingest.binding import NAME_MAX_CHARS, escaped

_AT: Final = re.compile(r" - at `\$(?P<path>.*)`$", re.DOTALL)
_STEP: Final = re.compile(r"\.(?P<name>[A-Za-z_]\w*)|\[(?P<index>\d+)\]|\[\.\.\.\]")


def problems(struct: type[Struct], value: Any, pointer: str = "") -> Iterator[FieldProblem]:
    """Everything wrong with ``value``, JSON that is to be a ``struct``; ``pointer`` is where it stands."""
    if not isinstance(value, Mapping):
        yield FieldProblem(pointer, "must be an object")
        return
    known = _fields(struct)
    for name, each in value.items():
        if name in known:
            yield from _of_field(known[name], each, f"{pointer}/{name}")
        else:
            yield FieldProblem(f"{pointer}/{escaped(name)}" if len(name) <= NAME_MAX_CHARS else pointer, "is no field of this")
    for name, field in known.items():
        if field.required and name not in value:
            yield FieldProblem(f"{pointer}/{name}", "is required")


@cache
def _fields(struct: type[Struct]) -> Mapping[str, FieldInfo]:
    """By name in JSON; reading the annotations takes longer than all the rest."""
    return {field.encode_name: field for field in fields(struct)}


def _of_field(field: FieldInfo, value: Any, pointer: str) -> Iterator[FieldProblem]:
    struct, repeated = _struct_in(field.type)
    if struct is None or (repeated and not isinstance(value, list)):
        yield from _of_value(field.type, value, pointer)
    elif repeated:
        for index, each in enumerate(value):
            yield from problems(struct, each, f"{pointer}/{index}")
    else:
        yield from problems(struct, value, pointer)


def _of_value(kind: Any, value: Any, pointer: str) -> Iterator[FieldProblem]:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        found = _AT.search(str(error))
        steps = _STEP.finditer(found["path"] if found else "")
        path = "".join(f"/{step['name'] or step['index'] or ''}".rstrip("/") for step in steps)
        yield FieldProblem(pointer + path, _detail(kind, _AT.sub("", str(error))))
    except OverflowError:
        yield FieldProblem(pointer, "is outside the years that UTC has")


def _detail(kind: Any, message: str) -> str:
    """In our words, which never repeat a value."""
    choices = next((each for each in _kinds(kind) if isinstance(each, EnumMeta)), None)
    if choices is not None:
        return "must be one of " + ", ".join(str(each.value) for each in choices)  # type: ignore[var-annotated]
    if "null" in message:
        return "must be left out rather than null"
    expected = re.match(r"Expected `(?P<kind>\w+)", message)
    if expected is not None:
        return f"must be {_WORDS.get(expected['kind'], 'of another type')}"
    return "must be an RFC 3339 time with its zone" if "datetime" in message or "timezone" in message else "is not acceptable"


_WORDS: Final[Mapping[str, str]] = {
    "str": "text",
    "int": "a whole number within bounds",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "datetime": "an RFC 3339 time with its zone",
}


@cache
def _struct_in(kind: Any) -> tuple[type[Struct] | None, bool]:
    """(the struct that a field holds, whether it holds a list of them)."""
    for each in _kinds(kind):
        if isinstance(each, type) and issubclass(each, Struct):
            return each, False
        if (
            typing.get_origin(each) is tuple
            and isinstance(inner := typing.get_args(each)[0], type)
            and issubclass(inner, Struct)
        ):
            return inner, True
    return None, False


def _kinds(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the one type that it is."""
    origin = typing.get_origin(kind)
    return typing.get_args(kind) if origin is typing.Union or getattr(origin, "__name__", "") == "UnionType" else (kind,)
