"""A request's body: bytes with a bound in size and time, then strict JSON, then a typed body, or an error that repeats nothing
of it.

Equal JSON has one digest: order of names, white space and ``1`` against ``1.0`` make no difference.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, ValidationError

from session_platform.contract import strict_json
from session_platform.errors import FieldProblem, Invalid, TooLarge, TooSlow, UnsupportedMediaType

BODY_MAX_BYTES: Final = 256 * 1024
BODY_WITHIN_S: Final = 10.0
"""How long a body may take to arrive: 26 kB a second for the largest. Whoever sends less holds a connection for nothing."""
PROBLEMS_MAX: Final = 50
POINTED_NAME_MAX_CHARS: Final = 100
_LENGTH_MAX_DIGITS: Final = 20


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

    Raises `TooLarge`, `TooSlow`, `UnsupportedMediaType` and `Invalid`.
    """

    async def read(request: Request) -> Posted[B]:
        if not optional:
            _require_json(request)
        raw = await bounded(request)
        if optional and not raw:
            raw = b"{}"
        elif optional:
            _require_json(request)
        return understand(model, raw)

    return Depends(read)


def understand(model: type[B], raw: bytes) -> Posted[B]:
    """``raw`` as a ``model``. Raises `Invalid`."""
    try:
        value = strict_json.decode(raw)
    except ValueError as error:
        raise Invalid(FieldProblem("", str(error))) from None
    try:
        return Posted(model.model_validate(value), hashlib.sha256(strict_json.canonical(value)).digest())
    except ValidationError as error:
        raise Invalid(*field_problems(error.errors(include_url=False, include_input=False))) from None


def field_problems(errors: Sequence[Any]) -> list[FieldProblem]:
    """pydantic's errors in our words: theirs repeat what was submitted."""
    return [FieldProblem(_pointer(each), _detail(each)) for each in errors[:PROBLEMS_MAX]]


async def bounded(request: Request, within_s: float = BODY_WITHIN_S) -> bytes:
    """The body's bytes. Raises `TooLarge`, `TooSlow`, and `UnsupportedMediaType` for a compressed one."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("The body must not be compressed: leave Content-Encoding out.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > _LENGTH_MAX_DIGITS or int(declared) > BODY_MAX_BYTES):
        raise TooLarge
    body = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_MAX_BYTES:
                    raise TooLarge
    except TimeoutError:
        raise TooSlow("The body took too long to arrive: send the request again.") from None
    return bytes(body)


def _require_json(request: Request) -> None:
    media_type, *parameters = (part.strip().lower() for part in request.headers.get("content-type", "").split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    if media_type != "application/json" or not charsets <= {"utf-8", "utf8"}:
        raise UnsupportedMediaType


def _pointer(error: Mapping[str, Any]) -> str:
    names = [str(part) for part in error["loc"]]
    # A name may be the client's own text: a long one is not repeated, and the pointer ends above it.
    named = itertools.takewhile(lambda name: len(name) <= POINTED_NAME_MAX_CHARS, names)
    return "".join(f"/{name.replace('~', '~0').replace('/', '~1')}" for name in named)


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
        "int_parsing_size": lambda _: "must be a whole number of 64 bits",
        "enum": lambda context: f"must be {context['expected']}",
        "literal_error": lambda context: f"must be {context['expected']}",
        "string_too_short": lambda context: f"must have at least {context['min_length']} characters",
        "string_too_long": lambda context: f"must have at most {context['max_length']} characters",
        "too_long": lambda context: f"must have at most {context['max_length']} entries",
        "too_short": lambda context: f"must have at least {context['min_length']} entries",
        "greater_than_equal": lambda context: f"must be at least {context['ge']}",
        "less_than_equal": lambda context: f"must be at most {context['le']}",
        "string_pattern_mismatch": lambda _: "has characters that are not allowed here",
    }
)


def _detail(error: Mapping[str, Any]) -> str:
    text = _DETAILS.get(error["type"])
    return "is not acceptable" if text is None else text(error.get("ctx", {}))
