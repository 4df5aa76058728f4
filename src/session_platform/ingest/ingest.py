"""A batch of published events, taken in one transaction or not at all.

Every event is judged: by itself (`rules`), by its source and id (`sources`), by whom and what it names (`Known`), and by the
room whose thing it moves (an `Applier`). What any of them refuses refuses the batch, and the answer names all of it. Where
events come from, over HTTP or from a log, is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

from msgspec import UNSET, Struct

from session_platform.contract import (
    CoverageUpdatedEvent,
    DurableEvent,
    EphemeralEvent,
    RTECompletedEvent,
    SessionActiveEvent,
    SessionCreatedEvent,
    SessionEndedEvent,
)
from session_platform.errors import FieldProblem, Invalid
from session_platform.ingest import sources
from session_platform.ingest.binding import RawEvent
from session_platform.ingest.rules import Publication, understand
from session_platform.store.port import Reader, Store, Tx

PROBLEMS_MAX: Final = 100
"""More in one answer help nobody."""
AHEAD_MAX: Final = timedelta(hours=1)
"""How far a backend's clock may be ahead of ours: what it says that happened later did not happen."""
IN_THE_FUTURE: Final = "lies in the future"

Event = DurableEvent | EphemeralEvent
Emit = Callable[[Event], None]
Applier = Callable[[Tx, Any, str, Emit], None]
"""``(transaction, event, publisher, emit)``: a room does what the event says and emits it, in full: with its refs and with what
the event left out of the thing that it moves. Emitting nothing: it says what is so already. Raises `Invalid` with pointers into
the data. The first event emitted is the published one; any other is a copy for another member."""

Note = Callable[[Tx, str | None], None]
"""Puts a call on record, in its transaction; with the member when all of it is about one."""


class Outcome(StrEnum):
    """``duplicate``: taken before, under this source and id. ``unchanged``: taken, and it told nothing new."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNCHANGED = "unchanged"


class Taken(NamedTuple):
    source: str
    id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the other rooms know. ``accounts_of`` names the accounts that a member holds, None for no member; ``holders`` who
    holds an account; the owners are of sessions, requests (open ones apart, for what must come before their end) and tasks."""

    accounts_of: Callable[[Reader, str], tuple[str, ...] | None]
    holders: Callable[[Reader, str], tuple[str, ...]]
    session_owner: Callable[[Reader, str], str | None]
    request_owner: Callable[[Reader, str], str | None]
    open_request_owner: Callable[[Reader, str], str | None]
    task_owner: Callable[[Reader, str], str | None]


