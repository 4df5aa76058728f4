"""A data directory is one process's, and its database is whole, ours and of a known version, or one sentence says why not."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from session_platform.clock import ManualClock
from session_platform.errors import StartError
from session_platform.ids import IdMint
from session_platform.store import outbox
from session_platform.store.sqlite import SqliteStore, snapshot
from session_platform.store.sqlite.database import DATABASE_FILE, SETTINGS, connect, migrations
from tests.store.history import assert_whole
from tests.store.samples import effect, effects, make_effects, started

REPOSITORY = Path(__file__).parents[3]


async def opened(directory: Path) -> SqliteStore:
    return await SqliteStore.open(directory, ManualClock(), IdMint())


async def refusal(directory: Path) -> str:
    with pytest.raises(StartError) as caught:
        await opened(directory)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """A store that was used and closed."""
    store = await opened(tmp_path / "data")
    await store.run(make_effects)
    for number in range(20):
        await store.run(effect(f"before {number}", "M1"), "M1")
    await store.close()
    return tmp_path / "data"


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the store of ``tmp_path / "data"`` until its input ends."""
    script = (
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from session_platform.clock import SystemClock\nfrom session_platform.ids import IdMint\n"
        "from session_platform.store.sqlite import SqliteStore\n"
        "async def main():\n"
        "    store = await SqliteStore.open(Path(sys.argv[1]), SystemClock(), IdMint())\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "data")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


async def test_every_connection_has_the_settings_that_durability_needs(directory: Path) -> None:
    store = await opened(directory)
    for read_only in (False, True):
        connection = connect(directory, None, read_only=read_only)
        assert {name: connection.pragma(name) for name in SETTINGS} == SETTINGS
        connection.close()
    seen = await store.run(lambda tx: [tx.one("PRAGMA journal_mode"), tx.one("PRAGMA synchronous"), tx.one("PRAGMA fullfsync")])
    assert seen == [("wal",), (2,), (1,)]
    await store.close()


async def test_a_second_store_in_the_same_process_is_refused(directory: Path) -> None:
    store = await opened(directory)
    assert str(directory) in await refusal(directory)
    assert await store.run(effect("still works", "M1"), "M1") == [21]
    await store.close()
    await (await opened(directory)).close()


async def test_another_process_keeps_a_second_one_out_until_it_dies(
    tmp_path: Path, other_process: subprocess.Popen[str]
) -> None:
    message = await refusal(tmp_path / "data")
    assert str(tmp_path / "data") in message
    assert "in use" in message
    other_process.kill()
    other_process.wait()
    await (await opened(tmp_path / "data")).close()


async def test_readers_of_other_processes_are_not_kept_out(directory: Path) -> None:
    store = await opened(directory)
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from session_platform.store import outbox\nfrom session_platform.store.sqlite import snapshot\n"
        "with snapshot(Path(sys.argv[1])) as reader:\n"
        "    print(outbox.head(reader, 'M1').last.seq)\n"
    )
    await store.run(effect("unseen so far", "M1"), "M1")
    count = await asyncio.to_thread(subprocess.check_output, [sys.executable, "-c", script, str(directory)], text=True)
    assert count == "21\n"
    assert await store.run(effect("goes on", "M1"), "M1") == [22]
    await store.close()


async def test_a_snapshot_needs_a_database(directory: Path, tmp_path: Path) -> None:
    with snapshot(directory) as reader:
        assert outbox.head(reader, "M1").last.seq == 20
    with pytest.raises(StartError, match="empty"), snapshot(tmp_path / "empty"):
        pass
    (directory / DATABASE_FILE).write_bytes(b"not a database" * 1000)
    with pytest.raises(StartError, match="data"), snapshot(directory):
        pass
    assert not (tmp_path / "empty").exists()


async def test_only_the_owner_can_read_what_is_created(tmp_path: Path) -> None:
    store = await opened(tmp_path / "data")
    await store.run(make_effects)
    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()}
    assert DATABASE_FILE in modes
    assert (tmp_path / "data").stat().st_mode & 0o077 == 0
    assert set(modes.values()) == {0}
    await store.close()


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in await refusal(tmp_path / "file" / "data")
    assert str(tmp_path / "file") in await refusal(tmp_path / "file")


