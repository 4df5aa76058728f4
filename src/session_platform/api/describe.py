"""``/openapi.json``: what each call takes and answers, said beside the call and assembled here into one valid document.

Shapes come from the structs and bodies themselves, so the document cannot say anything else than the code does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from session_platform.api.problems import KINDS, MEDIA_TYPE, Problem
from session_platform.api.reading import Body

Schema = Mapping[str, Any]
REFERENCE: Final = "#/components/schemas/{name}"
SCHEME: Final = "token"
NO_TOKEN: Final[tuple[int, ...]] = (400, 403)
"""What any call may answer before it looks at who asks."""
WITH_TOKEN: Final[tuple[int, ...]] = (*NO_TOKEN, 401, 503)
READING_BODY: Final[tuple[int, ...]] = (413, 415, 422)

TEXT: Final[Schema] = {"type": "string"}

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


def of(struct: type[Any]) -> Schema:
    """A reference to the schema of a struct or body."""
    return {"$ref": REFERENCE.format(name=struct.__name__)}


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
    schema: Schema | None,
    status: int = 200,
    problems: Sequence[int] = (),
    takes: Takes | None = None,
    public: bool = False,
) -> dict[str, Any]:
    """Keyword arguments for a route. ``schema`` is the answer's (None: no content), ``problems`` the statuses of refusals
    beside the usual ones; ``public``: it needs no token."""
    media_type = "text/plain" if schema is TEXT else "application/json"
    statuses = {*(NO_TOKEN if public else WITH_TOKEN), *problems, *(READING_BODY if takes else ())}
    return {
        "summary": summary,
        "status_code": status,
        "response_model": None,
        "responses": {
            status: {"description": "Done."} | ({} if schema is None else {"content": {media_type: {"schema": schema}}}),
            **{code: _problem(code) for code in sorted(statuses)},
            "default": _problem(None),
        },
        "openapi_extra": {
            "security": [] if public else [{SCHEME: []}],
            **({"parameters": [IDEMPOTENCY_KEY]} if takes and takes.creates else {}),
            **({} if takes is None else {"requestBody": _request_body(takes)}),
        },
    }


def document(app: FastAPI, structs: Iterable[type[Any]], bodies: Iterable[type[Body]]) -> dict[str, Any]:
    """The whole document. ``structs`` and ``bodies`` are all that its calls refer to."""
    whole = get_openapi(
        title="Digital Session Platform",
        version="1",
        description="Errors are RFC 9457 problems. Foreign and missing things answer alike.",
        routes=app.routes,
    )
    components: dict[str, Any] = whole.setdefault("components", {})
    components["schemas"] = {**_of_structs(structs), **_of_bodies(bodies)}
    components["securitySchemes"] = {SCHEME: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
    return whole


def _of_structs(structs: Iterable[type[Any]]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components((*structs, Problem), ref_template=REFERENCE)
    return dict(components)


def _of_bodies(bodies: Iterable[type[Body]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for body in bodies:
        schema = body.model_json_schema(ref_template=REFERENCE.replace("{name}", "{model}"))
        found.update(schema.pop("$defs", {}))
        found[body.__name__] = schema
    return found


def _request_body(takes: Takes) -> Schema:
    return {"required": not takes.optional, "content": {"application/json": {"schema": of(takes.body)}}}


def _problem(status: int | None) -> Schema:
    titles = sorted({kind.title for kind in KINDS.values() if kind.status == status})
    return {
        "description": " or ".join(titles) or "Any other problem.",
        "content": {MEDIA_TYPE: {"schema": of(Problem)}},
    }
