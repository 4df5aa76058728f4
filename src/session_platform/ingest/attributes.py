"""The attributes of a published event: which must be there, which a backend may set, which are the platform's own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

import msgspec

from session_platform.contract import Attribute, EventSpec, spec_of_type
from session_platform.errors import FieldProblem
from session_platform.ingest.binding import RawEvent
from session_platform.store.port import Marks
from session_platform.telemetry import trace_id

TEXT_MAX_CHARS: Final = 256
"""Of ``id`` and ``source``."""
EXTENSION_MAX_CHARS: Final = 1024
EXTENSIONS_MAX: Final = 32
PLATFORMS_OWN: Final = ("timelineseq", "timelineepoch")
"""Numbers are minted when an event is taken."""

_ENVELOPE: Final = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "partitionkey", "traceparent"})
_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_URI_REFERENCE: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_URIS: Final = frozenset({"source", "dataschema"})
_JSON_TYPE: Final = re.compile(r'application/json\s*(?:;\s*charset="?utf-?8"?\s*)?', re.IGNORECASE)
# CloudEvents' String: no control characters, no noncharacters.
_NO_TEXT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Attributes(NamedTuple):
    """What an event says of itself. ``partitionkey`` is judged with the data, whose member it must name."""

    spec: EventSpec
    source: str
    event_id: str
    partitionkey: str | None
    marks: Marks


def read(raw: RawEvent) -> Attributes | list[FieldProblem]:
    """The attributes, or everything that is wrong with them."""
    given = raw.attributes
    problems = [
        FieldProblem(raw.place.attribute(name), detail)
        for name, detail in (*_of_required(given), *_of_optional(given), *_of_extensions(given))
    ]
    spec = spec_of_type(str(given.get("type")))
    if problems or spec is None:
        return problems
    return Attributes(spec, given["source"], given["id"], given.get("partitionkey"), _marks(given))


def _of_required(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("specversion", "id", "source", "type"):
        if name not in given:
            yield name, "is required"
    if "specversion" in given and given["specversion"] != "1.0":
        yield "specversion", "must be 1.0"
    if "type" in given and (not isinstance(given["type"], str) or spec_of_type(given["type"]) is None):
        yield "type", "is no type of event that the platform knows"
    for name in ("id", "source"):
        if name in given and (detail := _text_problem(name, given[name], TEXT_MAX_CHARS)):
            yield name, detail


def _of_optional(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    content_type = given.get("datacontenttype", "application/json")
    if not isinstance(content_type, str) or not _JSON_TYPE.fullmatch(content_type):
        yield "datacontenttype", "must be application/json"
    if "time" in given and _moment(given["time"]) is None:
        yield "time", "must be an RFC 3339 time"
    for name in PLATFORMS_OWN:
        if name in given:
            yield name, "is given by the platform: leave it out"
    for name in ("partitionkey", "traceparent"):
        if name in given and not isinstance(given[name], str):
            yield name, "must be text"


def _of_extensions(given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    extensions = [name for name in given if name not in _ENVELOPE and name not in PLATFORMS_OWN]
    if len(extensions) > EXTENSIONS_MAX:
        yield extensions[EXTENSIONS_MAX], f"is one attribute too many: at most {EXTENSIONS_MAX} beside the envelope's own"
        return
    for name in extensions:
        if not _NAME.fullmatch(name) or name in {"data", "data_base64"}:
            yield name, "is no name of an attribute: lower-case letters and digits only"
        elif detail := _value_problem(name, given[name]):
            yield name, detail


def _value_problem(name: str, value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return None if -(2**31) <= value < 2**31 else "must be an integer of 32 bits"
    return _text_problem(name, value, EXTENSION_MAX_CHARS)


def _text_problem(name: str, value: Any, max_chars: int) -> str | None:
    if not isinstance(value, str):
        return "must be text" if name in {"id", "source"} else "must be text, true, false or an integer"
    if not value or len(value) > max_chars:
        return f"must have 1 to {max_chars} characters"
    if _NO_TEXT.search(value):
        return "has characters that no attribute may have"
    if name in _URIS and not _URI_REFERENCE.fullmatch(value):
        return "must be a URI reference"
    return None


def _marks(given: Mapping[str, Any]) -> Marks:
    """A trace that is none does not hold up the event: it goes on in the trace of the call."""
    extensions: dict[str, Attribute] = {name: value for name, value in given.items() if name not in _ENVELOPE}
    traceparent = given.get("traceparent", "")
    return Marks(
        time=_moment(given["time"]) if "time" in given else None,
        traceparent=None if trace_id(traceparent) is None else traceparent,
        extensions=MappingProxyType(extensions),
    )


def _moment(value: Any) -> datetime | None:
    try:
        return msgspec.convert(value, _Moment).astimezone(UTC) if isinstance(value, str) else None
    except (msgspec.ValidationError, OverflowError):
        return None
