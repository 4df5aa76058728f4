"""PostgreSQL, by psycopg."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import AsyncConnection

from tests.servers import Postgres, ServerDidNotStart, private_postgres


async def test_it_is_new_enough_and_serves(postgres_server: Postgres) -> None:
    async with postgres_server.database() as url, await AsyncConnection.connect(url) as connection:
        assert connection.info.server_version >= 150_000
        assert await one(connection, "SELECT 40 + 2") == 42


async def test_a_wrong_password_is_refused(postgres_server: Postgres) -> None:
    url = postgres_server.address.url().replace(postgres_server.address.password, "guessed")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        await AsyncConnection.connect(url)


async def test_databases_of_two_tests_have_nothing_in_common(postgres_server: Postgres) -> None:
    async with postgres_server.database() as mine, postgres_server.database() as other:
        async with await AsyncConnection.connect(mine) as connection:
            await connection.execute("CREATE TABLE timeline (seq bigint)")
        async with await AsyncConnection.connect(other) as connection:
            assert await one(connection, "SELECT to_regclass('timeline')::text") is None


async def test_a_database_goes_even_with_a_connection_still_open(postgres_server: Postgres) -> None:
    async with postgres_server.database() as url:
        connection = await AsyncConnection.connect(url)
    with pytest.raises(psycopg.OperationalError):
        await connection.execute("SELECT 1")
    await connection.close()
    name = urlsplit(url).path.removeprefix("/")
    async with await AsyncConnection.connect(postgres_server.address.url()) as connection:
        assert await one(connection, "SELECT count(*) FROM pg_database WHERE datname = %s", name) == 0


async def test_a_template_is_made_once_for_all_who_ask_at_the_same_time(postgres_server: Postgres) -> None:
    made = 0

    async def fill(url: str) -> None:
        nonlocal made
        made += 1
        async with await AsyncConnection.connect(url) as connection:
            await connection.execute("CREATE TABLE timeline AS SELECT 7 AS seq")

    names = await asyncio.gather(*(postgres_server.template("test-template", fill) for _ in range(5)))
    assert (set(names), made) == ({"test-template"}, 1)
    async with postgres_server.database("test-template") as url, await AsyncConnection.connect(url) as connection:
        assert await one(connection, "SELECT seq FROM timeline") == 7


async def test_a_private_one_keeps_its_data_over_a_restart_and_a_kill_and_loses_it_when_wiped() -> None:
    async with private_postgres(durable=True) as own:
        url = own.server.address.url()
        async with await AsyncConnection.connect(url) as connection:
            assert await one(connection, "SHOW fsync") == "on"
            await connection.execute("CREATE TABLE timeline AS SELECT 1 AS seq")
        await own.restart()
        async with await AsyncConnection.connect(url) as connection:
            await connection.execute("UPDATE timeline SET seq = 2")
        await own.kill()
        assert not own.runs
        with pytest.raises(psycopg.OperationalError):
            await AsyncConnection.connect(url)
        await own.start()
        async with await AsyncConnection.connect(url) as connection:
            assert await one(connection, "SELECT seq FROM timeline") == 2
        await own.wipe()
        async with await AsyncConnection.connect(url) as connection:
            assert await one(connection, "SELECT to_regclass('timeline')::text") is None


async def test_one_that_stands_still_answers_nobody_and_then_goes_on() -> None:
    async with private_postgres() as own, await AsyncConnection.connect(own.server.address.url()) as connection:
        async with own.stop_signal():
            asked = asyncio.create_task(one(connection, "SELECT 1"))
            done, _ = await asyncio.wait([asked], timeout=0.2)
            assert not done
        assert await asked == 1


async def test_a_start_that_fails_says_why() -> None:
    with pytest.raises(ServerDidNotStart, match=r"(?s)^PostgreSQL did not start: it ended with 1\..*shared_buffers") as failed:
        async with private_postgres(settings={"shared_buffers": "plenty"}):
            pass
    assert len(str(failed.value).splitlines()) < 30


async def one(connection: AsyncConnection, statement: str, *values: object) -> object:
    row = await (await connection.execute(statement.encode(), values)).fetchone()
    assert row is not None
    return row[0]
