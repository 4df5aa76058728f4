"""What a relay does in one round, step by step, without doing any of it: no socket, no clock of its own, no sleep.

A round is a generator like `_publication.publication`: it yields a `Step` and is sent what came of it. A relay may die at any
step; the next one starts with what is not marked.

    hold the lease ─▶ read the first rows ─▶ forward them together
        taken: mark them │ one refused: set it aside, forward the others without its member's later ones
        refused or too large as a whole: forward the halves │ else: raise, everything stays as it is
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection

from digital_session_producer.errors import ProducerError, RefusedError, TooLargeError
from digital_session_producer.event import Envelope
from digital_session_producer.outbox.table import Row, Rows


@dataclass(frozen=True, slots=True)
class Transact:
    """Run ``work`` in a transaction of its own and commit; the reply is what it answered."""

    work: Callable[[Connection], Any]


@dataclass(frozen=True, slots=True)
class Forward:
    """Publish these together; the reply is None once they were taken, or the `ProducerError`."""

    envelopes: Sequence[Envelope]


@dataclass(frozen=True, slots=True)
class SetAside:
    """Tell the operator: this event was refused; no reply."""

    event_id: str
    reason: str


PRUNE_EVERY_S: Final = 60.0

Step = Transact | Forward | SetAside


@dataclass(frozen=True, slots=True)
class Limits:
    """How much at once, how long things hold. A request to the platform has at most 256 KiB."""

    batch: int = 100
    batch_max_bytes: int = 200 * 1024
    lease_s: float = 6.0
    keep_sent_s: float = 7 * 86_400.0


class Rounds:
    """One relay's rounds; ``owner`` is its name on the lease."""

    def __init__(self, rows: Rows, owner: str, limits: Limits) -> None:
        self._rows = rows
        self._owner = owner
        self._limits = limits
        self._holds = False
        self._ask_at_s = float("-inf")
        self._prune_at_s = float("-inf")

    def one(self, now_s: float) -> Generator[Step, Any, int]:
        """Returns how many rows were read and dealt with, 0 also while another relay holds the lease. Raises what `Forward` was
        answered when no row is to blame for it. ``now_s`` is monotonic."""
        if now_s >= self._ask_at_s:
            self._holds = yield Transact(partial(self._rows.hold, owner=self._owner, for_s=self._limits.lease_s))
            self._ask_at_s = now_s + self._limits.lease_s / 3
        if not self._holds:
            return 0
        page: list[Row] = yield Transact(partial(self._rows.waiting, limit=self._limits.batch))
        if page:
            yield from self._settled(page)
        elif now_s >= self._prune_at_s:
            yield Transact(partial(self._rows.prune, older_than_s=self._limits.keep_sent_s))
            self._prune_at_s = now_s + PRUNE_EVERY_S
        return len(page)

    def let_go(self) -> Transact:
        """The step that lets another relay go on at once."""
        return Transact(partial(self._rows.let_go, owner=self._owner))

    def _settled(self, page: Sequence[Row]) -> Generator[Step, Any, None]:
        batches = deque(_bounded(page, self._limits.batch_max_bytes))
        held: dict[str, int] = {}
        while batches:
            batch = [row for row in batches.popleft() if row.position < held.get(row.envelope.member_id, row.position + 1)]
            if not batch:
                continue
            error: ProducerError | None = yield Forward([row.envelope for row in batch])
            if error is None:
                yield Transact(partial(self._rows.mark_sent, rows=batch))
                continue
            refused = _refused(batch, error)
            for row, reason in refused:
                yield Transact(partial(self._rows.set_aside, row=row, reason=reason))
                yield SetAside(row.envelope.event_id, reason)
                held[row.envelope.member_id] = row.position
            middle = len(batch) // 2
            batches.extendleft([batch] if refused else [batch[middle:], batch[:middle]])


def _bounded(page: Sequence[Row], max_bytes: int) -> Iterator[list[Row]]:
    """The page as batches in its order, none larger than that unless it is a single row."""
    batch: list[Row] = []
    size = 0
    for row in page:
        row_bytes = len(row.envelope.body.encode())
        if batch and size + row_bytes > max_bytes:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row_bytes
    if batch:
        yield batch


def _refused(batch: Sequence[Row], error: ProducerError) -> list[tuple[Row, str]]:
    """The rows that the platform blames, each with its reason: the first one of a member only, since what stands behind it may
    be refused for its want. None when a larger batch was refused as a whole. Raises ``error`` when no row is to blame."""
    if not isinstance(error, RefusedError | TooLargeError):
        raise error
    if len(batch) == 1:
        return [(batch[0], str(error))]
    blamed: dict[str, tuple[Row, list[str]]] = {}
    refusals = error.refusals if isinstance(error, RefusedError) else ()
    for each in sorted((each for each in refusals if each.index is not None), key=lambda each: each.index or 0):
        row = batch[each.index or 0]
        first, reasons = blamed.setdefault(row.envelope.member_id, (row, []))
        if first is row:
            reasons.append(f"{each.pointer}: {each.detail}")
    return [(row, "; ".join(reasons)) for row, reasons in blamed.values()]
