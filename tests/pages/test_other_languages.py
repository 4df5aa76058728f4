"""The outboxes on docs/backend.md in Go and Ruby keep what the page promises: killed again and again, each committed event
arrives once, a member's in order, and a refused one holds back its member alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from digital_session_producer.outbox import Outbox
from tests.faults.clients import Member, whole_timeline
from tests.pages.page import ROOT, Kind, blocks
from tests.pages.toolchain import program
from tests.running import Running

HERE = Path(__file__).parent / "other_languages"
PAGE = ROOT / "docs/backend.md"
MEMBERS = ("M123456", "M200001", "M200002")
ROUNDS = 4
WITHIN_S = 120


@dataclass(frozen=True)
class Program:
    """A backend in another language: what adds events, and what relays them."""

    add: Sequence[str]
    relay: Sequence[str]
    folder: Path
    environment: Mapping[str, str]

    async def run(self, command: Sequence[str], said: str = "") -> None:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=self.folder, env=dict(self.environment), stdin=PIPE, stderr=PIPE
        )
        _, err = await process.communicate(said.encode())
        assert process.returncode == 0, err.decode()

    @contextlib.asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        """A relay, killed in the end."""
        process = await asyncio.create_subprocess_exec(
            *self.relay, cwd=self.folder, env=dict(self.environment), stderr=asyncio.subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


@pytest.fixture(params=["go", "ruby"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Program:
    language: str = request.param
    folder = tmp_path / language
    shutil.copytree(HERE / language, folder)
    for block in blocks(PAGE):
        if block.kind is Kind.SAVE and block.language == language:
            path = folder / block.name
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)
    tool = await asyncio.to_thread(program, language)
    python = {"PYTHON": sys.executable, "SQLITE": str(HERE / "sqlite.py"), "DATABASE_URL": str(tmp_path / "backend.db")}
    environment = {**os.environ, **python}
    if language == "ruby":
        ruby = (tool, "-W")
        return Program((*ruby, "add.rb"), (*ruby, "relay.rb"), folder, environment)
    built = Program(("./added",), ("./relay",), folder, {**environment, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"})
    await built.run((tool, "vet", "./..."))
    await built.run((tool, "build", "-o", "added", "./add"))
    await built.run((tool, "build", "-o", "relay", "."))
    return built


def database(path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    metadata = MetaData()
    Outbox(metadata, "/scheduling")
    metadata.create_all(engine)
    engine.dispose()


def states(path: Path) -> Mapping[str, list[str]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found: dict[str, list[str]] = defaultdict(list)
        for member, state in connection.execute("SELECT member_id, state FROM digital_session_outbox ORDER BY position"):
            found[member].append(state)
        return found


async def until_settled(path: Path, held: int) -> None:
    """Wait until nothing but ``held`` rows waits."""
    async with asyncio.timeout(WITHIN_S):
        while sum(each.count("waiting") for each in states(path).values()) > held:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)


def plan(member: str, number: int, **more: Any) -> str:
    data = {"member_id": member, "care_plan_id": f"plan-{member}-{number}", **more}
    return json.dumps({"member": member, "data": data, "commit": number % 5 != 4})


async def test_relays_are_killed_and_nothing_is_lost_doubled_or_swapped(backend: Program, tmp_path: Path) -> None:
    path = tmp_path / "backend.db"
    database(path)
    async with Running(tmp_path / "data") as platform:
        environment = {"TOKEN": await platform.token("--service", "scheduling")}
        for file in (backend.folder / "main.go", backend.folder / "usage.rb"):
            if file.exists():
                file.write_text(file.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{platform.port}"))
        if (backend.folder / "main.go").exists():
            await backend.run((await asyncio.to_thread(program, "go"), "build", "-o", "relay", "."))
        backend = Program(backend.add, backend.relay, backend.folder, {**backend.environment, **environment})
        number = 0
        for _ in range(ROUNDS):
            async with backend.relaying(), backend.relaying():
                told = [plan(MEMBERS[each % 3], number + each) for each in range(20)]
                number += len(told)
                await backend.run(backend.add, "\n".join(told))
        poison = [plan("M200001", 1000, no_such_field="x"), plan("M200001", 1001), plan("M200002", 1002)]
        await backend.run(backend.add, "\n".join(poison))
        async with backend.relaying():
            await until_settled(path, held=1)
        committed = {
            member: [each for each in range(number) if each % 20 % 3 == MEMBERS.index(member) and each % 5 != 4]
            for member in MEMBERS
        }
        committed["M200002"].append(1002)
        for member in MEMBERS:
            timeline = await whole_timeline(platform, Member(member, await platform.token("--member", member)))
            arrived = [event["data"]["care_plan_id"] for event in timeline]
            assert arrived == [f"plan-{member}-{each}" for each in committed[member]]
    assert states(path)["M200001"][-2:] == ["refused", "waiting"]


def test_the_table_on_the_page_is_the_producers() -> None:
    """So that relays of several languages may work on one table."""
    (shown,) = [block.text for block in blocks(PAGE) if block.name == "outbox.sql"]
    outbox = Outbox(MetaData(), "/scheduling")
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    table = str(CreateTable(outbox.table).compile(dialect=dialect))
    indexes = sorted(str(CreateIndex(index).compile(dialect=dialect)) for index in outbox.table.indexes)
    assert words("; ".join([table, *reversed(indexes)])) == words(shown)


def words(sql: str) -> list[str]:
    """The statement without its layout, and with a key that stands in the column or behind it."""
    moved = re.sub(r",\s*PRIMARY KEY \(position\)", "", sql).replace("BIGSERIAL NOT NULL", "BIGSERIAL")
    return re.findall(r"\w+|[(),]", moved.replace("BIGSERIAL PRIMARY KEY", "BIGSERIAL"))
