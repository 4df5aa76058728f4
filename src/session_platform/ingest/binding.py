"""A CloudEvents 1.0.2 message over HTTP as what it says: headers and body in, events out. Pure.

Structured and batched mode are told by the content type; ``application/json`` is binary mode, where attributes are ``ce-``
headers and the body is the data. Nothing is judged here but whether the message can be read at all; of what the HTTP binding
and the JSON format leave to the reader, nulls are absent attributes and ``data_base64`` is decoded.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

from msgspec import UNSET

from session_platform.contract import strict_json
from session_platform.errors import FieldProblem, Invalid, UnsupportedMediaType

STRUCTURED: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"
BINARY: Final = "application/json"
EVENTS_MAX: Final = 1000
"""In one batch: all of it is one transaction, and other commands wait for it."""
PREFIX: Final = "ce-"
NAME_MAX_CHARS: Final = 100
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


class Place(NamedTuple):
    """Where an event stands in its message. ``in_headers``: its attributes do."""

    prefix: str = ""
    in_headers: bool = False

    def attribute(self, name: str) -> str:
        """The pointer of an attribute; a name that is longer than any attribute's is the sender's own text and not repeated."""
        if len(name) > NAME_MAX_CHARS:
            return self.prefix
        return f"/header/{PREFIX}{name}" if self.in_headers else f"{self.prefix}/{escaped(name)}"

    def data(self, pointer: str = "") -> str:
        """The pointer of something in the data, in binary mode as well: as if the event stood there in structured form."""
        return f"{self.prefix}/data{pointer}"


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event, unjudged: ``attributes`` have JSON's values (in binary mode text), ``data`` is decoded, `UNSET` without."""

    place: Place
    attributes: Mapping[str, Any]
    data: Any


def read(headers: Iterable[tuple[str, str]], body: bytes) -> list[RawEvent]:
    """The events of a message, in order; ``headers`` as HTTP has them, names in any case.

    Raises `UnsupportedMediaType`, and `Invalid` for what cannot be read.
    """
    given = [(name.lower(), value) for name, value in headers]
    match _media_type(given):
        case "application/cloudevents+json":
            return _unwrapped([(Place(), _json(body))])
        case "application/cloudevents-batch+json":
            return _unwrapped([(Place(f"/{index}"), value) for index, value in enumerate(_list(_json(body)))])
        case "application/json":
            return [RawEvent(Place(in_headers=True), _attributes(given), _json(body, "/data"))]
        case _:
            raise UnsupportedMediaType(
                f"The body needs Content-Type: {STRUCTURED}, {BATCH}, or {BINARY} with {PREFIX}* headers."
            )


def escaped(name: str) -> str:
    """A name as a reference token of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def _media_type(headers: Sequence[tuple[str, str]]) -> str | None:
    """The body's, if it is UTF-8 (which JSON always is)."""
    values = [value for name, value in headers if name == "content-type"]
    media_type, *parameters = (part.strip().lower() for part in (values[0] if len(values) == 1 else "").split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    return media_type if charsets <= {"utf-8", "utf8"} else None


def _json(body: bytes, pointer: str = "") -> Any:
    try:
        return strict_json.decode(body)
    except ValueError as error:
        raise Invalid(FieldProblem(pointer, str(error))) from None


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Invalid(FieldProblem("", "must be a list of events"))
    if len(value) > EVENTS_MAX:
        raise Invalid(FieldProblem("", f"must have at most {EVENTS_MAX} events"))
    return value


# ------------------------------------------------------------------------------------------------- structured and batched mode


def _unwrapped(values: Sequence[tuple[Place, Any]]) -> list[RawEvent]:
    problems: list[FieldProblem] = []
    events: list[RawEvent] = []
    for place, value in values:
        found = _event(place, value)
        if isinstance(found, FieldProblem):
            problems.append(found)
        else:
            events.append(found)
    if problems:
        raise Invalid(*problems)
    return events


def _event(place: Place, value: Any) -> RawEvent | FieldProblem:
    if not isinstance(value, dict):
        return FieldProblem(place.prefix, "must be an object")
    attributes = {name: each for name, each in value.items() if each is not None or name == "data"}
    data = attributes.pop("data", UNSET)
    encoded = attributes.pop("data_base64", None)
    if encoded is None:
        return RawEvent(place, attributes, data)
    if data is not UNSET:
        return FieldProblem(place.attribute("data_base64"), "must not stand beside data")
    try:
        return RawEvent(place, attributes, strict_json.decode(base64.b64decode(encoded, validate=True)))
    except (ValueError, TypeError, binascii.Error):
        return FieldProblem(place.attribute("data_base64"), "must be JSON in Base64")


# ------------------------------------------------------------------------------------------------------------------ binary mode


def _attributes(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    problems: list[FieldProblem] = []
    for name, value in _prefixed(headers):
        pointer = Place(in_headers=True).attribute(name)
        text = _decoded(value)
        if name in found:
            problems.append(FieldProblem(pointer, "must stand there once"))
        elif text is None:
            problems.append(FieldProblem(pointer, "must be percent-encoded UTF-8"))
        else:
            found[name] = text
    if problems:
        raise Invalid(*problems)
    return found


def _prefixed(headers: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for name, value in headers:
        if name.startswith(PREFIX):
            yield name.removeprefix(PREFIX), value


def _decoded(value: str) -> str | None:
    """Quoted strings first, then one round of percent-decoding (HTTP binding, 3.1.3.2); None for what is not UTF-8."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = _QUOTED_PAIR.sub(r"\1", value[1:-1])
    try:
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except ValueError:
        return None
