"""kill -9 in the middle of a write load, again and again: what was acknowledged is there, once, and nothing is half there.

``CHAOS_ROUNDS`` says how often.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from session_platform.clock import SystemClock
from session_platform.ids import IdMint
from session_platform.store import Reader
from session_platform.store.sqlite import SqliteStore
from tests.store.history import assert_whole
from tests.store.samples import effects, emitted, make_effects
from tests.store.sqlite.write_load import answer_of

REPOSITORY = Path(__file__).parents[3]
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "6"))
LINES_BEFORE_THE_KILL = 1500


def acknowledged_until_killed(directory: Path, run: str, lines: int) -> dict[str, str]:
    """Let a process write and kill it after so many lines of its output: the numbers of each command that it acknowledged."""
    heard: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.sqlite.write_load", str(directory), run],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            heard.append(line)
            if len(heard) == lines:
                process.kill()
        assert process.wait() == -9
    return dict(line.split() for line in heard if line not in {"starting\n", "open\n"})


def kept_answers(reader: Reader) -> dict[str, bytes]:
    return {key: answer for key, answer in reader.all("SELECT key, answer FROM idempotency")}


def inbox_rows(reader: Reader) -> dict[str, int]:
    return {timeline: seq for timeline, seq in reader.all("SELECT timeline, seq FROM inbox")}


async def check(directory: Path, acknowledged: dict[str, str]) -> None:
    """Open what the killed process left, and hold it against what it acknowledged."""
    store = await SqliteStore.open(directory, SystemClock(), IdMint())
    await store.run(make_effects)
    taken = await store.read(effects)
    await store.read(assert_whole)
    numbers: dict[str, list[int]] = defaultdict(list)
    for _, seq, name in await store.read(emitted):
        numbers[name].append(seq)
    answers = await store.read(kept_answers)
    handled = await store.read(inbox_rows)
    await store.close()
    assert set(taken.values()) <= {1}, "once"
    assert acknowledged.keys() <= taken.keys(), "what was acknowledged is there"
    for name, told in acknowledged.items():
        assert answer_of(numbers[name]).decode() == told
    assert taken.keys() == numbers.keys() == answers.keys(), "nothing is half there"
    assert {name: answer_of(seqs) for name, seqs in numbers.items()} == answers
    begun: dict[str, int] = defaultdict(int)
    for name in taken:
        run_and_caller, number = name.rsplit(".", 1)
        begun[run_and_caller] = max(begun[run_and_caller], int(number))
    assert handled == begun


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    dice = random.Random(20260115)
    acknowledged: dict[str, str] = {}
    for run in range(ROUNDS):
        # Line 1 is before the store opens, line 2 before the first command.
        lines = 1 if run % 10 == 2 else dice.randint(2, LINES_BEFORE_THE_KILL)
        acknowledged |= await asyncio.to_thread(acknowledged_until_killed, tmp_path / "data", f"run{run}", lines)
        await check(tmp_path / "data", acknowledged)
    assert len(acknowledged) > ROUNDS