class Ingest:
    """``appliers`` by type of event: each of the twelve."""

    def __init__(self, store: Store, known: Known, appliers: Mapping[type[Struct], Applier]) -> None:
        self._store = store
        self._known = known
        self._appliers = appliers

    async def publish(
        self, publisher: str, events: Sequence[RawEvent], note: Note, traceparent: str | None = None
    ) -> list[Taken]:
        """Take all of ``events``, published by this service (the ``sub`` of its token), or none; ``note`` puts it on record in
        the same transaction. What became of each, once it is committed.

        Raises `Invalid` with pointers into the message, `Forbidden` for a source of somebody else's, `Unavailable`.
        """
        read = [understand(each) for each in events]
        timelines = await self._timelines([each for each in read if isinstance(each, Publication)])
        take = partial(self._take, publisher=publisher, read=read, note=note, timelines=frozenset(timelines))
        return await self._store.run(take, *timelines, traceparent=traceparent)

    async def _timelines(self, publications: Sequence[Publication]) -> list[str]:
        members = {each.event.member_id for each in publications}
        accounts = {each.event.account_id for each in publications if isinstance(each.event, CoverageUpdatedEvent)}
        if accounts:
            holders = self._known.holders
            members |= await self._store.read(
                lambda reader: {each for account in accounts for each in holders(reader, account)}
            )
        return sorted(members)

    def _take(
        self,
        tx: Tx,
        *,
        publisher: str,
        read: Sequence[Publication | list[FieldProblem]],
        note: Note,
        timelines: frozenset[str],
    ) -> list[Taken]:
        problems: list[FieldProblem] = []
        taken: list[Taken] = []
        for each in read:
            if not isinstance(each, Publication):
                problems += each
                continue
            if each.marks.time is not None and each.marks.time > tx.now + AHEAD_MAX:
                problems.append(FieldProblem(each.place.attribute("time"), IN_THE_FUTURE))
            sources.claim(tx, each.source, publisher)
            try:
                taken.append(Taken(each.source, each.event_id, self._one(tx, each, publisher, timelines)))
            except Invalid as error:
                problems += [FieldProblem(each.place.data(found.pointer), found.detail) for found in error.problems]
            except sources.OtherContent:
                problems.append(FieldProblem(each.place.attribute("id"), "was given to another event of this source"))
        if problems:
            raise Invalid(*problems[:PROBLEMS_MAX])
        members = {each.event.member_id for each in read if isinstance(each, Publication)}
        note(tx, members.pop() if len(members) == 1 else None)
        return taken

    def _one(self, tx: Tx, publication: Publication, publisher: str, timelines: frozenset[str]) -> Outcome:
        if not sources.remember(tx, publication.source, publication.event_id, publication.digest):
            return Outcome.DUPLICATE
        event = publication.event
        problems = [*_ahead(event, tx.now + AHEAD_MAX), *self._unknown(tx, event)]
        if problems:
            raise Invalid(*problems)
        emitter = _Emitter(tx, publication, timelines)
        self._appliers[type(event)](tx, event, publisher, emitter)
        return Outcome.ACCEPTED if emitter.emitted else Outcome.UNCHANGED

    def _unknown(self, reader: Reader, event: Event) -> Iterator[FieldProblem]:
        """Whom and what the event names that is not there, or not this member's: both are told alike."""
        held = self._known.accounts_of(reader, event.member_id)
        if held is None:
            yield FieldProblem("/member_id", "is no member")
            return
        for name in ("account_id", "subject_account_id"):
            if getattr(event, name, UNSET) not in {UNSET, *held}:
                yield FieldProblem(f"/{name}", "is no account that this member holds")
        for pointer, owner, thing_id in self._named(event):
            if owner(reader, thing_id) != event.member_id:
                yield FieldProblem(pointer, "names none of this member's")

    def _named(self, event: Event) -> Iterator[tuple[str, Callable[[Reader, str], str | None], str]]:
        """(pointer, who knows its member, id) of what the event only refers to; what it moves is its room's concern."""
        known = self._known
        if (
            not isinstance(event, SessionCreatedEvent | SessionActiveEvent | SessionEndedEvent)
            and event.session_id is not UNSET
        ):
            yield "/session_id", known.session_owner, event.session_id
        if isinstance(event, RTECompletedEvent) and event.service_request_id is not UNSET:
            yield "/service_request_id", known.open_request_owner, event.service_request_id
        for name, owner in _LISTS.items():
            for index, thing_id in enumerate(getattr(event, name, ())):
                yield f"/{name}/{index}", getattr(known, owner), thing_id


def _ahead(event: Event, latest: datetime) -> Iterator[FieldProblem]:
    """What is told as done and lies in the future; a due date may."""
    for name in _DONE:
        moment = getattr(event, name, UNSET)
        if moment is not UNSET and moment > latest:
            yield FieldProblem(f"/{name}", IN_THE_FUTURE)


_DONE: Final = (
    "created_at",
    "last_activity_at",
    "ended_at",
    "submitted_at",
    "completed_at",
    "assigned_at",
    "started_at",
)
_LISTS: Final[Mapping[str, str]] = {
    "active_service_requests": "request_owner",
    "completed_service_requests": "request_owner",
    "active_tasks": "task_owner",
    "completed_tasks": "task_owner",
}


class _Emitter:
    """Emits a published event under its own source, id and attributes, and its copies under ids of the platform's."""

    def __init__(self, tx: Tx, publication: Publication, timelines: frozenset[str]) -> None:
        self._tx = tx
        self._publication = publication
        self._timelines = timelines
        self.emitted = 0

    def __call__(self, event: Event) -> None:
        # Whoever came to hold an account in this moment has no timeline here, and reads the coverage anyway.
        if event.member_id not in self._timelines:
            return
        publication = self._publication
        event_id = None if self.emitted else publication.event_id
        self.emitted += 1
        if isinstance(event, SessionActiveEvent):
            self._tx.emit_ephemeral(event, source=publication.source, event_id=event_id, marks=publication.marks)
            return
        try:
            self._tx.emit(event, source=publication.source, event_id=event_id, marks=publication.marks)
        except ValueError:
            raise Invalid(FieldProblem("", "is larger than an event may be, with its attributes")) from None
