"""A JSON Schema as a comparison sees it: references followed, parts merged, types and values as sets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Document = Mapping[str, Any]
TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
BOUNDS: Final = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "minItems", "maxItems",
    "minProperties", "maxProperties",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """``types`` and ``values`` None: any. ``refused`` are the properties that may not be there; ``variants`` the alternatives
    but null, which is a type. ``identity`` is equal for one place of a document."""

    document: Document
    identity: int
    name: str
    types: frozenset[str] | None
    values: frozenset[Any] | None
    properties: Mapping[str, Any]
    required: frozenset[str]
    items: Any | None
    variants: Sequence[Any]
    bounds: Mapping[str, Any]

    @property
    def type_names(self) -> frozenset[str]:
        return TYPES if self.types is None else self.types

    @property
    def refused(self) -> frozenset[str]:
        return frozenset(name for name, schema in self.properties.items() if schema is False)

    @property
    def tag(self) -> Any | None:
        """What tells this alternative from the others: the one value of its ``type``."""
        schema = self.properties.get("type")
        values = None if schema is None else self.resolved(schema).values
        return next(iter(values)) if values is not None and len(values) == 1 else None

    def resolved(self, schema: Any) -> Shape:
        """The shape of a schema that stands in the same document."""
        return shape_of(schema, self.document)


def shape_of(schema: Any, document: Document) -> Shape:
    """The shape of ``schema``, whose references lead into ``document``."""
    parts = _parts(schema, document)
    alternatives = [each for part in parts for word in ("anyOf", "oneOf") for each in part.get(word, ())]
    others = [each for each in alternatives if not _is_null(each)]
    types = [_types(part) for part in parts if "type" in part]
    if len(others) == 1:
        parts += _parts(others[0], document)
        types += [_types(part) for part in _parts(others[0], document) if "type" in part]
        others = []
    known = frozenset[str]().union(*types) | ({"null"} if len(others) < len(alternatives) and types else set())
    return Shape(
        document=document,
        identity=id(schema if len(parts) > 1 or not parts else parts[0]),
        name=next((str(part["title"]) for part in parts if "title" in part), "without a name"),
        types=known or None,
        values=_values(parts),
        properties={name: each for part in parts for name, each in part.get("properties", {}).items()},
        required=frozenset(name for part in parts for name in part.get("required", ())),
        items=next((part["items"] for part in parts if "items" in part), None),
        variants=others,
        bounds={name: part[name] for part in parts for name in BOUNDS if name in part},
    )


def _parts(schema: Any, document: Document) -> list[Mapping[str, Any]]:
    """The schema without references and ``allOf``: what all holds."""
    if not isinstance(schema, Mapping):
        return []
    found: list[Mapping[str, Any]] = [schema]
    if "$ref" in schema:
        found += _parts(_followed(schema["$ref"], document), document)
    for part in schema.get("allOf", ()):
        found += _parts(part, document)
    return found


def _followed(reference: str, document: Document) -> Any:
    place: Any = document
    for step in reference.removeprefix("#/").split("/"):
        place = place[step.replace("~1", "/").replace("~0", "~")]
    return place


def _types(part: Mapping[str, Any]) -> frozenset[str]:
    given = part["type"]
    names = frozenset([given] if isinstance(given, str) else given)
    # Every integer is a number.
    return names | {"integer"} if "number" in names else names


def _values(parts: Sequence[Mapping[str, Any]]) -> frozenset[Any] | None:
    values = [frozenset(part["enum"]) for part in parts if "enum" in part]
    values += [frozenset([part["const"]]) for part in parts if "const" in part]
    return frozenset.intersection(*values) if values else None


def _is_null(schema: Any) -> bool:
    return isinstance(schema, Mapping) and schema.get("type") == "null"
