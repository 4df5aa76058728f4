"""What most tests stand on: a clock that stands still, a real store in a directory of the test's own, and
real servers, started by the first test of a run that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore
from tests.servers.plugin import kafka_server, postgres_server, redis_server

__all__ = ["kafka_server", "postgres_server", "redis_server"]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "store", clock, IdMint())
    yield opened
    await opened.close()
