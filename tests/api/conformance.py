"""Whether an answer is what the published OpenAPI document says of its call. Every client of the stage holds answers to it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import httpx2
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from starlette.routing import compile_path

from session_platform.api import published_contracts

JSON_TYPES = ("application/json", "application/problem+json", "application/schema+json")


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document of this build."""
    found: dict[str, Any] = json.loads(published_contracts()["openapi"])
    return found


def check(response: httpx2.Response) -> None:
    """Assert that an answer whose body was read has a status, a media type, headers and a body that the document names."""
    method = response.request.method.lower()
    described = _described("get" if method == "head" else method, response.request.url.path)
    if described is None:
        assert method == "options" or response.status_code in {400, 403, 404, 405}, response.status_code
        described = {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        if response.status_code < 400:
            return
    else:
        described = described["responses"].get(str(response.status_code)) or described["responses"]["default"]
    for name, header in described.get("headers", {}).items():
        assert name in response.headers or not header["required"], name
    content = described.get("content")
    if content is None:
        assert response.content == b""
        return
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type in content, f"{method} {response.request.url.path} answers {media_type}"
    if media_type in JSON_TYPES and method != "head":
        _validator(json.dumps(content[media_type]["schema"])).validate(response.json())


@cache
def _paths() -> list[tuple[Any, dict[str, Any]]]:
    """Fixed paths before those with parameters: ``/v1/sessions/active`` is no session."""
    found = [(template.count("{"), compile_path(template)[0], calls) for template, calls in document()["paths"].items()]
    return [(pattern, calls) for _, pattern, calls in sorted(found, key=lambda each: each[0])]


def _described(method: str, path: str) -> dict[str, Any] | None:
    for pattern, calls in _paths():
        if pattern.match(path):
            found: dict[str, Any] | None = calls.get(method)
            return found
    return None


@cache
def _validator(schema: str) -> Draft202012Validator:
    # References in the document begin with "#": its components stand beside the schema.
    whole = {**json.loads(schema), "components": document()["components"]}
    registry: Registry[Any] = Registry().with_resource("", DRAFT202012.create_resource(whole))
    return Draft202012Validator(whole, registry=registry)
