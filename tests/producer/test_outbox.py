"""The outbox is part of the backend's transaction, and its rows are the operator's to see."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy import event as hooks
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable

from digital_session_producer.outbox.table import Outbox, Row, Rows, utc_now
from tests.producer.backend import OUTBOX, SOURCE, Clock, Visit, database, event, in_memory

ROWS = Rows(OUTBOX, utc_now)


def test_an_event_is_said_exactly_when_its_transaction_commits(tmp_path: Path) -> None:
    engine = database(tmp_path / "db")
    said, unsaid = event("M1"), event("M1")
    with Session(engine) as session, session.begin():
        session.add(Visit(visit_id="v1", member_id="M1"))
        OUTBOX.add(session, said)
    with Session(engine) as session:
        session.add(Visit(visit_id="v2", member_id="M1"))
        OUTBOX.add(session, unsaid)
        session.rollback()
    with Session(engine) as session, session.begin():
        with session.begin_nested() as savepoint:
            OUTBOX.add(session, event("M1"))
            savepoint.rollback()
        assert session.scalars(select(Visit.visit_id)).all() == ["v1"]
    with engine.begin() as connection:
        (row,) = ROWS.waiting(connection, 10)
    assert row.envelope == said.sealed(SOURCE)
    assert json.loads(row.envelope.body)["source"] == SOURCE


def test_what_the_session_holds_is_written_before_the_event(tmp_path: Path) -> None:
    """Otherwise two transactions that wait for each other's lock could take their positions in the wrong order."""
    engine = database(tmp_path / "db")
    with Session(engine) as session, session.begin():
        connection = session.connection()
        session.add(Visit(visit_id="v1", member_id="M1"))
        OUTBOX.add(session, event())
        assert connection.exec_driver_sql("SELECT member_id FROM visit").scalars().all() == ["M1"]


def test_a_connection_and_a_scoped_session_serve_as_well(tmp_path: Path) -> None:
    engine = database(tmp_path / "db")
    with engine.begin() as connection:
        OUTBOX.add(connection, event("M1", "e1"), event("M1", "e2"))
    scoped = scoped_session(sessionmaker(engine))
    OUTBOX.add(scoped, event("M1", "e3"))
    scoped.commit()
    scoped.remove()
    with engine.begin() as connection:
        assert [row.envelope.event_id for row in ROWS.waiting(connection, 10)] == ["e1", "e2", "e3"]


def test_nothing_to_add_is_nothing_to_do(tmp_path: Path) -> None:
    engine = database(tmp_path / "db")
    with engine.begin() as connection:
        OUTBOX.add(connection)
        assert ROWS.waiting(connection, 10) == []


def test_a_refused_row_holds_back_its_member_until_it_is_retried_or_skipped() -> None:
    engine, outbox = in_memory()
    rows = Rows(outbox, utc_now)

    def waiting() -> list[str]:
        with engine.begin() as connection:
            return [row.envelope.event_id for row in rows.waiting(connection, 10)]

    with engine.begin() as connection:
        outbox.add(connection, event("M1", "e1"), event("M2", "e2"), event("M1", "e3"))
        first = rows.waiting(connection, 10)[0]
        rows.set_aside(connection, first, "/data/x: is unknown")
    assert waiting() == ["e2"]
    with Session(engine) as session, session.begin():
        (refused,) = outbox.refused(session)
        assert (refused.event_id, refused.member_id, refused.reason) == ("e1", "M1", "/data/x: is unknown")
        assert refused.refused_at.utcoffset() is not None
        assert outbox.retry(session, "e1")
        assert not outbox.retry(session, "e1")
    assert waiting() == ["e1", "e2", "e3"]
    with engine.begin() as connection:
        rows.set_aside(connection, first, "again")
        assert outbox.skip(connection, "e1")
        assert not outbox.skip(connection, "e1")
        assert outbox.refused(connection) == []
    assert waiting() == ["e2", "e3"]


def test_a_page_is_bounded_and_begins_with_each_members_first_row() -> None:
    engine, outbox = in_memory()
    with engine.begin() as connection:
        outbox.add(connection, *(event(f"M{number % 2}", f"e{number}") for number in range(6)))
        page = Rows(outbox, utc_now).waiting(connection, 3)
    assert [row.envelope.event_id for row in page] == ["e0", "e1", "e2"]


