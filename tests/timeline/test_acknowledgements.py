"""Acknowledgements: kept per device, never going back, whatever comes twice or late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from session_platform.contract import SealedEphemeral
from session_platform.errors import Unavailable
from session_platform.store import Position, Reader, Store, Tx
from session_platform.store.sqlite import SqliteStore
from session_platform.timeline import Acknowledgements
from tests.timeline.events import TIMELINE

R = TypeVar("R")


class FailingStore:
    """A store whose next commands fail, as on a full disk, or stand still until they are let go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failing = False
        self.commands = 0
        self.begun: asyncio.Queue[None] = asyncio.Queue()
        self.gate = asyncio.Event()
        self.gate.set()

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        self.commands += 1
        self.begun.put_nowait(None)
        await self.gate.wait()
        if self.failing:
            raise Unavailable
        return await self._store.run(command, *timelines, traceparent=traceparent)

    async def read(self, query: Callable[[Reader], R], /) -> R:
        return await self._store.read(query)

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        self._store.on_commit(callback)

    def trouble(self) -> str | None:
        return self._store.trouble()

    async def close(self) -> None:
        await self._store.close()


@pytest.fixture
def failing(store: SqliteStore) -> FailingStore:
    return FailingStore(store)


async def latest(store: Store, acknowledgements: Acknowledgements, device: str = "phone") -> Position | None:
    return await store.read(lambda reader: acknowledgements.latest(reader, "user", device, TIMELINE))


async def test_a_noted_position_is_the_latest_at_once_and_after_a_restart(store: SqliteStore) -> None:
    acknowledgements = Acknowledgements(store)
    assert await latest(store, acknowledgements) is None
    acknowledgements.note("user", "phone", TIMELINE, Position(1, 4, 44))
    assert await latest(store, acknowledgements) == Position(1, 4, 44)
    assert await latest(store, Acknowledgements(store)) is None
    await acknowledgements.flush()
    assert await latest(store, Acknowledgements(store)) == Position(1, 4, 44)


async def test_devices_subjects_and_timelines_are_apart(store: SqliteStore) -> None:
    acknowledgements = Acknowledgements(store)
    acknowledgements.note("user", "phone", TIMELINE, Position(1, 4, 44))
    acknowledgements.note("user", "watch", TIMELINE, Position(1, 2, 22))
    acknowledgements.note("other", "phone", TIMELINE, Position(1, 9, 99))
    acknowledgements.note("user", "phone", "M200001", Position(1, 8, 88))
    await acknowledgements.flush()
    assert await latest(store, acknowledgements) == Position(1, 4, 44)
    assert await latest(store, acknowledgements, "watch") == Position(1, 2, 22)


@pytest.mark.parametrize("flush_between", [True, False])
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Position(1, 4, 44), Position(1, 3, 33), Position(1, 4, 44)),
        (Position(1, 4, 44), Position(1, 5, 55), Position(1, 5, 55)),
        (Position(1, 4, 44), Position(1, 4, 44), Position(1, 4, 44)),
        (Position(1, 9, 99), Position(2, 3, 33), Position(2, 3, 33)),
        (Position(2, 3, 33), Position(1, 9, 99), Position(2, 3, 33)),
    ],
)
async def test_a_position_never_goes_back(
    store: SqliteStore, flush_between: bool, first: Position, second: Position, expected: Position
) -> None:
    before = Acknowledgements(store)
    before.note("user", "phone", TIMELINE, first)
    if flush_between:
        await before.flush()
    after = Acknowledgements(store) if flush_between else before
    after.note("user", "phone", TIMELINE, second)
    assert await latest(store, after) == expected
    await after.flush()
    assert await latest(store, Acknowledgements(store)) == expected


async def test_a_flush_is_one_command_and_none_when_nothing_was_noted(failing: FailingStore) -> None:
    acknowledgements = Acknowledgements(failing)
    for device in range(20):
        acknowledgements.note("user", f"device-{device}", TIMELINE, Position(1, 1, 1))
    await acknowledgements.flush()
    await acknowledgements.flush()
    assert failing.commands == 1


async def test_what_could_not_be_written_is_written_by_the_next_flush(failing: FailingStore) -> None:
    acknowledgements = Acknowledgements(failing)
    acknowledgements.note("user", "phone", TIMELINE, Position(1, 4, 44))
    failing.failing = True
    with pytest.raises(Unavailable):
        await acknowledgements.flush()
    acknowledgements.note("user", "phone", TIMELINE, Position(1, 2, 22))
    failing.failing = False
    await acknowledgements.flush()
    assert await latest(failing, Acknowledgements(failing)) == Position(1, 4, 44)


async def test_what_is_noted_during_a_flush_is_neither_lost_nor_hidden(failing: FailingStore) -> None:
    acknowledgements = Acknowledgements(failing)
    acknowledgements.note("user", "phone", TIMELINE, Position(1, 4, 44))
    acknowledgements.note("user", "watch", TIMELINE, Position(1, 1, 11))
    failing.gate.clear()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(acknowledgements.flush())
        tasks.create_task(acknowledgements.flush())
        for _ in range(2):
            await failing.begun.get()
        acknowledgements.note("user", "phone", TIMELINE, Position(1, 6, 66))
        failing.gate.set()
    assert await latest(failing, acknowledgements) == Position(1, 6, 66)
    await acknowledgements.flush()
    assert await latest(failing, Acknowledgements(failing)) == Position(1, 6, 66)
    assert await latest(failing, Acknowledgements(failing), "watch") == Position(1, 1, 11)
