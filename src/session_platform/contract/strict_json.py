"""JSON without ambiguity: I-JSON (RFC 7493), and one digestible form for equal values.

UTF-8, no name twice in an object, no NaN, no half surrogate pairs, integers of 64 bits, and no nesting without end. ``1`` and
``1.0`` are one value, and the order of names makes no difference.
"""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

DEPTH_MAX: Final = 64
_WHOLE_FLOATS_BELOW: Final = 2.0**53
_DIGITS_MAX: Final = 20


def decode(raw: bytes) -> Any:
    """The value in ``raw``. Raises `ValueError`, which says nothing of what stood there."""
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_object, parse_constant=_refuse, parse_float=_float, parse_int=_integer
        )
        canonical(value)
    except (ValueError, RecursionError):
        raise ValueError("must be JSON: UTF-8, without repeated names, and finite numbers of 64 bits") from None
    if _deeper_than(DEPTH_MAX, value):
        raise ValueError(f"must not nest deeper than {DEPTH_MAX} levels")
    return value


def canonical(value: Any) -> bytes:
    """The same bytes for equal values. Raises `ValueError` for text that UTF-8 cannot hold and for numbers that are none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _refuse(_: str) -> NoReturn:
    raise ValueError


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= _DIGITS_MAX else 2**64
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _float(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < _WHOLE_FLOATS_BELOW else value


def _deeper_than(levels: int, value: Any) -> bool:
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            child
            for each in layer
            if isinstance(each, dict | list)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return True
