"""The rooms' SQL as psycopg takes it. Pure."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

STATEMENTS_CACHED: Final = 4096
"""Statements are constants of the code; there are some hundred."""

# Literals, quoted names and comments are passed over, so that a colon in them names nothing; so is the colon pair of a cast.
_PART: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|::|:(?P<name>[A-Za-z_]\w*)|%""", re.DOTALL)


@lru_cache(maxsize=STATEMENTS_CACHED)
def translated(sql: str) -> str:
    """``:name`` becomes ``%(name)s``, and every other percent sign means itself."""
    return _PART.sub(_translated, sql)


def _translated(part: re.Match[str]) -> str:
    name = part["name"]
    return part[0].replace("%", "%%") if name is None else f"%({name})s"
