"""The contracts that this build publishes: ``/openapi.json``, ``/asyncapi.json`` and a JSON Schema an event.

All but OpenAPI were generated from the protobuf files and lie in the package; OpenAPI is what the calls say of themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from session_platform.api.describe import Content, Schema, Written, described, record
from session_platform.errors import ForbiddenOrMissing

SCHEMA_TYPE: Final = "application/schema+json"
_ENTRY: Final = record(name={"type": "string"}, href={"type": "string"}, title={"type": "string"})
router = APIRouter()


@cache
def schemas() -> Mapping[str, bytes]:
    """Every published JSON Schema by name, as ``task.completed`` or ``task.completed.delivered``."""
    folder = files("session_platform.contract") / "published" / "schemas"
    return {file.name.removesuffix(".json"): file.read_bytes() for file in sorted(folder.iterdir(), key=lambda file: file.name)}


@cache
def document(name: str) -> bytes:
    """The published document ``asyncapi`` or ``schemas``, the index."""
    return (files("session_platform.contract") / "published" / f"{name}.json").read_bytes()


def published_event() -> Schema:
    """A reference to the schema of an event as a backend may publish it, for descriptions."""
    return Written("PublishedEvent", json.loads(schemas()["event.published"]))


@router.get("/openapi.json", **described("This document.", schema={"type": "object"}, public=True))
async def read_document(request: Request) -> Response:
    return _json(msgspec.json.encode(request.app.openapi()))


@router.get("/asyncapi.json", **described("The WebSocket's frames and the topics.", schema={"type": "object"}, public=True))
async def read_asyncapi() -> Response:
    return _json(document("asyncapi"))


@router.get(
    "/schemas.json",
    **described("Which JSON Schemas there are.", schema=record(schemas={"type": "array", "items": _ENTRY}), public=True),
)
async def list_schemas() -> Response:
    return _json(document("schemas"))


@router.get(
    "/schemas/{name}.json",
    **described("A JSON Schema.", schema=Content(SCHEMA_TYPE, {"type": "object"}), problems=(404,), public=True),
)
async def read_schema(name: str) -> Response:
    found = schemas().get(name)
    if found is None:
        raise ForbiddenOrMissing
    return Response(found, media_type=SCHEMA_TYPE)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
