"""What the tests of this room stand in."""

from __future__ import annotations

import pytest

from session_platform.clock import ManualClock
from session_platform.store.sqlite import SqliteStore
from tests.ingest.room import Room


@pytest.fixture
async def room(store: SqliteStore, clock: ManualClock) -> Room:
    made = Room(store, clock)
    await made.furnish()
    return made
