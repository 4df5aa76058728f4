"""The export as JSON lines, with everything that `Verification` needs: written, and read back strictly. Pure.

The first line says where the part begins (``export``), the last where it ends (``end``), so that a file that was cut is no
whole one. Between them stand records, each with its place and link (null while it is unsealed), and seals (``seal``), each
behind the record that it repeats.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from session_platform.access.audit.chain import GENESIS_LINK, Entry, Head, Linked, Seal, Verification

FORMAT: Final = 1

_FIELDS: Final = frozenset({*Entry._fields, "place", "link"})


def opening(start: Head, since: str | None, until: str | None) -> bytes:
    """The first line of an export of what follows ``start``; the times are what was asked for."""
    said = {"format": FORMAT, "after": start.place, "link": start.link.hex(), "since": since, "until": until}
    return _line({"export": said})


def sealed_line(linked: Linked) -> bytes:
    return _line({"place": linked.place, **linked.entry._asdict(), "link": linked.link.hex()})


def unsealed_line(entry: Entry) -> bytes:
    return _line({"place": None, **entry._asdict(), "link": None})


def seal_line(seal: Seal) -> bytes:
    return _line({"seal": {"number": seal.number, "place": seal.place, "link": seal.link.hex(), "at": seal.at}})


def closing(head: Head, unsealed: int) -> bytes:
    """The last line: how far the sealed records reach, and how many unsealed ones stand behind them."""
    return _line({"end": {"place": head.place, "link": head.link.hex(), "unsealed": unsealed}})


def verify_lines(lines: Iterable[bytes], wanted: bytes | None = None) -> Verification:
    """Verify what `opening` to `closing` wrote, in one pass. ``wanted``: a head that was noted."""
    rest = iter(lines)
    first = _object(next(rest, b""))
    start = None if first is None else _start(first)
    found = Verification(wanted=wanted) if start is None else Verification(start, wanted)
    if start is None:
        found.unreadable()
    end: Head | None = None
    for line in rest:
        if end is not None:
            found.unreadable()
            break
        end = _take(found, line)
    # Of a part, the last batch may lie half outside.
    whole = first is not None and start is not None and first["export"]["until"] is None
    found.finish(sealed_to_the_end=whole, reaches=end)
    if end is None:
        found.cut()
    return found


def _take(found: Verification, line: bytes) -> Head | None:
    """Feed one line; the end when it was the last one."""
    said = _object(line)
    try:
        if said is None:
            found.unreadable()
        elif said.keys() == _FIELDS:
            _take_record(found, said)
        elif said.keys() == {"seal"}:
            seal = said["seal"]
            found.seal(Seal(_whole(seal["number"]), _whole(seal["place"]), _link(seal["link"]), str(seal["at"])))
        elif said.keys() == {"end"}:
            return Head(_number(said["end"]["place"]), _link(said["end"]["link"]))
        else:
            found.unreadable()
    except (KeyError, TypeError, ValueError):
        found.unreadable()
    return None


def _take_record(found: Verification, said: Mapping[str, Any]) -> None:
    entry = Entry(*(_text(said[name]) for name in Entry._fields))
    if said["place"] is None and said["link"] is None:
        found.tail()
    else:
        found.linked(Linked(_whole(said["place"]), _link(said["link"]), entry))


def _start(said: Mapping[str, Any]) -> Head | None:
    try:
        export = said["export"]
        if export["format"] != FORMAT or said.keys() != {"export"} or "until" not in export:
            return None
        start = Head(_number(export["after"]), _link(export["link"]))
        return start if len(start.link) == len(GENESIS_LINK) else None
    except (KeyError, TypeError, ValueError):
        return None


def _object(line: bytes) -> dict[str, Any] | None:
    """The line as an object; None for what is none, or says a name twice: programs would disagree on what it says."""
    try:
        said = json.loads(line, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError
    return made


def _number(value: Any) -> int:
    if _whole(value) < 0:
        raise ValueError
    return value  # type: ignore[no-any-return]


def _whole(value: Any) -> int:
    """Also a number that no record has: one that somebody gave a record is named with it."""
    if type(value) is not int:
        raise ValueError
    return value


def _link(value: Any) -> bytes:
    link = bytes.fromhex(value)
    # No other spelling, such as one with spaces.
    if link.hex() != value:
        raise ValueError
    return link


def _text(value: Any) -> Any:
    if value is not None and not isinstance(value, str):
        raise ValueError
    return value


def _line(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
