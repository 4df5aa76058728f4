"""Lists in pages: a token names the last item of the page before, and only the list that gave it out takes it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, TypeVar

from fastapi import Query
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from session_platform.errors import FieldProblem, Invalid

LIMIT_MAX: Final = 500
LIMIT_DEFAULT: Final = 100
TOKEN_MAX_CHARS: Final = 512


def _digits(given: Any) -> Any:
    """Only digits are a number here: not what Python reads as one besides, such as ``1_0``."""
    if isinstance(given, str) and not re.fullmatch("[0-9]{1,18}", given):
        raise PydanticCustomError("int_parsing", "no whole number")
    return given


Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="How many items a page has at most."), BeforeValidator(_digits)]
PageToken = Annotated[str | None, Query(description="`next_page_token` of the page before.", max_length=TOKEN_MAX_CHARS)]
T = TypeVar("T")


def page(listed: str, items: Sequence[T], limit: int, key: Callable[[T], str]) -> dict[str, Any]:
    """The page of list ``listed`` that ``items`` begin, with at most ``limit`` of them: one more says that another follows."""
    shown = items[:limit]
    more = len(items) > limit
    return {"items": shown, "next_page_token": _token(listed, key(shown[-1])) if more else None}


def after(listed: str, token: str | None) -> str:
    """The key of the item that the page follows, empty for the first page. Raises `Invalid` for a token of nobody's."""
    if token is None:
        return ""
    try:
        named, _, key = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4)).decode().partition("\n")
    except (binascii.Error, ValueError):
        named, key = "", ""
    if named != listed or not key or _token(listed, key) != token:
        raise Invalid(FieldProblem("/query/page_token", "is not the next_page_token of this list"))
    return key


def _token(listed: str, key: str) -> str:
    return base64.urlsafe_b64encode(f"{listed}\n{key}".encode()).rstrip(b"=").decode()
