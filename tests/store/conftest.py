"""The room's suite runs on every adapter: ``store`` and ``reopen`` are parametrised by the names of `ADAPTERS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from session_platform.clock import Clock
from session_platform.ids import IdMint
from session_platform.store import Store
from session_platform.store.sqlite import SqliteStore

OpenStore = Callable[[Path, Clock], Awaitable[Store]]
"""Opens the store that lives in a directory of the test's own, again and again."""
Reopen = Callable[[], Awaitable[Store]]


async def _open_sqlite(directory: Path, clock: Clock) -> Store:
    return await SqliteStore.open(directory, clock, IdMint())


ADAPTERS: Final[Mapping[str, OpenStore]] = MappingProxyType({"sqlite": _open_sqlite})


@pytest.fixture(params=sorted(ADAPTERS))
async def reopen(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> AsyncIterator[Reopen]:
    """Opens the test's store; after it was closed, opens it again with all that is in it."""
    opened: list[Store] = []

    async def again() -> Store:
        opened.append(await ADAPTERS[request.param](tmp_path / "data", clock))
        return opened[-1]

    yield again
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen: Reopen) -> Store:
    return await reopen()
