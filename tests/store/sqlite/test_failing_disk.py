"""A full disk, a failing one, a locked database: `Unavailable`, nothing changed, and work goes on without a restart."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import apsw
import pytest

from session_platform.clock import ManualClock
from session_platform.errors import StartError, Unavailable
from session_platform.ids import IdMint
from session_platform.store import Reader, Tx
from session_platform.store.sqlite import SqliteStore
from session_platform.store.sqlite.database import DATABASE_FILE
from tests.store.history import assert_whole
from tests.store.samples import PATIENCE_S, Command, created, effect, effects, emitted, make_effects, run_as_one_batch
from tests.store.sqlite.failing_disk import NAME, Disk, Operation, failing_disk

_MEASURE = "PRAGMA page_count"
_UNLIMITED = "PRAGMA max_page_count = 1073741823"


@pytest.fixture
def disk() -> Iterator[Disk]:
    with failing_disk() as disk:
        yield disk


@pytest.fixture
async def store(tmp_path: Path, disk: Disk) -> AsyncIterator[SqliteStore]:
    opened = await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint(), vfs=NAME)
    await opened.run(make_effects)
    yield opened
    await opened.close()


async def until_ready(store: SqliteStore) -> None:
    """Nobody writes: the store finds out by itself that it can work again."""
    async with asyncio.timeout(PATIENCE_S):
        while store.trouble() is not None:
            await store.read(lambda reader: reader.one("SELECT 1"))


def leaves_room(pages: int) -> Callable[[Tx], None]:
    def command(tx: Tx) -> None:
        count = tx.one(_MEASURE)
        assert count is not None
        tx.one(f"PRAGMA max_page_count = {count[0] + pages}")

    return command


def heavy(name: str, runs: Counter[str]) -> Command:
    """A few pages of events."""

    def command(tx: Tx) -> list[int]:
        runs[name] += 1
        return effect(name)(tx) + [tx.emit(created("M1", session_id=name, intent="x" * 3000)) for _ in range(2)]

    return command


async def test_a_disk_that_is_full_in_mid_batch_costs_only_what_did_not_fit(store: SqliteStore) -> None:
    runs: Counter[str] = Counter()
    await store.run(leaves_room(12))
    answers = await run_as_one_batch(
        store, {f"command {number}": heavy(f"command {number}", runs) for number in range(20)}, "M1"
    )
    fitted = {name: numbers for name, numbers in answers.items() if isinstance(numbers, list)}
    refused = {name for name, answer in answers.items() if isinstance(answer, Unavailable)}
    assert fitted
    assert len(refused) == len(answers) - len(fitted) > 0
    assert max(runs[name] for name in fitted) > 1, "the innocent ran again: SQLite had rolled them back"
    assert await store.read(effects) == dict.fromkeys(fitted, 1)
    assert [name for _, _, name in await store.read(emitted)] == [name for name in fitted for _ in range(2)]
    await store.read(assert_whole)
    trouble = store.trouble()
    assert trouble is not None
    assert "full" in trouble
    await store.run(lambda tx: tx.one(_UNLIMITED))
    fresh = await store.run(heavy("fits now", runs), "M1")
    assert fresh == [2 * len(fitted) + 1, 2 * len(fitted) + 2]
    assert store.trouble() is None
    await store.read(assert_whole)


async def test_a_disk_that_only_the_log_itself_fills_is_no_end(store: SqliteStore, disk: Disk) -> None:
    runs: Counter[str] = Counter()
    for number in range(20):
        await store.run(heavy(f"{number}", runs), "M1")
    disk.fail("log growth", apsw.FullError, stays=True)
    with pytest.raises(Unavailable):
        await store.run(heavy("no room behind the log", runs), "M1")
    await until_ready(store)
    assert await store.run(heavy("room in the log", runs), "M1") == [41, 42]
    await store.read(assert_whole)


async def test_a_full_disk_does_not_stop_reading(store: SqliteStore, disk: Disk) -> None:
    await store.run(effect("before", "M1"), "M1")
    disk.fail("log write", apsw.FullError, stays=True)
    with pytest.raises(Unavailable) as caught:
        await store.run(effect("no room", "M1"), "M1")
    assert caught.value.retryable
    assert await store.read(effects) == {"before": 1}
    disk.mend()
    assert await store.run(effect("after", "M1"), "M1") == [2]


@pytest.mark.parametrize(
    ("operation", "error"), [("log write", apsw.FullError), ("log write", apsw.IOError), ("log sync", apsw.IOError)]
)
@pytest.mark.parametrize("stays", [False, True])
async def test_a_commit_that_fails_anywhere_changes_nothing_not_even_after_a_crash(
    store: SqliteStore, disk: Disk, tmp_path: Path, operation: Operation, error: type[apsw.Error], *, stays: bool
) -> None:
    acknowledged: set[str] = set()
    at = 1
    while True:
        commands = {f"{at} {number}": effect(f"{at} {number}", "M1") for number in range(3)}
        fail = partial(disk.fail, operation, error, at=at, stays=stays)
        answers = await run_as_one_batch(store, commands, "M1", before=fail)
        failures = disk.failures
        disk.mend()
        if stays:
            acknowledged |= await acknowledged_again(store, f"{at} mended")
        acknowledged |= {name for name, answer in answers.items() if isinstance(answer, list)}
        assert {type(answer) for answer in answers.values()} <= {list, Unavailable}
        assert await store.read(effects) == dict.fromkeys(acknowledged, 1)
        await store.read(assert_whole)
        assert await effects_after_a_crash(tmp_path / "data", tmp_path / f"crash {at}") == dict.fromkeys(acknowledged, 1)
        if failures == 0:
            break
        at += 1
    assert at > 1


async def acknowledged_again(store: SqliteStore, name: str) -> set[str]:
    await store.run(effect(name, "M1"), "M1")
    return {name}


async def effects_after_a_crash(directory: Path, copy: Path) -> dict[str, int]:
    """What a start would find if the process died now."""
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*-shm"))
    store = await SqliteStore.open(copy, ManualClock(), IdMint())
    found = await store.read(effects)
    await store.read(assert_whole)
    await store.close()
    return found


async def test_a_failing_disk_is_reported_until_it_works_again_though_nobody_writes(store: SqliteStore, disk: Disk) -> None:
    disk.fail("log sync", apsw.IOError, stays=True)
    with pytest.raises(Unavailable):
        await store.run(effect("lost", "M1"), "M1")
    assert "disk" in (store.trouble() or "")
    disk.mend()
    await until_ready(store)
    assert await store.read(effects) == {}


@pytest.mark.parametrize("operation", ["database write", "database sync"])
async def test_a_checkpoint_that_fails_costs_nothing(
    store: SqliteStore, disk: Disk, tmp_path: Path, operation: Operation
) -> None:
    runs: Counter[str] = Counter()
    names = [f"command {number}" for number in range(400)]
    before = (tmp_path / "data" / DATABASE_FILE).stat().st_size
    disk.fail(operation, apsw.FullError, stays=True)
    for name in names:
        await store.run(heavy(name, runs), "M1")
    assert disk.failures > 0
    assert await store.read(effects) == dict.fromkeys(names, 1)
    assert await effects_after_a_crash(tmp_path / "data", tmp_path / "crash") == dict.fromkeys(names, 1)
    disk.mend()
    await store.run(heavy("mended", runs), "M1")
    await store.run(heavy("after the checkpoint", runs), "M1")
    assert (tmp_path / "data" / DATABASE_FILE).stat().st_size > before
    assert set((await store.read(effects)).values()) == {1}
    await store.read(assert_whole)


async def test_a_read_that_fails_says_so_and_the_next_one_works(store: SqliteStore, disk: Disk) -> None:
    await run_as_one_batch(store, {f"command {number}": heavy(f"command {number}", Counter()) for number in range(50)}, "M1")

    def reads_everything(reader: Reader) -> int:
        return len(reader.all("SELECT full_body FROM outbox"))

    disk.fail("database read", apsw.IOError, stays=True)
    with pytest.raises(Unavailable):
        await store.read(reads_everything)
    assert "disk" in (store.trouble() or "")
    disk.mend()
    assert await store.read(reads_everything) == 100
    assert store.trouble() is None


async def test_a_database_that_another_program_locks_is_unavailable_until_it_lets_go(
    store: SqliteStore, tmp_path: Path
) -> None:
    other = apsw.Connection(str(tmp_path / "data" / DATABASE_FILE), vfs=NAME)
    other.execute("BEGIN IMMEDIATE")
    refusals = await asyncio.gather(*(store.run(effect("locked out", "M1"), "M1") for _ in range(5)), return_exceptions=True)
    assert {type(refusal) for refusal in refusals} == {Unavailable}
    assert "locked" in (store.trouble() or "")
    assert await store.read(effects) == {}, "reading goes on"
    other.execute("ROLLBACK")
    other.close()
    assert await store.run(effect("free again", "M1"), "M1") == [1]
    assert store.trouble() is None


async def test_a_disk_that_is_full_at_the_start_is_one_sentence(tmp_path: Path, disk: Disk) -> None:
    disk.fail("database write", apsw.FullError, stays=True)
    with pytest.raises(StartError) as caught:
        await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint(), vfs=NAME)
    assert "full" in str(caught.value)
    assert "\n" not in str(caught.value)
    disk.mend()
    opened = await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint(), vfs=NAME)
    await opened.close()
