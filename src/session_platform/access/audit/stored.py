"""The audit as it lies in the store: rows to records, in pages, so that nobody holds the whole of it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, Final

from session_platform.access.audit.chain import START, Entry, Head, Linked, Seal
from session_platform.clock import from_micros
from session_platform.store import Reader, Row

PAGE: Final = 1000
# Whatever number somebody gives a row, it is read: what nobody reads could be added unseen.
LOWEST: Final = -(2**63)
HIGHEST: Final = 2**63 - 1

# By id as well: where somebody took the unique index away, two records may stand at one place, and a page end between them.
_SEALED: Final = """
SELECT place, id, link, audit_id, at, actor, action, member_id, session_id, outcome, reason FROM audit
WHERE (place, id) >= (:place, :id) AND place <= :last ORDER BY place, id LIMIT :limit
"""
_UNSEALED: Final = """
SELECT id, audit_id, at, actor, action, member_id, session_id, outcome, reason FROM audit
WHERE place IS NULL AND id >= :first ORDER BY id LIMIT :limit
"""
_SEALS: Final = "SELECT number, place, link, at FROM audit_seal WHERE number >= :first ORDER BY number LIMIT :limit"
_LINK: Final = "SELECT link FROM audit WHERE place = :place"
_LAST: Final = "SELECT place, link FROM audit WHERE place IS NOT NULL ORDER BY place DESC LIMIT 1"
_NEWEST_SEAL: Final = "SELECT number, place, link, at FROM audit_seal ORDER BY number DESC LIMIT 1"
_WAITING: Final = "SELECT COUNT(*) FROM audit WHERE place IS NULL"
_BETWEEN: Final = """
SELECT MIN(place), MAX(place) FROM audit WHERE place IS NOT NULL AND at >= :since AND at < :until
"""


def sealed(reader: Reader, first: int = LOWEST, last: int = HIGHEST) -> Iterator[Linked]:
    """The sealed records from place ``first`` to ``last``, in order."""
    place, row_id = first, LOWEST
    while True:
        rows = reader.all(_SEALED, place=place, id=row_id, last=last, limit=PAGE)
        for at_place, _, link, *fields in rows:
            # A link that somebody took away is one that is wrong.
            yield Linked(at_place, link or b"", entry_of(fields))
        if len(rows) < PAGE or rows[-1][1] == HIGHEST:
            return
        place, row_id = rows[-1][0], rows[-1][1] + 1


def unsealed(reader: Reader) -> Iterator[Entry]:
    """The records that wait for the sealer, oldest first."""
    for _, *fields in _paged(reader, _UNSEALED):
        yield entry_of(fields)


def seals(reader: Reader) -> Iterator[Seal]:
    """The seals, in order."""
    yield from map(_seal, _paged(reader, _SEALS))


def in_order(reader: Reader, first: int = LOWEST, last: int = HIGHEST) -> Iterator[Linked | Seal]:
    """Sealed records and seals, each seal behind the record that it repeats."""
    records: Iterator[Linked | Seal] = sealed(reader, first, last)
    chosen: Iterator[Linked | Seal] = (seal for seal in seals(reader) if first <= seal.place <= last)
    return heapq.merge(records, chosen, key=lambda each: (each.place, isinstance(each, Seal)))


def newest_seal(reader: Reader) -> Seal | None:
    row = reader.one(_NEWEST_SEAL)
    return None if row is None else _seal(row)


def head(reader: Reader) -> Head:
    """Where the next record goes on: behind the newest seal, or behind a record that somebody put there beyond it."""
    seal, row = newest_seal(reader), reader.one(_LAST)
    remembered = START if seal is None else Head(seal.place, seal.link)
    return remembered if row is None or row[0] <= remembered.place else Head(row[0], row[1] or b"")


def link_at(reader: Reader, place: int) -> Head:
    """The chain as far as ``place``; its beginning where nothing stands there."""
    row = reader.one(_LINK, place=place) if place > START.place else None
    return START if row is None else Head(place, row[0] or b"")


def waiting(reader: Reader) -> int:
    """How many records wait for the sealer."""
    row = reader.one(_WAITING)
    return 0 if row is None else int(row[0])


def places_between(reader: Reader, since_us: int, until_us: int) -> tuple[int, int] | None:
    """First and last place of the sealed records of that time (until exclusive, in microseconds); None: there are none."""
    row = reader.one(_BETWEEN, since=since_us, until=until_us)
    return None if row is None or row[0] is None else (int(row[0]), int(row[1]))


def moment_text(micros: int) -> str:
    """A time as it is hashed and exported: RFC 3339 in UTC with six digits; what is no time of ours, as the number it is."""
    try:
        return from_micros(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        return str(micros)


def entry_of(fields: Sequence[Any]) -> Entry:
    """A record from its columns in their order; ``at`` is still in microseconds there."""
    audit_id, at, *rest = fields
    return Entry(audit_id, moment_text(at), *rest)


def _paged(reader: Reader, sql: str) -> Iterator[Row]:
    """The rows of a statement that goes by the number in its first column."""
    first = LOWEST
    while True:
        rows = reader.all(sql, first=first, limit=PAGE)
        yield from rows
        if len(rows) < PAGE or rows[-1][0] == HIGHEST:
            return
        first = rows[-1][0] + 1


def _seal(row: Row) -> Seal:
    number, place, link, at = row
    return Seal(number, place, link, moment_text(at))
