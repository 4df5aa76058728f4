"""JSON Schemas (2020-12): every event's ``data`` and whole CloudEvent, in each of the forms in which somebody meets it.

*Full* is what a domain topic carries, *delivered* what a timeline does (health data is forbidden there, not merely absent), and
*published* what a backend may send: closed, because what the platform does not know it refuses.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, assert_never

from generator.model import Enum, EnumRef, Event, Field, Files, Message, MessageRef, Model, Phi, Scalar

FOLDER: Final = "src/session_platform/contract/published"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
ID_PREFIX: Final = "urn:session-platform:schema:"
HERE: Final = "#/$defs/"

Schema = dict[str, Any]

SEQ: Final[Schema] = {"type": "string", "pattern": "^[0-9]{20}$", "description": "1, 2, 3 … without a gap in one timeline."}
_SECONDS: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
_TIME_SENT: Final[Schema] = {"type": "string", "format": "date-time", "pattern": _SECONDS + "Z$"}
_TIME_TAKEN: Final[Schema] = {"type": "string", "format": "date-time"}
_TRACE: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$"}
_WORD: Final[Schema] = {"type": "string", "minLength": 1}
_TYPES: Final[Mapping[Scalar, Schema]] = {
    Scalar.TEXT: {"type": "string"},
    Scalar.BOOL: {"type": "boolean"},
    Scalar.INT32: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    Scalar.INT64: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    Scalar.DOUBLE: {"type": "number"},
    Scalar.JSON_OBJECT: {"type": "object"},
    Scalar.TEXT_MAP: {"type": "object", "additionalProperties": {"type": "string"}},
}


class Form(StrEnum):
    """In which form somebody meets an event; the value ends the names of its schemas."""

    FULL = ""
    DELIVERED = "Delivered"
    PUBLISHED = "Published"


_SAID: Final[Mapping[Form, str]] = {
    Form.FULL: "as its domain topic carries it",
    Form.DELIVERED: "as a timeline delivers it, without health data",
    Form.PUBLISHED: "as a backend may publish it",
}


def emit(model: Model) -> Files:
    """One file a schema, and an index of them."""
    defs = definitions(model)
    made: dict[str, Schema] = {}
    for message, event in model.events:
        for form in (Form.FULL, Form.DELIVERED):
            name = event.name + (f".{form.lower()}" if form else "")
            made[name] = _document(name, f"The data of {event.name}, {_SAID[form]}.", [message.name + form], defs)
    for form in Form:
        name = "event" + (f".{form.lower()}" if form else "")
        envelopes = [envelope_name(message, form) for message, _ in model.events]
        made[name] = _document(name, f"Any event, whole, {_SAID[form]}.", envelopes, defs)
    index = [{"name": name, "href": f"/schemas/{name}.json", "title": schema["title"]} for name, schema in made.items()]
    files = {f"{FOLDER}/schemas/{name}.json": written(schema) for name, schema in made.items()}
    return {f"{FOLDER}/schemas.json": written({"schemas": index}), **files}


def written(value: Any) -> str:
    """A generated document as it stands in its file."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def envelope_name(message: Message, form: Form) -> str:
    """What the schema of a whole event is called."""
    return message.name.removesuffix("Event") + "CloudEvent" + form


def definitions(model: Model) -> dict[str, Schema]:
    """Every schema there is, by name; they refer to each other by ``HERE``."""
    made: dict[str, Schema] = {}
    for enum in model.enums:
        for form in Form:
            made.setdefault(_enum_name(enum, form), _enum(enum, form))
    enums = {enum.name: enum for enum in model.enums}
    for message in model.messages:
        # Only an event's own fields can be health data.
        for form in Form if message.event else (Form.FULL, Form.PUBLISHED):
            made[message.name + form] = _data(message, form, enums)
    for message, event in model.events:
        for form in Form:
            made[envelope_name(message, form)] = _envelope(message, event, form)
    return made


