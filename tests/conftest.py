"""What most tests stand on: a clock that stands still and a real store in a directory of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "store", clock, IdMint())
    yield opened
    await opened.close()
