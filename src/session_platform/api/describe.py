"""``/openapi.json``: what each call takes and answers, said beside the call and assembled here into one valid document.

Shapes come from the structs and bodies themselves, so the document cannot say anything else than the code does. So do the links
between calls: an answer that names a session leads to every call with a session's id in its path.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from session_platform.api.problems import KINDS, MEDIA_TYPE, Problem
from session_platform.api.reading import Body

Schema = Mapping[str, Any]
REFERENCE: Final = "#/components/schemas/{name}"
SCHEME: Final = "token"
NO_TOKEN: Final[tuple[int, ...]] = (400, 403)
"""What any call may answer before it looks at who asks."""
WITH_TOKEN: Final[tuple[int, ...]] = (*NO_TOKEN, 401, 503)
READING_BODY: Final[tuple[int, ...]] = (408, 413, 415, 422)
JSON: Final = "application/json"

TEXT: Final[Schema] = {"type": "string"}
HEADERS: Final[Mapping[int | None, Schema]] = MappingProxyType(
    {
        401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
        429: {"Retry-After": {"required": True, "description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}},
        503: {"Retry-After": {"required": True, "description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}},
    }
)
IDEMPOTENCY_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same key with a JSON-equal body is answered as the first time, for 24 hours.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}


class Takes(NamedTuple):
    """What a call reads: a ``body`` (``optional``: none at all will do), and with ``creates`` an Idempotency-Key."""

    body: type[Body]
    optional: bool = False
    creates: bool = False


class Content(NamedTuple):
    """An answer in another media type than JSON's."""

    media_type: str
    schema: Schema

    def described(self) -> Schema:
        return {self.media_type: {"schema": self.schema}}


class Shape(dict[str, Any]):
    """A reference to the schema of a struct or body; the document describes every ``model`` that is referred to."""

    def __init__(self, model: type[Any]) -> None:
        super().__init__({"$ref": REFERENCE.format(name=model.__name__)})
        self.model = model


class Written(dict[str, Any]):
    """A reference to a JSON Schema that is not a struct's; the document takes over its ``definitions``, by their full names."""

    def __init__(self, name: str, schema: Schema) -> None:
        super().__init__({"$ref": REFERENCE.format(name=name)})
        own = {key: part for key, part in schema.items() if key not in {"$schema", "$id", "$defs"}}
        self.definitions = {name: own, **{f"{name}.{key}": part for key, part in schema["$defs"].items()}}
        self.definitions = {key: _moved(part, REFERENCE.format(name=name + ".")) for key, part in self.definitions.items()}


def of(struct: type[Any]) -> Schema:
    """A reference to the schema of a struct or body."""
    return Shape(struct)


def page_of(struct: type[Any]) -> Schema:
    """A page of a list."""
    return record(items={"type": "array", "items": of(struct)}, next_page_token={"type": ["string", "null"]})


