"""The room's suite runs on every adapter: ``store``, ``reopen`` and ``adapter`` are parametrised by their names."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from session_platform.clock import Clock
from session_platform.store import Store
from tests.store.adapters import Adapter, OnPostgres, Reopen, Sqlite


@pytest.fixture(scope="session", params=["postgres", "sqlite"])
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return Sqlite() if request.param == "sqlite" else OnPostgres(request.getfixturevalue("postgres_server"))


@pytest.fixture
async def reopen(adapter: Adapter, clock: Clock) -> AsyncIterator[Reopen]:
    async with adapter.home(clock) as again:
        yield again


@pytest.fixture
async def store(reopen: Reopen) -> Store:
    return await reopen()
