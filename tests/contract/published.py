"""The published contracts, for tests that hold what the platform says and takes against them."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator

from session_platform.api import published_contracts


@cache
def contract(name: str) -> dict[str, Any]:
    """``openapi``, ``asyncapi``, or the JSON Schema of that name."""
    found: dict[str, Any] = json.loads(published_contracts()[name])
    return found


@cache
def schema(name: str) -> Draft202012Validator:
    """The validator of a published JSON Schema."""
    return Draft202012Validator(contract(name))


@cache
def message(name: str) -> Draft7Validator:
    """The validator of a message of AsyncAPI's, such as ``client.connect`` or ``server.event``."""
    components = contract("asyncapi")["components"]
    # Beside a reference nothing counts in this dialect.
    return Draft7Validator({"allOf": [components["messages"][name]["payload"]], "components": components})


def conforms(frame: dict[str, Any]) -> None:
    """Assert that a server's frame is what AsyncAPI says of its type."""
    message(f"server.{frame['type']}").validate(frame)
