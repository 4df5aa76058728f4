"""The room, wired."""

from __future__ import annotations

import pytest

from session_platform.clock import ManualClock
from session_platform.store.sqlite import SqliteStore
from tests.sessions.room import Room


@pytest.fixture
def room(store: SqliteStore, clock: ManualClock) -> Room:
    return Room(store, clock)
