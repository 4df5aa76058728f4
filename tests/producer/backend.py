"""A backend with a table of its own and an outbox beside it, on SQLite."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import StaticPool

from digital_session_producer import Event
from digital_session_producer.outbox import Outbox

SOURCE = "/backend"


class Base(DeclarativeBase):
    """The backend's own mappings."""


class Visit(Base):
    """What the backend's transactions are about."""

    __tablename__ = "visit"

    visit_id: Mapped[str] = mapped_column(primary_key=True)
    member_id: Mapped[str]
    state: Mapped[str] = mapped_column(default="open")


OUTBOX = Outbox(Base.metadata, SOURCE)


def database(path: Path) -> Engine:
    """A file with the backend's tables."""
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    return engine


def in_memory() -> tuple[Engine, Outbox]:
    """An outbox of its own in a database that goes with the engine."""
    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    outbox = Outbox(MetaData(), SOURCE)
    outbox.table.metadata.create_all(engine)
    return engine, outbox


def event(member: str = "M1", event_id: str = "", text: str = "") -> Event:
    data = {"member_id": member, "care_plan_id": "cp_1", "note": text}
    return Event("care_plan.updated", data, id=event_id) if event_id else Event("care_plan.updated", data)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    @property
    def seconds(self) -> float:
        return self.moment.timestamp()

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