def record(**fields: Schema) -> Schema:
    """An object with all of ``fields``."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def with_cursor(struct: type[Any]) -> Schema:
    """A struct, and the cursor that stands just before its first event."""
    return {"allOf": [of(struct), record(cursor={"type": "string"})]}


def described(
    summary: str,
    *,
    schema: Schema | Content | None,
    status: int = 200,
    problems: Sequence[int] = (),
    takes: Takes | None = None,
    public: bool = False,
) -> dict[str, Any]:
    """Keyword arguments for a route. ``schema`` is the answer's, JSON unless it says otherwise (None: no content), ``problems``
    the statuses of refusals beside the usual ones; ``public``: it needs no token."""
    content = Content(JSON, schema) if isinstance(schema, Mapping) else schema
    statuses = {*(NO_TOKEN if public else WITH_TOKEN), *problems, *(READING_BODY if takes else ())}
    return {
        "summary": summary,
        "status_code": status,
        "response_model": None,
        "responses": {
            status: {"description": "Done."} | ({} if content is None else {"content": content.described()}),
            **{code: _problem(code) for code in sorted(statuses)},
            "default": _problem(None),
        },
        "openapi_extra": {
            "security": [] if public else [{SCHEME: []}],
            **({"parameters": [IDEMPOTENCY_KEY]} if takes and takes.creates else {}),
            **({} if takes is None else {"requestBody": _request_body(takes)}),
        },
    }


def document(app: FastAPI, routers: Iterable[APIRouter]) -> dict[str, Any]:
    """The whole document of ``app``, which serves ``routers``."""
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    whole = get_openapi(
        title="Digital Session Platform",
        version="1",
        description="Errors are RFC 9457 problems. Foreign and missing things answer alike.",
        routes=app.routes,
    )
    named = [each for route in routes for each in _named((route.responses, route.openapi_extra))]
    models = {each.model for each in named if isinstance(each, Shape)}
    components: dict[str, Any] = whole.setdefault("components", {})
    components["schemas"] = _schemas(sorted(models, key=lambda model: model.__name__))
    for each in named:
        if isinstance(each, Written):
            components["schemas"].update(each.definitions)
    components["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    _link(whole)
    return whole


def _named(described: Any) -> Iterator[Shape | Written]:
    """What a description refers to."""
    if isinstance(described, Shape | Written):
        yield described
    elif isinstance(described, Mapping | list | tuple):
        for each in described.values() if isinstance(described, Mapping) else described:
            yield from _named(each)


def _moved(schema: Any, to: str) -> Any:
    """The schema, its references to its own definitions leading ``to`` where they stand now."""
    match schema:
        case {"$ref": str(reference)}:
            return {**schema, "$ref": to + reference.removeprefix("#/$defs/")}
        case dict():
            return {name: _moved(each, to) for name, each in schema.items()}
        case list():
            return [_moved(each, to) for each in schema]
        case _:
            return schema


def _schemas(models: Sequence[type[Any]]) -> dict[str, Any]:
    structs = [model for model in models if not issubclass(model, Body)]
    _, found = msgspec.json.schema_components(structs, ref_template=REFERENCE)
    for body in (model for model in models if issubclass(model, Body)):
        schema = body.model_json_schema(ref_template=REFERENCE.replace("{name}", "{model}"))
        found.update(schema.pop("$defs", {}))
        found[body.__name__] = schema
    return dict(found)


def _request_body(takes: Takes) -> Schema:
    return {"required": not takes.optional, "content": {JSON: {"schema": of(takes.body)}}}


def _problem(status: int | None) -> Schema:
    titles = sorted({kind.title for kind in KINDS.values() if kind.status == status})
    said = {"description": " or ".join(titles) or "Any other problem.", "content": {MEDIA_TYPE: {"schema": of(Problem)}}}
    return said if status not in HEADERS else {**said, "headers": HEADERS[status]}


def _link(whole: dict[str, Any]) -> None:
    """Let each answer that names a thing lead to the calls with that thing's id in their path."""
    operations = [(path, operation) for path, methods in whole["paths"].items() for operation in methods.values()]
    schemas = whole["components"]["schemas"]
    for _, operation in operations:
        status = next(iter(operation["responses"]))
        answer = operation["responses"][status]
        schema = answer.get("content", {}).get(JSON, {}).get("schema", {})
        found = {name: f"$response.body#{pointer}" for name, pointer in _fields(schema, schemas).items()}
        links = {target["operationId"]: _steps(target, path, found) for path, target in operations}
        links = {name: steps for name, steps in links.items() if steps is not None and name != operation["operationId"]}
        if links:
            answer["links"] = links


def _steps(target: Mapping[str, Any], path: str, found: Mapping[str, str]) -> Schema | None:
    """How to get from an answer with the fields ``found`` to ``target``; None when it does not name what that needs."""
    needed = re.findall(r"{(\w+)}", path)
    if not needed or not found.keys() >= set(needed):
        return None
    return {"operationId": target["operationId"], "parameters": {name: found[name] for name in needed}}


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], at: str = "") -> dict[str, str]:
    """The fields that an answer has, or the first item of its page, with their pointers."""
    if "$ref" in schema:
        return _fields(schemas[schema["$ref"].rpartition("/")[2]], schemas, at)
    if "items" in (properties := schema.get("properties", {})):
        return _fields(properties["items"]["items"], schemas, "/items/0")
    found = {name: f"{at}/{name}" for name in properties}
    for part in schema.get("allOf", ()):
        found.update(_fields(part, schemas, at))
    return found
