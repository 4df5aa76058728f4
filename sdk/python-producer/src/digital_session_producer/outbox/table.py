"""The outbox's two tables, in the backend's own metadata, and what is done to their rows. SQLAlchemy's common subset only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    CursorResult,
    DateTime,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session

from digital_session_producer.event import Envelope, Event

NAME: Final = "digital_session_outbox"
WAITING: Final = "waiting"
SENT: Final = "sent"
REFUSED: Final = "refused"
SKIPPED: Final = "skipped"
REASON_MAX_CHARACTERS: Final = 2000
PRUNED_AT_ONCE: Final = 500


Within = Session | scoped_session[Any] | Connection
"""The transaction that something is part of."""


class Row(NamedTuple):
    """An event that waits; rows of one member are sent in order of ``position``."""

    position: int
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """An event that the platform does not take; later ones of the same member wait behind it."""

    event_id: str
    member_id: str
    reason: str
    refused_at: datetime


class Outbox:
    """The tables ``name`` and ``name``\\ _lease in ``metadata``, made by the backend's own migrations or ``create_all``.

    ``source`` names the backend in every event; it is written into the row, so that an event keeps it whoever sends it.
    """

    def __init__(self, metadata: MetaData, source: str, *, name: str = NAME, schema: str | None = None) -> None:
        self.source = source
        self.table = Table(
            name,
            metadata,
            Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
            Column("event_id", String(256), nullable=False),
            Column("member_id", String(256), nullable=False),
            Column("body", Text, nullable=False),
            Column("state", String(10), nullable=False),
            Column("added_at", DateTime(timezone=True), nullable=False),
            Column("settled_at", DateTime(timezone=True)),
            Column("reason", Text),
            Index(f"{name}_by_state", "state", "position"),
            Index(f"{name}_by_member", "member_id", "state"),
            schema=schema,
            # A position is never given twice, also after old rows are gone.
            sqlite_autoincrement=True,
        )
        self.lease = Table(
            f"{name}_lease",
            metadata,
            Column("name", String(10), primary_key=True),
            Column("owner", String(40), nullable=False),
            Column("until", DateTime(timezone=True), nullable=False),
            schema=schema,
        )

    def add(self, session: Within, *events: Event) -> None:
        """Say these events if, and only if, the transaction commits. Change first, then add: what the session holds is flushed
        before, so that the rows' order is the order of your locks. With an ``AsyncSession``:
        ``await session.run_sync(outbox.add, event)``.
        """
        if not isinstance(session, Connection):
            session.flush()
        now = utc_now()
        for event in events:
            envelope = event.sealed(self.source)
            session.execute(insert(self.table).values(**envelope._asdict(), state=WAITING, added_at=now))

    def refused(self, session: Within) -> list[RefusedRow]:
        """What the platform did not take, oldest first."""
        t = self.table.c
        asked = select(t.event_id, t.member_id, t.reason, t.settled_at).where(t.state == REFUSED).order_by(t.position)
        # SQLite keeps the moment without its zone.
        found = session.execute(asked)
        return [RefusedRow(event_id, member_id, reason, at.replace(tzinfo=UTC)) for event_id, member_id, reason, at in found]

    def retry(self, session: Within, event_id: str) -> bool:
        """Send a refused event again: what it needed is there now. Whether there was one."""
        return self._settle_refused(session, event_id, {"state": WAITING, "settled_at": None, "reason": None})

    def skip(self, session: Within, event_id: str) -> bool:
        """Leave a refused event unsaid and go on behind it. Whether there was one."""
        return self._settle_refused(session, event_id, {"state": SKIPPED, "settled_at": utc_now()})

    def _settle_refused(self, session: Within, event_id: str, values: Mapping[str, Any]) -> bool:
        t = self.table.c
        refused = update(self.table).where(t.event_id == event_id, t.state == REFUSED).values(**values)
        return _touched(session, refused)


class Rows:
    """What a relay does to an outbox's rows; each call belongs into a transaction of its own. ``now`` is aware."""

    def __init__(self, outbox: Outbox, now: Callable[[], datetime]) -> None:
        self._table = outbox.table
        self._lease = outbox.lease
        self._now = now

    def hold(self, connection: Connection, owner: str, for_s: float) -> bool:
        """Take or keep the lease; False while another holds it."""
        c = self._lease.c
        now = self._now()
        held = {"owner": owner, "until": now + timedelta(seconds=for_s)}
        mine = update(self._lease).where(c.name == "relay", or_(c.owner == owner, c.until < now)).values(**held)
        if _touched(connection, mine):
            return True
        if connection.scalar(select(c.name).where(c.name == "relay")) is not None:
            return False
        try:
            with connection.begin_nested():
                connection.execute(insert(self._lease).values(name="relay", **held))
        except IntegrityError:
            return False
        return True

    def let_go(self, connection: Connection, owner: str) -> None:
        """Give the lease back, if it is held."""
        connection.execute(delete(self._lease).where(self._lease.c.owner == owner))

    def waiting(self, connection: Connection, limit: int) -> list[Row]:
        """The first rows to send. Whatever of a member is among them begins with its first row that is not done."""
        t, before = self._table.c, self._table.alias("before")
        earlier = (before.c.member_id == t.member_id, before.c.position < t.position)
        held = exists().where(*earlier, before.c.state == REFUSED)
        asked = select(t.position, t.event_id, t.member_id, t.body).where(t.state == WAITING, ~held)
        found = connection.execute(asked.order_by(t.position).limit(limit))
        return [Row(position, Envelope(event_id, member_id, body)) for position, event_id, member_id, body in found]

    def mark_sent(self, connection: Connection, rows: Sequence[Row]) -> None:
        """The platform has them."""
        self._settle(connection, {row.position for row in rows}, {"state": SENT})

    def set_aside(self, connection: Connection, row: Row, reason: str) -> None:
        """The platform does not take it: from now on it holds back its member's later rows, and only those."""
        self._settle(connection, {row.position}, {"state": REFUSED, "reason": reason[:REASON_MAX_CHARACTERS]})

    def prune(self, connection: Connection, older_than_s: float) -> int:
        """Delete what was done that long ago, a bounded number; how many."""
        t = self._table.c
        before = self._now() - timedelta(seconds=older_than_s)
        done = select(t.position).where(t.state.in_((SENT, SKIPPED)), t.settled_at < before)
        return connection.execute(delete(self._table).where(t.position.in_(done.limit(PRUNED_AT_ONCE)))).rowcount

    def _settle(self, connection: Connection, positions: Collection[int], values: Mapping[str, Any]) -> None:
        t = self._table.c
        waiting = update(self._table).where(t.position.in_(positions), t.state == WAITING)
        connection.execute(waiting.values(**values, settled_at=self._now()))


def _touched(session: Within, statement: Any) -> bool:
    return cast(CursorResult[Any], session.execute(statement)).rowcount > 0


def utc_now() -> datetime:
    return datetime.now(UTC)
