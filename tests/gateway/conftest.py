"""A gateway that serves on a real socket, for the tests that speak to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from session_platform.clock import ManualClock
from session_platform.store import Store
from tests.gateway.stage import Stage


@pytest.fixture
async def stage(store: Store, clock: ManualClock) -> AsyncIterator[Stage]:
    async with Stage(store, clock).serving() as serving:
        yield serving
