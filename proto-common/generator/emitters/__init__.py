"""One module per target. A new one is a function ``emit(model) -> files`` and its line in ``EMITTERS``."""

from __future__ import annotations

from collections.abc import Callable

from generator.emitters import asyncapi, event_page, json_schemas, python_types
from generator.model import Files, Model

EMITTERS: tuple[Callable[[Model], Files], ...] = (
    python_types.emit,
    event_page.emit,
    json_schemas.emit,
    asyncapi.emit,
)
