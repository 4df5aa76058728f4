"""One module per target. A new one is a function ``emit(model) -> files`` and its line in ``EMITTERS``."""

from __future__ import annotations

from collections.abc import Callable

from generator.emitters import event_page, python_types
from generator.model import Files, Model

EMITTERS: tuple[Callable[[Model], Files], ...] = (python_types.emit, event_page.emit)