def test_one_relay_holds_the_lease_until_it_ends_or_lets_go() -> None:
    engine, outbox = in_memory()
    clock = Clock()
    rows = Rows(outbox, clock.now)
    with engine.begin() as connection:
        assert rows.hold(connection, "a", 6.0)
        assert rows.hold(connection, "a", 6.0)
        assert not rows.hold(connection, "b", 6.0)
        clock.advance(6.1)
        assert rows.hold(connection, "b", 6.0)
        assert not rows.hold(connection, "a", 6.0)
        rows.let_go(connection, "a")
        assert not rows.hold(connection, "a", 6.0)
        rows.let_go(connection, "b")
        assert rows.hold(connection, "a", 6.0)


def test_what_is_done_is_kept_for_a_while_and_then_deleted() -> None:
    engine, outbox = in_memory()
    clock = Clock()
    rows = Rows(outbox, clock.now)
    with engine.begin() as connection:
        outbox.add(connection, event(event_id="e1"), event(event_id="e2"), event(event_id="e3"))
        page = rows.waiting(connection, 10)
        rows.mark_sent(connection, page[:1])
        rows.set_aside(connection, page[1], "why")
        clock.advance(10)
        assert rows.prune(connection, 11) == 0
        assert rows.prune(connection, 9) == 1
        assert [each.event_id for each in outbox.refused(connection)] == ["e2"]
        kept = connection.scalars(select(outbox.table.c.event_id)).all()
    assert kept == ["e2", "e3"]


def test_a_relay_that_comes_too_late_changes_nothing_that_was_decided() -> None:
    engine, outbox = in_memory()
    rows = Rows(outbox, utc_now)
    with engine.begin() as connection:
        outbox.add(connection, event(event_id="e1"))
        page = rows.waiting(connection, 10)
        rows.mark_sent(connection, page)
        rows.set_aside(connection, page[0], "late")
        assert outbox.refused(connection) == []


def test_the_tables_may_have_another_name_and_schema() -> None:
    engine, _ = in_memory()
    metadata = MetaData()
    other = Outbox(metadata, "/b", name="said", schema="main")
    metadata.create_all(engine)
    with engine.begin() as connection:
        other.add(connection, event(event_id="e1"))
        assert Rows(other, utc_now).hold(connection, "a", 1.0)
    assert {table.fullname for table in metadata.sorted_tables} == {"main.said", "main.said_lease"}


def test_everything_compiles_for_postgresql(tmp_path: Path) -> None:
    """Each statement that a life of the outbox needs, caught on its way to SQLite and written down for PostgreSQL."""
    engine = create_engine(f"sqlite:///{tmp_path / 'db'}", poolclass=NullPool)
    OUTBOX.table.metadata.create_all(engine)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    written: list[str] = []

    @hooks.listens_for(engine, "before_execute")
    def note(_connection: object, statement: object, *_: object) -> None:
        written.append(str(statement.compile(dialect=dialect)))  # type: ignore[attr-defined]

    with engine.begin() as connection:
        assert ROWS.hold(connection, "a", 1.0)
        OUTBOX.add(connection, event(event_id="e1"), event(event_id="e2"))
        page: list[Row] = ROWS.waiting(connection, 10)
        ROWS.mark_sent(connection, page[:1])
        ROWS.set_aside(connection, page[1], "why")
        OUTBOX.refused(connection)
        OUTBOX.retry(connection, "e2")
        OUTBOX.skip(connection, "e2")
        ROWS.prune(connection, 1.0)
        ROWS.let_go(connection, "a")
    assert len(written) >= 11
    table = str(CreateTable(OUTBOX.table).compile(dialect=dialect))
    assert "position BIGSERIAL NOT NULL" in table
    assert "TIMESTAMP WITH TIME ZONE" in table
    assert str(CreateTable(OUTBOX.lease).compile(dialect=dialect))
    assert all(str(CreateIndex(index).compile(dialect=dialect)) for index in OUTBOX.table.indexes)


@pytest.mark.parametrize("text", ["", "x" * 5000])
def test_a_reason_is_bounded(text: str) -> None:
    engine, outbox = in_memory()
    rows = Rows(outbox, utc_now)
    with engine.begin() as connection:
        outbox.add(connection, event())
        rows.set_aside(connection, rows.waiting(connection, 1)[0], text)
        (refused,) = outbox.refused(connection)
    assert refused.reason == text[:2000]
