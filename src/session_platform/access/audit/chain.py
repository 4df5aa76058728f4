"""The chain that makes a changed past visible: what is hashed, how links follow, and where a chain breaks. Pure.

Laws: a sealed record's link is SHA-256 over the link of the record before it (32 zero bytes before the first) and the record's
canonical bytes, its place among them. Places are 1, 2, 3 … without a gap. A seal repeats place and link of the last record of a
batch. So a link stands for everything up to its record: whoever noted one elsewhere can prove later that nothing before it was
changed, removed, added or moved. The chain alone proves that only against somebody who cannot compute it anew; the noted link
proves it against anybody.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

GENESIS_LINK: Final = bytes(32)
"""What the first record follows."""
BREAKS_MAX: Final = 20
"""So many are told apart; the rest is counted."""


class Entry(NamedTuple):
    """A record as it is hashed and exported. ``at`` is text, see `moment_text`."""

    audit_id: str
    at: str
    actor: str
    action: str
    member_id: str | None
    session_id: str | None
    outcome: str
    reason: str | None


class Linked(NamedTuple):
    """A record in the chain."""

    place: int
    link: bytes
    entry: Entry


class Seal(NamedTuple):
    """The chain had reached ``place`` with ``link`` when batch ``number`` was sealed."""

    number: int
    place: int
    link: bytes
    at: str


def canonical(place: int, entry: Entry) -> bytes:
    """The record and its place as bytes: a JSON object in RFC 8785's form (names sorted, no white space, UTF-8)."""
    fields = {**entry._asdict(), "place": place}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def link_of(before: bytes, place: int, entry: Entry) -> bytes:
    """The link of a record that follows a record whose link is ``before``."""
    return hashlib.sha256(before + canonical(place, entry)).digest()


class Head(NamedTuple):
    """How far a chain reaches."""

    place: int
    link: bytes


START: Final = Head(0, GENESIS_LINK)


class Fault(StrEnum):
    """What is wrong at a place."""

    CHANGED = "changed"
    MISSING = "missing"
    EXTRA = "extra"
    SEAL = "seal"
    HEAD = "head"
    UNREADABLE = "unreadable"


class Break(NamedTuple):
    """Where a chain does not hold. ``audit_id`` is the record that stands there, or the next one where one is missing; None
    where none stands."""

    place: int
    audit_id: str | None
    fault: Fault

    def sentence(self) -> str:
        """For a person."""
        return _SENTENCES[self.fault].format(place=self.place, record=self.audit_id or "none")


_SENTENCES: Final = {
    Fault.CHANGED: "place {place}: record {record} was changed, or is not the one that was sealed here",
    Fault.MISSING: "place {place}: the record that was sealed here is missing or was moved; the next one found is {record}",
    Fault.EXTRA: "place {place}: record {record} was not sealed here: it was added, repeated or moved",
    Fault.SEAL: "place {place}: the seal over the records up to here is missing or does not match {record}",
    Fault.UNREADABLE: "place {place}: what stands behind it is not what an export writes",
    Fault.HEAD: "place {place}: the chain ends without the head that was noted: sealed records were removed, or the chain was "
    "computed anew",
}


class _Standing(NamedTuple):
    """A record at the last place: its id (None: nobody knows it) and the links that the next one may follow."""

    audit_id: str | None
    links: tuple[bytes, ...]


