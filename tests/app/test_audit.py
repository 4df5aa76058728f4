"""``session-platform audit``: what it prints, and the exit status that a script goes by."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest
from typer.testing import CliRunner, Result

from session_platform.app.audit import app
from session_platform.clock import ManualClock
from session_platform.errors import StartError
from session_platform.store.sqlite import SqliteStore
from tests.audit.records import note, sealed

ENVIRONMENT = {"COLUMNS": "200"}


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Where the store of the test lies."""
    return str(tmp_path / "store")


def audit(*arguments: str) -> Result:
    result = CliRunner().invoke(app, [*arguments], env=ENVIRONMENT)
    if isinstance(result.exception, StartError):
        raise result.exception
    return result


def head_of(result: Result) -> str:
    return next(line for line in result.stdout.splitlines() if line.startswith("place ")).split()[-1]


async def test_a_whole_chain_is_status_0_with_its_head_and_its_unsealed_tail(
    store: SqliteStore, clock: ManualClock, data: str
) -> None:
    await sealed(store, clock, 6)
    await note(store, 2)
    result = audit("verify", "--data", data)
    assert result.exit_code == 0
    counts, head, verdict = result.stdout.splitlines()
    assert counts == "6 sealed records, 3 seals, 2 not sealed yet"
    assert head.startswith("place 6 head ")
    assert verdict == "whole"


async def test_a_broken_chain_is_status_1_and_names_the_record(store: SqliteStore, clock: ManualClock, data: str) -> None:
    ids = await sealed(store, clock, 6)
    await store.run(lambda tx: tx.execute("UPDATE audit SET actor = 'x' WHERE place = 4"))
    result = audit("verify", "--data", data)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[1] == f"place 4: record {ids[3]} was changed, or is not the one that was sealed here"
    assert lines[-1] == "BROKEN"
    assert " head " not in result.stdout


async def test_many_breaks_are_counted(store: SqliteStore, clock: ManualClock, data: str) -> None:
    await sealed(store, clock, 60)
    await store.run(lambda tx: tx.execute("UPDATE audit SET actor = 'x'"))
    assert "and 40 more" in audit("verify", "--data", data).stdout.splitlines()


async def test_a_head_that_was_noted_is_found_or_missed(store: SqliteStore, clock: ManualClock, data: str) -> None:
    await sealed(store, clock, 4)
    noted = head_of(audit("verify", "--data", data))
    await sealed(store, clock, 2)
    found = audit("verify", "--data", data, "--head", noted)
    assert (found.exit_code, found.stdout.splitlines()[1]) == (0, "the head given stands at place 4")
    await store.run(lambda tx: tx.execute("DELETE FROM audit WHERE place >= 4"))
    await store.run(lambda tx: tx.execute("DELETE FROM audit_seal WHERE place >= 4"))
    await store.run(lambda tx: tx.execute("UPDATE audit SET place = NULL, link = NULL WHERE place = 3"))
    assert audit("verify", "--data", data).exit_code == 0
    missed = audit("verify", "--data", data, "--head", noted)
    assert missed.exit_code == 1
    assert "without the head that was noted" in missed.stdout


@pytest.mark.parametrize("head", ["x", "00", "0" * 63, "g" * 64])
def test_a_head_that_is_none_is_said(data: str, head: str) -> None:
    with pytest.raises(StartError, match="--head is the 64 hexadecimal digits"):
        audit("verify", "--data", data, "--head", head)


def test_without_a_platform_there_is_nothing_to_verify(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no platform's data"):
        audit("verify", "--data", str(tmp_path))
    assert isinstance(audit("verify", "--file", str(tmp_path / "none")).exception, FileNotFoundError)


async def test_data_of_another_version_are_said_to_be_such(store: SqliteStore, data: str) -> None:
    await store.run(lambda tx: tx.execute("DELETE FROM schema_version WHERE version > 2"))
    with pytest.raises(StartError, match="has schema 2, this session-platform knows"):
        audit("verify", "--data", data)


async def test_an_export_verifies_without_the_store(store: SqliteStore, clock: ManualClock, data: str, tmp_path: Path) -> None:
    await sealed(store, clock, 6)
    await note(store)
    exported = audit("export", "--data", data)
    assert exported.exit_code == 0
    file = tmp_path / "audit.jsonl"
    file.write_bytes(exported.stdout_bytes)
    whole = audit("verify", "--file", str(file))
    assert (whole.exit_code, whole.stdout) == (0, audit("verify", "--data", data).stdout)
    lines = exported.stdout_bytes.splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:3] + lines[4:]))
    broken = audit("verify", "--file", str(file), "--head", head_of(whole))
    assert broken.exit_code == 1
    assert "place 2" not in broken.stdout.splitlines()[0]


async def test_a_part_of_the_time_says_where_it_begins(
    store: SqliteStore, clock: ManualClock, data: str, tmp_path: Path
) -> None:
    await sealed(store, clock, 4)
    clock.advance(3600)
    await sealed(store, clock, 2)
    file = tmp_path / "part.jsonl"
    for since in ("2026-01-15T11:00:00Z", "2026-01-15T12:00:00+01:00", "2026-01-15T11:00"):
        file.write_bytes(audit("export", "--data", data, "--since", since, "--until", "2026-01-16").stdout_bytes)
        result = audit("verify", "--file", str(file))
        assert (result.exit_code, result.stdout.splitlines()[0]) == (
            0,
            "2 sealed records after place 4, 1 seals, 0 not sealed yet",
        )


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize("text", ["yesterday", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_that_is_none_is_said(data: str, option: str, text: str) -> None:
    with pytest.raises(StartError, match=f"{option} is a date or a time"):
        audit("export", "--data", data, option, text)


async def test_fhir_is_one_resource_a_line(store: SqliteStore, clock: ManualClock, data: str) -> None:
    await sealed(store, clock, 4)
    result = audit("export", "--data", data, "--format", "fhir")
    assert [json.loads(line)["resourceType"] for line in result.stdout.splitlines()] == ["AuditEvent"] * 4


async def test_text_that_is_none_is_said_in_a_sentence(store: SqliteStore, clock: ManualClock, data: str) -> None:
    await sealed(store, clock, 4)
    await store.run(lambda tx: tx.execute("UPDATE audit SET actor = CAST(x'ff' AS TEXT) WHERE place = 2"))
    with pytest.raises(StartError, match="holds text that is none"):
        audit("verify", "--data", data)


async def test_a_database_that_is_torn_is_said_in_a_sentence(store: SqliteStore, clock: ManualClock, data: str) -> None:
    await sealed(store, clock, 400)
    await store.close()
    file = Path(data) / "store.db"
    connection = apsw.Connection(str(file))
    pages = [row[0] for row in connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'audit_by_place'")]
    size = connection.pragma("page_size")
    connection.close()
    torn = bytearray(file.read_bytes())
    torn[(pages[0] - 1) * size : pages[0] * size] = b"\xff" * size
    file.write_bytes(torn)
    with pytest.raises(StartError, match="cannot be read"):
        audit("verify", "--data", data)
