"""The store's small interface: what every room may ask, whichever database stands behind it.

A command is a plain function ``fn(tx) -> result``: it reads and writes through ``tx``, emits events, and knows no clock, no
random source and no I/O of its own, because the store may run it twice when a transaction was lost under it. SQL is the common
subset of SQLite and PostgreSQL with ``:name`` parameters; times are integers (`clock.to_micros`), JSON is text or bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from session_platform.contract import Attribute, DurableEvent, EphemeralEvent, SealedEphemeral

R = TypeVar("R")
Value = None | int | float | str | bytes
Row = tuple[Any, ...]


class Marks(NamedTuple):
    """What somebody else says of an event that they publish. None: the transaction's own. ``time`` is aware; ``extensions`` are
    CloudEvents attributes beside the envelope's own."""

    time: datetime | None = None
    traceparent: str | None = None
    extensions: Mapping[str, Attribute] = MappingProxyType({})


UNMARKED: Final = Marks()


class Reader(Protocol):
    """One consistent snapshot."""

    def one(self, sql: str, /, **params: Value) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, sql: str, /, **params: Value) -> list[Row]:
        """Every row."""
        ...


class Tx(Reader, Protocol):
    """One transaction under the head locks of the timelines the command named."""

    @property
    def now(self) -> datetime:
        """The transaction's time: the same at every call."""
        ...

    @property
    def traceparent(self) -> str:
        """W3C trace context that the events of this transaction carry."""
        ...

    def mint(self, prefix: str) -> str:
        """A new id, see `ids.IdMint`."""
        ...

    def execute(self, sql: str, /, **params: Value) -> int:
        """Run a statement; the number of rows it changed.

        A statement that fails (as in `one` and `all`) fails the command: nothing runs after it, and the command is rolled back
        even if it swallows the error. To meet a row that may be there, say ``ON CONFLICT``.
        """
        ...

    def emit(
        self, event: DurableEvent, *, source: str | None = None, event_id: str | None = None, marks: Marks = UNMARKED
    ) -> int:
        """Append a durable event to the timeline of its ``member_id`` (which the command must have named): the number it got.

        ``source`` defaults to the catalogue's for this type, ``event_id`` to a new ``evt_`` id. Raises `ValueError` for an
        event above 512 KiB, for an extension that is no attribute, and for a timeline that the command did not name.
        """
        ...

    def emit_ephemeral(
        self, event: EphemeralEvent, *, source: str | None = None, event_id: str | None = None, marks: Marks = UNMARKED
    ) -> None:
        """Hand an unnumbered event to the live listeners after the commit, best effort."""
        ...


class Store(Protocol):
    """Commands and queries, from asyncio."""

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        """Run ``command`` in one transaction under the heads of ``timelines``; the result leaves only after the durable commit.

        Whatever the command raises rolls it back and is raised here. Raises `Unavailable` when the database could not take it
        (full disk, locked): then nothing was changed. A caller that is cancelled while it waits does not learn what became of
        its command: one that has not begun is dropped, one that has may commit.
        """
        ...

    async def read(self, query: Callable[[Reader], R], /) -> R:
        """Run ``query`` on one snapshot. Raises `Unavailable`."""
        ...

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        """Call back on the event loop after commits that emitted anything, with their ephemeral events. For durable events,
        which are read from the outbox, it is only a wake-up: one call may stand for several commits. Commands that emit nothing
        do not call back, so that a listener which runs some does not wake itself for ever."""
        ...

    def trouble(self) -> str | None:
        """None while the store works; otherwise one sentence for ``/readyz``."""
        ...

    async def close(self) -> None:
        """Finish what was accepted, refuse the rest with `Unavailable`, close the files. Idempotent."""
        ...


class Position(NamedTuple):
    """A place in a timeline's history: just after the event numbered ``seq``. ``epoch`` and ``tag`` are that event's, so that
    two histories which both have such a number are told apart. The place before the first event is `GENESIS` in every one."""

    epoch: int
    seq: int
    tag: int


GENESIS = Position(epoch=0, seq=0, tag=0)


class Head(NamedTuple):
    """Where a timeline stands. ``epoch`` is what the next event gets (above that of ``last`` after a history was restored).
    ``pruned`` names the last event that retention took (`GENESIS`: none), so that a cursor just there can still be checked."""

    timeline: str
    epoch: int
    last: Position
    pruned: Position


class StoredEvent(NamedTuple):
    """A row of the outbox as readers see it: routing headers, and ``body``, the redacted CloudEvent as it goes on the wire."""

    id: int
    timeline: str
    epoch: int
    seq: int
    tag: int
    name: str
    session_id: str | None
    service_request_id: str | None
    body: bytes

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.seq, self.tag)
