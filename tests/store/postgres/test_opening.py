"""A database that cannot be used is said so in one sentence that names the setting; one that can is brought to our schema."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from session_platform.clock import ManualClock
from session_platform.errors import StartError, Unavailable
from session_platform.ids import IdMint
from session_platform.store.postgres import PostgresStore, snapshot
from session_platform.store.postgres.database import migrations
from tests.servers import Postgres

SETTING = "SESSION_PLATFORM_DATABASE_URL"
PASSWORD = "guessed-in-vain"


@pytest.fixture
async def empty(postgres_server: Postgres) -> AsyncIterator[str]:
    async with postgres_server.database() as url:
        yield url


async def opened(url: str, *, migrate: bool = True) -> PostgresStore:
    return await PostgresStore.open(url, ManualClock(), IdMint(), migrate=migrate)


async def refusal(url: str, *, migrate: bool = True) -> str:
    with pytest.raises(StartError) as caught:
        await opened(url, migrate=migrate)
    sentence = str(caught.value)
    assert SETTING in sentence
    assert sentence.count(".") == 1
    assert "\n" not in sentence
    assert PASSWORD not in sentence
    return sentence


@pytest.mark.parametrize("url", ["postgresql://localhost:port/x", "somewhere", "postgresql://[/x"])
async def test_what_is_no_address_is_refused(url: str) -> None:
    assert "no address" in await refusal(url)


async def test_a_server_that_is_not_there_is_named() -> None:
    assert "reached" in await refusal("postgresql://app:x@127.0.0.1:1/platform")


async def test_a_wrong_password_is_named(postgres_server: Postgres) -> None:
    address = postgres_server.address
    assert "password" in await refusal(address.url().replace(address.password, PASSWORD))


async def test_a_missing_database_is_named(postgres_server: Postgres) -> None:
    assert "no database" in await refusal(postgres_server.address.url("nowhere"))


async def test_a_database_of_another_program_is_left_alone(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as other:
        other.execute("CREATE TABLE invoice (number bigint)")
        assert "another program" in await refusal(empty)
        assert other.execute("SELECT COUNT(*) FROM pg_class WHERE relname = 'schema_version'").fetchone() == (0,)


async def test_a_newer_schema_is_refused(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("INSERT INTO schema_version (version, name) VALUES (999, 'from the future')")
    assert f"schema 999, this session-platform knows {len(migrations())}" in await refusal(url)
    with pytest.raises(StartError, match="999"), snapshot(url):
        pass


async def test_an_older_schema_is_refused_by_who_may_not_migrate(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("DELETE FROM schema_version WHERE version > 2")
    assert f"schema 2, this session-platform needs {len(migrations())}" in await refusal(url, migrate=False)
    with pytest.raises(StartError, match="schema 2"), snapshot(url):
        pass


async def test_an_empty_database_is_refused_by_who_may_not_migrate(empty: str) -> None:
    assert "schema 0" in await refusal(empty, migrate=False)


async def test_a_migration_that_fails_leaves_nothing(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as other:
        other.execute("CREATE FUNCTION next_number(numbers regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 1'")
        await refusal(empty)
        assert other.execute("SELECT COUNT(*) FROM pg_class WHERE relname IN ('outbox', 'schema_version')").fetchone() == (0,)


async def test_processes_that_start_at_once_migrate_once(empty: str) -> None:
    stores = await asyncio.gather(*(opened(empty) for _ in range(4)))
    rows = await stores[0].read(lambda reader: reader.all("SELECT version, name FROM schema_version ORDER BY version"))
    assert rows == [(number, name) for number, (name, _) in enumerate(migrations(), start=1)]
    for store in stores:
        await store.close()


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [name[:5] for name, _ in migrations()] == [f"{number:04d}_" for number in range(1, len(migrations()) + 1)]


async def test_every_connection_is_durable_and_bounded(store: PostgresStore) -> None:
    """The server of the tests is not, by its own settings."""
    names = ("synchronous_commit", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")

    def settings(reader: object) -> list[str]:
        return [reader.one("SELECT current_setting(:name)", name=name)[0] for name in names]  # type: ignore[attr-defined]

    assert await store.run(settings) == await store.read(settings) == ["on", "10s", "8s", "3s"]


async def test_a_snapshot_is_one_view_and_cannot_be_written_through(store: PostgresStore, url: str) -> None:
    await store.run(lambda tx: tx.execute("INSERT INTO effect VALUES ('before')"))
    with snapshot(url) as reader:
        assert reader.all("SELECT command FROM effect") == [("before",)]
        await store.run(lambda tx: tx.execute("INSERT INTO effect VALUES ('meanwhile')"))
        assert reader.all("SELECT command FROM effect") == [("before",)]
        with pytest.raises(Unavailable):
            reader.all("DELETE FROM effect RETURNING command")
    assert await store.read(lambda each: each.one("SELECT COUNT(*) FROM effect")) == (2,)
