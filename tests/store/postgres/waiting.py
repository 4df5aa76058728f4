"""Waiting for what another thread or the server does: there is no clock of theirs to move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.store.samples import PATIENCE_S


async def until(holds: Callable[[], bool]) -> None:
    """Fails when it does not come true within `PATIENCE_S`."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 nobody tells us
            await asyncio.sleep(0.01)
