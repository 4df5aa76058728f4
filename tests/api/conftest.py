"""Every test of the API stands on this."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from session_platform.clock import ManualClock
from session_platform.store.sqlite import SqliteStore
from tests.api.stage import Stage, raised


@pytest.fixture
async def stage(store: SqliteStore, clock: ManualClock) -> AsyncIterator[Stage]:
    async with raised(store, clock) as made:
        yield made
