"""A process that writes as fast as it can and says on its output what was acknowledged, until somebody kills it.

``python -m tests.store.sqlite.write_load DIRECTORY RUN``; a line is ``starting``, ``open``, or a command's name and numbers.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

from session_platform.clock import SystemClock
from session_platform.ids import IdMint
from session_platform.store import Tx, idempotency, inbox
from session_platform.store.sqlite import SqliteStore
from tests.store.samples import Command, effect, make_effects

CALLERS = 12
MEMBERS = ("M1", "M2", "M3")
SCOPE = "load"


def say(*words: object) -> None:
    """One line, in one write: a killed process leaves no half line in a pipe."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def answer_of(numbers: list[int]) -> bytes:
    return ",".join(map(str, numbers)).encode()


def loaded(name: str, members: tuple[str, ...], caller: str, number: int) -> Command:
    """State, events, a kept answer and an inbox row: all or nothing."""

    def command(tx: Tx) -> list[int]:
        numbers = effect(name, *members)(tx)
        idempotency.keep(tx, SCOPE, name, b"", 201, answer_of(numbers))
        assert inbox.advance(tx, "load", caller, number)
        return numbers

    return command


async def write(store: SqliteStore, run: str, caller: int) -> None:
    for number in count(1):
        name = f"{run}.{caller}.{number}"
        members = MEMBERS[: 1 + (caller + number) % len(MEMBERS)]
        numbers = await store.run(loaded(name, members, f"{run}.{caller}", number), *members)
        say(name, answer_of(numbers).decode())


async def main(directory: Path, run: str) -> None:
    say("starting")
    store = await SqliteStore.open(directory, SystemClock(), IdMint())
    await store.run(make_effects)
    say("open")
    await asyncio.gather(*(write(store, run, caller) for caller in range(CALLERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