class Verification:
    """Reads a chain once, in order, in constant memory. ``start`` is where it begins (a part of one begins later); ``wanted`` a
    link that somebody noted.

    Feed every `Linked`, every `Seal` behind the record that it repeats and every unsealed record, then call `finish`.
    ``breaks`` has the first `BREAKS_MAX` in the order in which they were met, ``breaks_in_all`` counts them all.
    """

    def __init__(self, start: Head = START, wanted: bytes | None = None) -> None:
        self.start = start
        self.head = start
        self.records = 0
        self.seals = 0
        self.unsealed = 0
        self.breaks: list[Break] = []
        self.breaks_in_all = 0
        self.wanted_at: int | None = None
        self._wanted = wanted
        # One record stands at the last place, unless somebody put a second one there that follows as well.
        self._standing = [_Standing(None, (start.link,))]
        self._accused = False
        self._before: tuple[bytes, ...] = ()
        # A part of a chain begins with any seal, a whole one with the first.
        self._seal_number: int | None = None if start.place else 0
        self._sealed_to = start.place
        self._note(start.place, start.link)

    @property
    def whole(self) -> bool:
        return not self.breaks_in_all

    def linked(self, given: Linked) -> None:
        """The next sealed record."""
        self.records += 1
        self._note(given.place, given.link)
        expected = self.head.place + 1
        if given.place == expected:
            self._next(given)
        elif given.place > expected:
            self._break(expected, given.entry.audit_id, Fault.MISSING)
            self._stand(given, (given.link,), before=(), accused=False)
        elif given.place == self.head.place and _follows(given, self._before):
            self._second(given)
        else:
            self._break(given.place, given.entry.audit_id, Fault.EXTRA)

    def seal(self, given: Seal) -> None:
        """The next seal."""
        self.seals += 1
        in_order = self._seal_number is None or given.number == self._seal_number + 1
        self._seal_number, self._sealed_to = given.number, given.place
        if given.place > self.head.place:
            self._break(self.head.place + 1, None, Fault.MISSING)
            self.head = Head(given.place, given.link)
            self._standing = [_Standing(None, (given.link,))]
        elif given.place < self.head.place or not in_order or not self._keep(given.link):
            self._break(given.place, self._standing[0].audit_id, Fault.SEAL)

    def tail(self, count: int = 1) -> None:
        """Records that wait for the sealer."""
        self.unsealed += count

    def unreadable(self) -> None:
        """Something that is none of these."""
        self._break(self.head.place, self._standing[0].audit_id, Fault.UNREADABLE)

    def cut(self) -> None:
        """It ends before its writer had finished."""
        self._break(self.head.place + 1, None, Fault.MISSING)

    def finish(self, *, sealed_to_the_end: bool = True, reaches: Head | None = None) -> None:
        """Nothing more comes. ``sealed_to_the_end``: the last sealed record must have its seal (a part of a chain may end
        inside a batch). ``reaches``: how far the writer of the chain said that it goes."""
        if reaches is not None and reaches.place > self.head.place:
            self._break(self.head.place + 1, None, Fault.MISSING)
        elif reaches is not None and (reaches.place < self.head.place or not self._keep(reaches.link)):
            self._break(self.head.place, self._standing[0].audit_id, Fault.EXTRA)
        # Nothing says which of several was there first: those that were read later are the others.
        self._drop(self._standing[1:])
        if sealed_to_the_end and self._sealed_to != self.head.place:
            self._break(self.head.place, self._standing[0].audit_id, Fault.SEAL)
        if self._wanted is not None and self.wanted_at is None:
            self._break(self.head.place, None, Fault.HEAD)

    def _next(self, given: Linked) -> None:
        followed = [each for each in self._standing if _follows(given, each.links)]
        right = followed[0] if followed else self._standing[0]
        self._drop([each for each in self._standing if each is not right])
        if followed:
            self._stand(given, (given.link,), before=right.links, accused=False)
            return
        self._break(given.place, given.entry.audit_id, Fault.CHANGED)
        # Behind a record that was changed the chain goes on from its link as stored; behind a changed link, from the right one.
        computed = (link_of(link, given.place, given.entry) for link in right.links)
        self._stand(given, (given.link, *computed), before=right.links, accused=True)

    def _second(self, given: Linked) -> None:
        """Another record at the last place, which follows from the one before as well as the first did, or better."""
        standing = _Standing(given.entry.audit_id, (given.link,))
        if self._accused:
            self._standing, self._accused = [standing], False
        else:
            self._standing.append(standing)

    def _stand(self, given: Linked, links: tuple[bytes, ...], *, before: tuple[bytes, ...], accused: bool) -> None:
        self.head = Head(given.place, given.link)
        self._standing = [_Standing(given.entry.audit_id, links)]
        self._before, self._accused = before, accused

    def _keep(self, link: bytes) -> bool:
        """Whether a record with this link stands at the last place; then it is the right one."""
        right = next((each for each in self._standing if link in each.links), None)
        if right is None:
            return False
        self._drop([each for each in self._standing if each is not right])
        self._standing = [_Standing(right.audit_id, (link,))]
        self.head = Head(self.head.place, link)
        self._note(self.head.place, link)
        return True

    def _drop(self, others: Iterable[_Standing]) -> None:
        for each in others:
            self._break(self.head.place, each.audit_id, Fault.EXTRA)

    def _note(self, place: int, link: bytes) -> None:
        if self._wanted is not None and link == self._wanted:
            self.wanted_at = place

    def _break(self, place: int, audit_id: str | None, fault: Fault) -> None:
        self.breaks_in_all += 1
        if len(self.breaks) < BREAKS_MAX:
            self.breaks.append(Break(place, audit_id, fault))


def _follows(given: Linked, links: Iterable[bytes]) -> bool:
    return any(link_of(link, given.place, given.entry) == given.link for link in links)
