"""Between the event loop and the store's threads: bounds, and ends that nobody planned."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from session_platform.clock import ManualClock
from session_platform.errors import Unavailable
from session_platform.ids import IdMint
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore
from session_platform.store.sqlite.batch import BATCH_MAX_S
from session_platform.store.sqlite.writer import WAITING_MAX_JOBS
from tests.store.samples import PATIENCE_S, Command, Gate, effect, effects, make_effects, run_as_one_batch

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
async def store(tmp_path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "data", clock, IdMint())
    await opened.run(make_effects)
    yield opened
    await opened.close()


async def test_slow_commands_do_not_hold_back_the_answers_of_those_before_them(store: SqliteStore, clock: ManualClock) -> None:
    answered = threading.Event()

    def slow(_tx: Tx) -> list[int]:
        clock.advance(2 * BATCH_MAX_S)
        return [1]

    def waits_for_the_first_answer(_tx: Tx) -> list[int]:
        return [2] if answered.wait(PATIENCE_S) else []

    async def first() -> None:
        await store.run(slow)
        answered.set()

    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.entered.wait)
    earlier = asyncio.create_task(first())
    later = asyncio.create_task(store.run(waits_for_the_first_answer))
    await asyncio.sleep(0)
    gate.open()
    await asyncio.gather(holding, earlier)
    assert await later == [2]


async def test_commands_run_in_the_order_in_which_they_were_submitted(store: SqliteStore) -> None:
    commands: dict[str, Command] = {f"{number}": effect(f"{number}", "M1") for number in range(600)}
    assert list((await run_as_one_batch(store, commands, "M1")).values()) == [[number] for number in range(1, 601)]


async def test_a_store_that_stands_still_refuses_what_it_could_never_finish(store: SqliteStore) -> None:
    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.entered.wait)
    running = [asyncio.create_task(store.run(effect(f"{number}"))) for number in range(WAITING_MAX_JOBS)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await store.run(effect("one too many"))
    for task in running[10:]:
        task.cancel()
    gate.open()
    await asyncio.gather(holding, *running[:10])
    assert await store.read(effects) == {f"{number}": 1 for number in range(10)}


class StoppedClock(ManualClock):
    """Fails when asked for the time while ``stopped``."""

    stopped = False

    def now(self) -> datetime:
        if self.stopped:
            raise ArithmeticError("no time")
        return super().now()


async def test_what_fails_outside_of_any_command_fails_its_batch_and_not_the_store(tmp_path: Path) -> None:
    clock = StoppedClock()
    store = await SqliteStore.open(tmp_path / "data", clock, IdMint())
    await store.run(make_effects)
    clock.stopped = True
    commands: dict[str, Command] = {f"{number}": effect(f"{number}") for number in range(3)}
    for command in commands.values():
        with pytest.raises(ArithmeticError):
            await store.run(command)
    clock.stopped = False
    await store.run(effect("after"))
    assert await store.read(effects) == {"after": 1}
    await store.close()


async def test_a_process_that_ends_without_closing_its_store_ends(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from session_platform.clock import SystemClock\nfrom session_platform.ids import IdMint\n"
        "from session_platform.store.sqlite import SqliteStore\nfrom tests.store.samples import effect, make_effects\n"
        "async def main():\n"
        "    store = await SqliteStore.open(Path(sys.argv[1]), SystemClock(), IdMint())\n"
        "    await store.run(make_effects)\n"
        "    await store.run(effect('acknowledged', 'M1'), 'M1')\n"
        "    for number in range(100):\n"
        "        asyncio.ensure_future(store.run(effect(str(number), 'M1'), 'M1'))\n"
        "    await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
    )
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", script, str(tmp_path / "data")],
        cwd=REPOSITORY,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    store = await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint())
    assert (await store.read(effects))["acknowledged"] == 1
    await store.close()
