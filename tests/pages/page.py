"""A page's fenced blocks, and what is to be done with each.

What stands behind a block's language says it (readers' tools ignore it):

    sh                  run, in the page's folder, with what earlier blocks set
    sh background       started, and left running once it says that it is ready
    sh live             begun, interrupted once it has said something, since it would go on for ever; python live likewise
    LANGUAGE FILE       saved under that name, for a later ``sh`` block
    python              the body of an asynchronous function; `stage.Stage` says which names it finds
    LANGUAGE output     what the block before it writes: text with ``…`` for anything, JSON as on the protocol page
    json client, …      a conversation of docs/protocol.md, replayed elsewhere

A block behind ``<!-- not run: why -->`` is not run, and one with the language ``text`` is a picture. Anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
REPLAYED_ELSEWHERE: Final = {
    ROOT / "docs/protocol.md": {"json client", "json server", "json unasked", "close", "json batch", "json receipt"}
}
LANGUAGES: Final = frozenset({"sh", "python", "go", "ruby", "js", "json", "toml", "sql", "nginx", "ini"})

_FENCE: Final = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_EXCUSE: Final = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)


class Kind(Enum):
    """What is done with a block."""

    RUN = auto()
    BACKGROUND = auto()
    LIVE = auto()
    SAVE = auto()
    FRAGMENT = auto()
    OUTPUT = auto()
    ELSEWHERE = auto()
    EXCUSED = auto()
    PICTURE = auto()
    UNDECLARED = auto()


@dataclass(frozen=True, slots=True)
class Block:
    """``info`` is what stands behind the fence; ``place`` names the block in a failure."""

    info: str
    text: str
    kind: Kind
    place: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def name(self) -> str:
        """The file that it is saved as."""
        return self.info.partition(" ")[2]


def blocks(page: Path) -> list[Block]:
    """The page's, in order."""
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        info = found.group(1).strip()
        excused = _EXCUSE.search(text[: found.start()]) is not None
        elsewhere = info in REPLAYED_ELSEWHERE.get(page, set())
        kind = Kind.EXCUSED if excused else Kind.ELSEWHERE if elsewhere else _kind(info)
        yield Block(info, found.group(2), kind, f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}")


def _kind(info: str) -> Kind:
    match info.split():
        case ["text"]:
            return Kind.PICTURE
        case ["sh"]:
            return Kind.RUN
        case ["sh", "background"]:
            return Kind.BACKGROUND
        case ["sh" | "python", "live"]:
            return Kind.LIVE
        case ["python"]:
            return Kind.FRAGMENT
        case ["text" | "json", "output"]:
            return Kind.OUTPUT
        case [language, name] if language in LANGUAGES and re.fullmatch(r"[\w/-]+\.\w+", name):
            return Kind.SAVE
        case _:
            return Kind.UNDECLARED


def same_text(expected: str, actual: str) -> bool:
    """Equal line by line; ``…`` is anything within a line, and alone on one any number of lines."""
    lines = [".*" if line.strip() == "…" else re.escape(line.rstrip()).replace("…", ".*") for line in expected.splitlines()]
    pattern = "".join("(?:.*\n)*?" if line == ".*" else f"{line} *\n" for line in lines)
    return re.fullmatch(pattern, actual if actual.endswith("\n") else actual + "\n") is not None
