"""The audit on its way out of the house, line by line: JSON lines that can be verified, or FHIR AuditEvents."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from session_platform.access.audit import fhir, lines, stored
from session_platform.access.audit.chain import START, Entry, Head, Linked
from session_platform.clock import to_micros
from session_platform.store import Reader

_FAR_US: Final = 2**62


class Period(NamedTuple):
    """``since`` is inclusive, ``until`` exclusive; None: no bound. In aware UTC."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, entry: Entry) -> bool:
        since, until = _text(self.since), _text(self.until)
        return (since is None or entry.at >= since) and (until is None or entry.at < until)


EVER: Final = Period()


def export_lines(reader: Reader, period: Period = EVER) -> Iterator[bytes]:
    """JSON lines, see `lines`. Of a ``period``, every record from the first to the last of that time: a chain with holes could
    not be verified, so that a few records beside it may stand among them."""
    start, first, last = _part(reader, period)
    yield lines.opening(start, _text(period.since), _text(period.until))
    head = start
    for each in stored.in_order(reader, first, last):
        if isinstance(each, Linked):
            head = Head(each.place, each.link)
            yield lines.sealed_line(each)
        else:
            yield lines.seal_line(each)
    unsealed = 0
    for entry in filter(period.holds, stored.unsealed(reader)):
        unsealed += 1
        yield lines.unsealed_line(entry)
    yield lines.closing(head, unsealed)


def fhir_lines(reader: Reader, period: Period = EVER) -> Iterator[bytes]:
    """One FHIR R4 AuditEvent a line (NDJSON), see `fhir`: the records of ``period``, the unsealed ones last."""
    _, first, last = _part(reader, period)
    for linked in stored.sealed(reader, first, last):
        if period.holds(linked.entry):
            yield fhir.line(linked.entry)
    for entry in filter(period.holds, stored.unsealed(reader)):
        yield fhir.line(entry)


def _part(reader: Reader, period: Period) -> tuple[Head, int, int]:
    """What the part follows, and its first and last place."""
    if period == EVER:
        return START, stored.LOWEST, stored.HIGHEST
    places = stored.places_between(
        reader,
        -_FAR_US if period.since is None else to_micros(period.since),
        _FAR_US if period.until is None else to_micros(period.until),
    )
    if places is None:
        head = stored.head(reader)
        return head, min(head.place, stored.HIGHEST - 1) + 1, head.place
    return stored.link_at(reader, places[0] - 1), *places


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else stored.moment_text(to_micros(moment))
