"""What every adapter's transaction does alike: its time, its ids, its trace, and the events it emits."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Set
from datetime import datetime
from typing import Final, NamedTuple

from session_platform.clock import Clock
from session_platform.contract import DurableEvent, EphemeralEvent, SealedEphemeral, seal, seal_ephemeral, spec_of
from session_platform.ids import IdMint
from session_platform.store import outbox
from session_platform.store.port import UNMARKED, Marks, Row, Value

EVENT_ID_PREFIX: Final = "evt"


class Stamp(NamedTuple):
    """Where a transaction's time and ids come from, and which intents and reasons may ride a timeline."""

    clock: Clock
    ids: IdMint
    public_codes: Set[str]


class Emitting(ABC):
    """The half of a `Tx` that no database has a part in. ``ephemeral`` collects what goes to the listeners after the commit,
    ``emitted`` says whether there is anything new for them in the outbox."""

    def __init__(self, stamp: Stamp, timelines: tuple[str, ...], traceparent: str | None) -> None:
        self._stamp = stamp
        self._timelines = timelines
        self._traceparent = traceparent
        self.now: datetime = stamp.clock.now()
        self.ephemeral: list[SealedEphemeral] = []
        self.emitted = False

    @abstractmethod
    def one(self, sql: str, /, **params: Value) -> Row | None: ...

    @abstractmethod
    def all(self, sql: str, /, **params: Value) -> list[Row]: ...

    @abstractmethod
    def execute(self, sql: str, /, **params: Value) -> int: ...

    @property
    def traceparent(self) -> str:
        if self._traceparent is None:
            self._traceparent = _new_trace()
        return self._traceparent

    def mint(self, prefix: str) -> str:
        return self._stamp.ids.mint(prefix, self.now)

    def emit(
        self, event: DurableEvent, *, source: str | None = None, event_id: str | None = None, marks: Marks = UNMARKED
    ) -> int:
        if event.member_id not in self._timelines:
            raise ValueError("the command emits on a timeline that it did not name")
        head = outbox.head(self, event.member_id)
        sealed = seal(
            event,
            event_id=event_id or self.mint(EVENT_ID_PREFIX),
            source=source or spec_of(type(event)).source,
            time=marks.time or self.now,
            seq=head.last.seq + 1,
            epoch=head.epoch,
            traceparent=marks.traceparent or self.traceparent,
            public_codes=self._stamp.public_codes,
            extensions=marks.extensions,
        )
        outbox.append(self, sealed)
        self.emitted = True
        return sealed.seq

    def emit_ephemeral(
        self, event: EphemeralEvent, *, source: str | None = None, event_id: str | None = None, marks: Marks = UNMARKED
    ) -> None:
        self.ephemeral.append(
            seal_ephemeral(
                event,
                event_id=event_id or self.mint(EVENT_ID_PREFIX),
                source=source or spec_of(type(event)).source,
                time=marks.time or self.now,
                traceparent=marks.traceparent or self.traceparent,
                extensions=marks.extensions,
            )
        )


def _new_trace() -> str:
    """A trace that nobody recorded so far."""
    digits = secrets.token_hex(24)
    return f"00-{digits[:32]}-{digits[32:]}-00"