def needed(names: Iterable[str], defs: Mapping[str, Schema]) -> dict[str, Schema]:
    """The definitions called ``names`` and all that they refer to, in the order of ``defs``."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(defs[name]))
    return {name: schema for name, schema in defs.items() if name in found}


def _document(name: str, title: str, roots: list[str], defs: Mapping[str, Schema]) -> Schema:
    references = [{"$ref": HERE + root} for root in roots]
    root = references[0] if len(references) == 1 else {"oneOf": references}
    return {"$schema": DIALECT, "$id": ID_PREFIX + name, "title": title, **root, "$defs": needed(roots, defs)}


def _references(value: Any) -> Iterator[str]:
    match value:
        case {"$ref": str(reference)}:
            yield reference.removeprefix(HERE)
        case dict():
            for each in value.values():
                yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)


def _enum_name(enum: Enum, form: Form) -> str:
    return enum.name + (form if enum.any_case and form is Form.PUBLISHED else "")


def _enum(enum: Enum, form: Form) -> Schema:
    values = [value.short for value in enum.values]
    if enum.any_case and form is Form.PUBLISHED:
        values += [value.lower() for value in values]
    return {"description": enum.doc, "type": "string", "enum": values}


def _data(message: Message, form: Form, enums: Mapping[str, Enum]) -> Schema:
    always = [field.name for field in message.fields if field.required or (field.repeated and form is not Form.PUBLISHED)]
    stand_ins = {field.ref for field in message.fields if field.ref is not None}
    properties: Schema = {}
    for field in message.fields:
        hidden = form is Form.DELIVERED and field.phi is Phi.ALWAYS
        minted = form is Form.PUBLISHED and field.name in stand_ins
        properties[field.name] = False if hidden or minted else _field(field, form, enums)
    closed: Schema = {"additionalProperties": False} if form is Form.PUBLISHED else {}
    return {"description": message.doc, "type": "object", "properties": properties, "required": always, **closed}


def _field(field: Field, form: Form, enums: Mapping[str, Enum]) -> Schema:
    remarks = [field.doc] if field.doc else []
    if form is Form.DELIVERED and field.phi is Phi.UNLESS_PUBLIC_CODE:
        remarks.append("Only as one of the operator's public codes.")
    if form is not Form.DELIVERED and field.phi is not Phi.NEVER:
        remarks.append("Health data.")
    schema = _type(field, form, enums)
    if field.repeated:
        schema = {"type": "array", "items": schema}
    if not remarks:
        return schema
    # In older dialects, AsyncAPI's among them, nothing counts beside a reference.
    return {"description": " ".join(remarks), **({"allOf": [schema]} if "$ref" in schema else schema)}


def _type(field: Field, form: Form, enums: Mapping[str, Enum]) -> Schema:
    match field.type:
        case Scalar.TIMESTAMP:
            return dict(_TIME_TAKEN if form is Form.PUBLISHED else _TIME_SENT)
        case Scalar():
            return dict(_TYPES[field.type])
        case EnumRef(name):
            return {"$ref": HERE + _enum_name(enums[name], form)}
        case MessageRef(name):
            return {"$ref": HERE + name + (form if form is Form.PUBLISHED else "")}
        case _:
            assert_never(field.type)


def _envelope(message: Message, event: Event, form: Form) -> Schema:
    own: Schema = {
        "specversion": {"const": "1.0"},
        "id": _WORD,
        "source": {"type": "string", "format": "uri-reference", "minLength": 1},
        "type": {"const": event.type},
        "time": _TIME_TAKEN if form is Form.PUBLISHED else _TIME_SENT,
        "datacontenttype": {"const": "application/json"},
        "data": {"$ref": HERE + message.name + form},
        "partitionkey": {**_WORD, "description": "The member's id."},
        "traceparent": _TRACE,
        "timelineseq": SEQ,
        "timelineepoch": {"type": "integer", "minimum": 1, "description": "Rises when a history was restored or reset."},
    }
    unnumbered = form is Form.PUBLISHED or event.event_class == "EPHEMERAL"
    numbers = {"timelineseq", "timelineepoch"}
    required = {"specversion", "id", "source", "type", "data"} if form is Form.PUBLISHED else own.keys() - numbers
    return {
        "description": f"`{event.name}`, {_SAID[form]}.",
        "type": "object",
        "properties": {name: False if unnumbered and name in numbers else schema for name, schema in own.items()},
        "required": [name for name in own if name in required or (name in numbers and not unnumbered)],
        "additionalProperties": {"type": ["string", "integer", "boolean"], "description": "An extension attribute."},
        "propertyNames": {"pattern": "^[a-z0-9]+$"},
    }
