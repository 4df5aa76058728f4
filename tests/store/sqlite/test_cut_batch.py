"""A batch is cut at every one of its statements: each command is whole or absent, and nothing absent is acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from session_platform.clock import ManualClock
from session_platform.contract import SealedEphemeral
from session_platform.errors import Conflict, Unavailable
from session_platform.ids import IdMint
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore
from tests.store.history import assert_whole
from tests.store.samples import Command, active, effect, effects, emitted, make_effects, run_as_one_batch
from tests.store.sqlite.scissors import Cut, Scissors, scissors


def speaks(name: str) -> Command:
    def command(tx: Tx) -> list[int]:
        tx.emit_ephemeral(active("M1", session_id=name))
        return effect(name, "M1")(tx)

    return command


def refuses(name: str) -> Command:
    def command(tx: Tx) -> list[int]:
        effect(name, "M2")(tx)
        raise Conflict

    return command


def swallows(name: str) -> Command:
    """Takes every error for an answer."""

    def command(tx: Tx) -> list[int]:
        numbers: list[int] = []
        for _ in range(2):
            try:
                numbers += effect(name, "M1")(tx)
            except Exception:
                numbers.append(0)
        return numbers

    return command


def batch_of(run: str) -> dict[str, Command]:
    """Commands by name."""
    return {
        f"{run} first": effect(f"{run} first", "M1"),
        f"{run} on two": effect(f"{run} on two", "M1", "M2"),
        f"{run} refused": refuses(f"{run} refused"),
        f"{run} spoken": speaks(f"{run} spoken"),
        f"{run} swallowed": swallows(f"{run} swallowed"),
        f"{run} silent": effect(f"{run} silent"),
        f"{run} last": effect(f"{run} last", "M2", "M1"),
    }


class Told:
    """What callers and listeners were told so far, to be held against what is in the store."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, list[int]] = {}
        self.heard: list[str] = []

    def hear(self, passing: Sequence[SealedEphemeral]) -> None:
        self.heard += [event.session_id for event in passing]

    async def assert_true_of(self, store: SqliteStore) -> None:
        taken = await store.read(effects)
        assert taken == {
            name: max(1, len(numbers) if "swallowed" in name else 1) for name, numbers in self.acknowledged.items()
        }
        timelines = await store.read(assert_whole)
        by_command: dict[str, list[int]] = {name: [] for name in self.acknowledged}
        for _, seq, name in await store.read(emitted):
            by_command[name].append(seq)
        assert by_command == self.acknowledged
        assert sum(map(len, timelines.values())) == sum(map(len, by_command.values()))
        assert self.heard == [name for name in self.acknowledged if "spoken" in name]


async def cut_once(store: SqliteStore, cutting: Scissors, at: int, told: Told) -> bool:
    """Whether the batch was long enough to be cut there."""
    answers = await run_as_one_batch(store, batch_of(f"{at}"), "M1", "M2", before=partial(cutting.arm, at))
    cutting.disarm()
    unavailable = {name for name, answer in answers.items() if isinstance(answer, Unavailable)}
    for name, answer in answers.items():
        if isinstance(answer, BaseException):
            assert isinstance(answer, Unavailable) or (isinstance(answer, Conflict) and "refused" in name)
        else:
            told.acknowledged[name] = answer
    await told.assert_true_of(store)
    assert (store.trouble() is not None) == bool(unavailable)
    told.acknowledged[f"{at} after"] = await store.run(effect(f"{at} after", "M1"), "M1")
    assert store.trouble() is None
    await told.assert_true_of(store)
    if cutting.statement is None:
        assert unavailable == set()
        return False
    if cutting.statement in {"BEGIN IMMEDIATE", "COMMIT"}:
        assert unavailable == set(answers), "it was nobody's own, and nothing of it may be acknowledged"
    return True


@pytest.mark.parametrize("cut", Cut)
async def test_a_batch_cut_at_any_statement_is_told_truly(tmp_path: Path, cut: Cut) -> None:
    told = Told()
    with scissors(cut) as cutting:
        store = await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint())
        await store.run(make_effects)
        store.on_commit(told.hear)
        at = 1
        while await cut_once(store, cutting, at, told):
            at += 1
        await store.close()
    assert at > 40, "the batch has that many statements"
    again = await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint())
    await told.assert_true_of(again)
    await again.close()


@pytest.mark.parametrize("cut", [Cut.REFUSED, Cut.ROLLED_BACK])
async def test_only_the_command_whose_statement_failed_suffers(tmp_path: Path, cut: Cut) -> None:
    with scissors(cut) as cutting:
        store = await SqliteStore.open(tmp_path / "data", ManualClock(), IdMint())
        await store.run(make_effects)
        at = 2
        while True:
            answers = await run_as_one_batch(store, batch_of(f"{at}"), "M1", "M2", before=partial(cutting.arm, at))
            cutting.disarm()
            if cutting.statement in {None, "COMMIT"}:
                break
            assert sum(isinstance(answer, Unavailable) for answer in answers.values()) <= 1
            at += 1
        await store.close()
    assert cutting.statement == "COMMIT"
