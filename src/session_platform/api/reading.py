"""A request's body: bytes with a bound, then strict JSON, then a typed body, or an error that repeats nothing of it.

Strict means I-JSON (RFC 7493): UTF-8, no name twice in an object, no NaN, no half surrogate pairs, integers of 64 bits; and no
nesting without end. Equal JSON has one digest: order of names, white space and ``1`` against ``1.0`` make no difference.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, NoReturn, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from session_platform.errors import FieldProblem, Invalid, TooLarge, UnsupportedMediaType

BODY_MAX_BYTES: Final = 256 * 1024
DEPTH_MAX: Final = 64
PROBLEMS_MAX: Final = 50
POINTED_NAME_MAX_CHARS: Final = 100
_WHOLE_FLOATS_BELOW: Final = 2.0**53
_DIGITS_MAX: Final = 20


class Body(BaseModel):
    """A JSON object of which every field is known and none is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(Body):
    """The body of a call that needs none."""


B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True)
class Posted(Generic[B]):
    """A body as it was understood. ``digest`` is equal for JSON-equal bodies."""

    body: B
    digest: bytes


def posted(model: type[B], *, optional: bool = False) -> Any:
    """The dependency that reads a ``model`` from the request; ``optional``: no body at all is an empty object.

    Raises `TooLarge`, `UnsupportedMediaType` and `Invalid`.
    """

    async def read(request: Request) -> Posted[B]:
        if not optional:
            _require_json(request)
        raw = await _bounded(request)
        if optional and not raw:
            raw = b"{}"
        elif optional:
            _require_json(request)
        return understand(model, raw)

    return Depends(read)


def understand(model: type[B], raw: bytes) -> Posted[B]:
    """``raw`` as a ``model``. Raises `Invalid`."""
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_object, parse_constant=_refuse, parse_float=_float, parse_int=_integer
        )
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise Invalid(FieldProblem("", "must be JSON: UTF-8, without repeated names, and finite numbers of 64 bits")) from None
    if _deeper_than(DEPTH_MAX, value):
        raise Invalid(FieldProblem("", f"must not nest deeper than {DEPTH_MAX} levels"))
    try:
        return Posted(model.model_validate(value), hashlib.sha256(canonical).digest())
    except ValidationError as error:
        raise Invalid(*field_problems(error.errors(include_url=False, include_input=False))) from None


def field_problems(errors: Sequence[Any]) -> list[FieldProblem]:
    """pydantic's errors in our words: theirs repeat what was submitted."""
    return [FieldProblem(_pointer(each), _detail(each)) for each in errors[:PROBLEMS_MAX]]


async def _bounded(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > _DIGITS_MAX or int(declared) > BODY_MAX_BYTES):
        raise TooLarge
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > BODY_MAX_BYTES:
            raise TooLarge
    return bytes(body)


def _require_json(request: Request) -> None:
    media_type, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    if media_type != "application/json" or not charsets <= {"utf-8", "utf8"}:
        raise UnsupportedMediaType


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _refuse(_: str) -> NoReturn:
    raise ValueError


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= _DIGITS_MAX else 2**64
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _float(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _WHOLE_FLOATS_BELOW else value


def _deeper_than(levels: int, value: Any) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            child
            for each in layer
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return True


def _pointer(error: Mapping[str, Any]) -> str:
    path = list(error["loc"])
    # The name of an unknown field is the client's own text: a long one is not repeated.
    if error["type"] == "extra_forbidden" and len(str(path[-1])) > POINTED_NAME_MAX_CHARS:
        path.pop()
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


_DETAILS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = MappingProxyType(
    {
        "missing": lambda _: "is required",
        "extra_forbidden": lambda _: "is not a field of this call",
        "model_type": lambda _: "must be an object",
        "dict_type": lambda _: "must be an object",
        "list_type": lambda _: "must be a list",
        "string_type": lambda _: "must be text",
        "bool_type": lambda _: "must be true or false",
        "int_type": lambda _: "must be a whole number",
        "int_parsing": lambda _: "must be a whole number",
        "enum": lambda context: f"must be {context['expected']}",
        "literal_error": lambda context: f"must be {context['expected']}",
        "string_too_short": lambda context: f"must have at least {context['min_length']} characters",
        "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
        "too_long": lambda context: f"must have at most {context['max_length']} entries",
        "greater_than_equal": lambda context: f"must be at least {context['ge']}",
        "less_than_equal": lambda context: f"must be at most {context['le']}",
        "string_pattern_mismatch": lambda _: "has characters that are not allowed here",
    }
)


def _detail(error: Mapping[str, Any]) -> str:
    text = _DETAILS.get(error["type"])
    return "is not acceptable" if text is None else text(error.get("ctx", {}))
