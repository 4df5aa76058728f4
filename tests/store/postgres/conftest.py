"""A database of each test's own, and a store on it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from session_platform.clock import Clock
from session_platform.ids import IdMint
from session_platform.store.postgres import PostgresStore
from tests.servers import Postgres
from tests.store.adapters import OnPostgres
from tests.store.samples import make_effects


@pytest.fixture
async def url(postgres_server: Postgres) -> AsyncIterator[str]:
    """Of a database with our schema and nothing in it."""
    async with OnPostgres(postgres_server).database() as database:
        yield database


@pytest.fixture
async def store(url: str, clock: Clock) -> AsyncIterator[PostgresStore]:
    """With the table of effects."""
    opened = await PostgresStore.open(url, clock, IdMint())
    await opened.run(make_effects)
    yield opened
    await opened.close()
