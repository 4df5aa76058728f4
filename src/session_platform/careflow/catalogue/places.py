"""Where in a TOML file something stands, so that who wrote it need not search. Pure.

Read the way the reader of the file reads it: the parser itself, over ever more lines. A mistake is reported once a start, in a
file of some hundred lines, so that the many parses cost nothing that anybody waits for.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Final

Path = Sequence[str | int]
_PART: Final = re.compile(r"\.([A-Za-z_][A-Za-z0-9_]*)|\[(\d+)\]")
_SAID: Final = re.compile(r"`\$([^`]*)`\Z")
_UNKNOWN: Final = re.compile(r"unknown field `([^`]*)`")
_LINE: Final = re.compile(r"\s*\(at line (\d+), column \d+\)\Z")


def line_of(source: str, path: Path) -> int:
    """The line (from 1) where the value at ``path`` begins; where there is none, that of the nearest thing around it."""
    lines = source.split("\n")
    for depth in range(len(path), 0, -1):
        found = _line_of(lines, path[:depth])
        if found is not None:
            return found
    return 1


def path_in(message: str) -> tuple[str | int, ...]:
    """The path that a validation message of msgspec names, an unknown field's own name included."""
    said = _SAID.search(message)
    path: list[str | int] = [name or int(number) for name, number in _PART.findall(said.group(1))] if said else []
    unknown = _UNKNOWN.search(message)
    return (*path, unknown.group(1)) if unknown else tuple(path)


def syntax_error(message: str, source: str) -> tuple[int, str]:
    """The line and the words of tomllib's message, which has no line for a file that ends too early."""
    said = _LINE.search(message)
    last = max(source.rstrip("\n").count("\n") + 1, 1)
    return (int(said.group(1)), message[: said.start()]) if said else (last, message.removesuffix(" (at end of document)"))


def _line_of(lines: Sequence[str], path: Path) -> int | None:
    """A value over several lines begins behind the last line up to which the file was whole."""
    whole = 0
    for number in range(1, len(lines) + 1):
        try:
            document = tomllib.loads("\n".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        if _has(document, path):
            return _first_with_text(lines, whole, number)
        whole = number
    return None


def _first_with_text(lines: Sequence[str], after: int, until: int) -> int:
    """Comments and empty lines before a value belong to nobody."""
    numbered = ((number, lines[number - 1].strip()) for number in range(after + 1, until + 1))
    return next((number for number, text in numbered if text and not text.startswith("#")), until)


def _has(document: Any, path: Path) -> bool:
    for part in path:
        if isinstance(part, int):
            if not isinstance(document, list) or part >= len(document):
                return False
        elif not isinstance(document, Mapping) or part not in document:
            return False
        document = document[part]
    return True