@pytest.mark.parametrize("kept_share", [0.0, 0.01, 0.5, 0.99])
async def test_a_torn_database_is_reported_and_left_as_it_is(directory: Path, kept_share: float) -> None:
    path = directory / DATABASE_FILE
    torn = path.read_bytes()[: int(path.stat().st_size * kept_share)]
    path.write_bytes(torn)
    for _ in range(2):
        assert str(path) in await refusal(directory)
        assert path.read_bytes() == torn


@pytest.mark.parametrize("content", [b"not a database\n" * 1000, b"\0" * 8192])
async def test_a_file_that_is_no_database_is_reported_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_FILE).write_bytes(content)
    assert str(tmp_path / DATABASE_FILE) in await refusal(tmp_path)
    assert (tmp_path / DATABASE_FILE).read_bytes() == content


async def test_garbage_in_the_middle_is_found(directory: Path) -> None:
    path = directory / DATABASE_FILE
    whole = path.read_bytes()
    page = 4096
    for number in range(1, len(whole) // page):
        if whole[number * page] != 0:
            path.write_bytes(whole[: number * page] + b"\xff" * page + whole[(number + 1) * page :])
            assert "damaged" in await refusal(directory)


async def test_a_database_of_another_program_is_reported_and_left_as_it_is(tmp_path: Path) -> None:
    connection = apsw.Connection(str(tmp_path / DATABASE_FILE))
    connection.execute("CREATE TABLE address (name TEXT)")
    connection.close()
    before = (tmp_path / DATABASE_FILE).read_bytes()
    assert "another program" in await refusal(tmp_path)
    assert (tmp_path / DATABASE_FILE).read_bytes() == before


async def test_a_log_without_its_database_is_reported(directory: Path) -> None:
    (directory / DATABASE_FILE).rename(directory / f"{DATABASE_FILE}-wal")
    assert str(directory / DATABASE_FILE) in await refusal(directory)
    assert not (directory / DATABASE_FILE).exists()


async def test_a_newer_schema_is_refused(directory: Path) -> None:
    connection = apsw.Connection(str(directory / DATABASE_FILE))
    connection.execute("INSERT INTO schema_version (version, name) VALUES (999, 'from the future')")
    connection.close()
    message = await refusal(directory)
    assert "999" in message
    assert f"knows {len(migrations())}" in message


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [name[:5] for name, _ in migrations()] == [f"{number:04d}_" for number in range(1, len(migrations()) + 1)]


async def test_each_migration_is_a_row_and_runs_once(directory: Path) -> None:
    for _ in range(2):
        store = await opened(directory)
        rows = await store.read(lambda reader: reader.all("SELECT version, name FROM schema_version ORDER BY version"))
        assert rows == [(number, name) for number, (name, _) in enumerate(migrations(), start=1)]
        await store.close()


async def test_a_creation_that_was_killed_half_way_begins_anew(tmp_path: Path, directory: Path) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    half = (directory / DATABASE_FILE).read_bytes()[:5000]
    for name in ("store.db.new", "store.db.new-journal"):
        (fresh / name).write_bytes(half)
    store = await opened(fresh)
    assert await store.run(lambda tx: tx.emit(started("M1")), "M1") == 1
    await store.close()
    assert sorted(path.name for path in fresh.iterdir()) == ["lock", DATABASE_FILE]


async def test_a_locked_database_cannot_be_opened_and_says_so(directory: Path) -> None:
    other = apsw.Connection(str(directory / DATABASE_FILE))
    other.pragma("locking_mode", "exclusive")
    other.execute("BEGIN EXCLUSIVE")
    assert "locked" in await refusal(directory)
    other.execute("ROLLBACK")
    other.close()
    await (await opened(directory)).close()


async def test_a_refused_start_lets_go_of_the_directory(directory: Path) -> None:
    path = directory / DATABASE_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    await refusal(directory)
    path.write_bytes(whole)
    store = await opened(directory)
    assert len(await store.read(effects)) == 20
    await store.close()


async def test_a_copied_directory_is_a_store_of_its_own(directory: Path, tmp_path: Path) -> None:
    store = await opened(directory)
    shutil.copytree(directory, tmp_path / "copy")
    copy = await opened(tmp_path / "copy")
    await copy.run(effect("in the copy", "M1"), "M1")
    await store.run(effect("in the first", "M1"), "M1")
    heads = [await each.read(lambda reader: outbox.head(reader, "M1")) for each in (store, copy)]
    assert heads[0].last.seq == heads[1].last.seq == 21
    assert heads[0].last.tag != heads[1].last.tag
    for each in (store, copy):
        await each.read(assert_whole)
        await each.close()
