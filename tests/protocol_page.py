"""The examples on docs/protocol.md: which there are, and whether a frame is what one of them says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[1] / "docs" / "protocol.md").read_text()


def blocks(*kinds: str) -> list[tuple[str, str]]:
    """(kind, text) of the page's examples of these kinds, in order."""
    found: list[tuple[str, str]] = re.findall(rf"^```({'|'.join(kinds)})\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return found


def matches(expected: Any, actual: Any, names: dict[str, Any]) -> bool:
    """Equal, where ``$name`` binds once and ``…`` is anything; objects have exactly the same fields."""
    match expected:
        case "…":
            return True
        case str() if expected.startswith("$"):
            return bool(names.setdefault(expected, actual) == actual)
        case dict():
            same_fields = isinstance(actual, dict) and expected.keys() == actual.keys()
            return same_fields and all(matches(value, actual[key], names) for key, value in expected.items())
        case list():
            as_many = isinstance(actual, list) and len(expected) == len(actual)
            return as_many and all(matches(one, other, names) for one, other in zip(expected, actual, strict=True))
        case _:
            return bool(expected == actual)


def filled(frame: Any, names: dict[str, Any]) -> Any:
    """The example with its names replaced by what they stand for."""
    match frame:
        case str() if frame.startswith("$"):
            return names[frame]
        case dict():
            return {key: filled(value, names) for key, value in frame.items()}
        case list():
            return [filled(value, names) for value in frame]
        case _:
            return frame
