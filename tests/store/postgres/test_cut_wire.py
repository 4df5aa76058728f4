"""The wire to the server is cut at every statement: each command takes effect once and is told so, or is refused and absent."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from session_platform.clock import ManualClock
from session_platform.contract import SealedEphemeral
from session_platform.errors import Conflict, Unavailable
from session_platform.ids import IdMint
from session_platform.store import Tx
from session_platform.store.postgres import PostgresStore
from tests.store.history import assert_whole
from tests.store.postgres.proxy import Cut, Proxy, proxy_to
from tests.store.postgres.waiting import until
from tests.store.samples import Command, active, effect, effects, emitted

SOON_S = 0.4
"""How long these stores wait for a server that is silent."""


def speaks(name: str, *timelines: str) -> Command:
    def command(tx: Tx) -> list[int]:
        tx.emit_ephemeral(active("M1", session_id=name))
        return effect(name, *timelines)(tx)

    return command


class Told:
    """What callers and listeners were told, to be held against what is in the database."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, list[int]] = {}
        self.refused: list[str] = []
        self.heard: list[str] = []

    def hear(self, passing: Sequence[SealedEphemeral]) -> None:
        self.heard += [event.session_id for event in passing]

    async def call(self, store: PostgresStore, name: str, *timelines: str) -> None:
        try:
            self.acknowledged[name] = await store.run(speaks(name, *timelines), *timelines)
        except Unavailable:
            self.refused.append(name)

    async def assert_true_of(self, store: PostgresStore) -> None:
        assert await store.read(effects) == dict.fromkeys(self.acknowledged, 1)
        await store.read(assert_whole)
        told: dict[str, list[int]] = {name: [] for name in self.acknowledged}
        for _, seq, name in await store.read(emitted):
            told[name].append(seq)
        assert {name: sorted(seqs) for name, seqs in told.items()} == {
            name: sorted(seqs) for name, seqs in self.acknowledged.items()
        }
        assert sorted(self.heard) == sorted(self.acknowledged)


async def through(proxy: Proxy, told: Told) -> PostgresStore:
    opened = await PostgresStore.open(proxy.url, ManualClock(), IdMint(), answer_max_s=SOON_S)
    opened.on_commit(told.hear)
    return opened


@pytest.mark.parametrize("cut", Cut)
async def test_a_command_cut_at_any_statement_is_told_truly(store: PostgresStore, url: str, cut: Cut) -> None:
    told = Told()
    async with proxy_to(url) as proxy:
        behind = await through(proxy, told)
        at = 0
        while at == 0 or proxy.cuts:
            at += 1
            proxy.arm(cut, at)
            await told.call(behind, f"{at}", "M1", "M2")
            cuts = proxy.cuts
            proxy.disarm()
            await told.assert_true_of(store)
            await told.call(behind, f"{at} after", "M2")
            assert (f"{at} after" in told.acknowledged, cuts) == (True, proxy.cuts)
        await told.assert_true_of(store)
        await behind.close()
    assert at > 8, "the command has that many statements"
    assert told.refused == [], "one lost connection is made up for"


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.SENT, Cut.DONE])
async def test_a_command_refused_by_its_rule_stays_refused_wherever_it_is_cut(store: PostgresStore, url: str, cut: Cut) -> None:
    def refuses(tx: Tx) -> None:
        effect("never", "M1")(tx)
        raise Conflict

    async with proxy_to(url) as proxy:
        behind = await through(proxy, Told())
        at = 0
        while at == 0 or proxy.cuts:
            at += 1
            proxy.arm(cut, at)
            with pytest.raises(Conflict):
                await behind.run(refuses, "M1")
        await behind.close()
    assert await store.read(effects) == {}


@pytest.mark.parametrize("cut", [Cut.BEFORE, Cut.SENT, Cut.DONE])
async def test_a_query_is_answered_wherever_it_is_cut(store: PostgresStore, url: str, cut: Cut) -> None:
    await store.run(effect("there"))
    async with proxy_to(url) as proxy:
        behind = await through(proxy, Told())
        at = 0
        while at == 0 or proxy.cuts:
            at += 1
            proxy.arm(cut, at)
            assert await behind.read(effects) == {"there": 1}
        await behind.close()


@pytest.mark.parametrize("seed", range(3))
async def test_many_callers_over_a_wire_that_is_cut_again_and_again_are_told_truly(
    store: PostgresStore, url: str, seed: int
) -> None:
    dice = random.Random(seed)
    told = Told()
    async with proxy_to(url) as proxy:
        behind = await through(proxy, told)

        async def caller(number: int) -> None:
            for step in range(8):
                proxy.arm(dice.choice([Cut.BEFORE, Cut.SENT, Cut.DONE]), *(dice.randrange(1, 60) for _ in range(3)))
                timelines = dice.sample(["M1", "M2", "M3", "M4"], dice.randrange(1, 4))
                await told.call(behind, f"{number}.{step}", *timelines)

        await asyncio.gather(*(caller(number) for number in range(8)))
        proxy.disarm()
        await behind.close()
    await told.assert_true_of(store)
    assert len(told.acknowledged) > 32


async def test_a_server_that_is_away_is_said_so_and_met_again(store: PostgresStore, url: str) -> None:
    told = Told()
    async with proxy_to(url) as proxy:
        behind = await through(proxy, told)
        await told.call(behind, "before", "M1")
        proxy.refuse(True)
        proxy.arm(Cut.BEFORE, 1)
        await told.call(behind, "lost", "M1")
        assert told.refused == ["lost"]
        assert "SESSION_PLATFORM_DATABASE_URL" in (behind.trouble() or "")
        await told.call(behind, "at once", "M2")
        assert told.refused == ["lost", "at once"]
        proxy.refuse(False)
        await until(lambda: behind.trouble() is None)
        await told.call(behind, "after", "M1")
        await behind.close()
    await told.assert_true_of(store)
    assert list(told.acknowledged) == ["before", "after"]


@pytest.mark.parametrize(("cut", "effect_took_place"), [(Cut.BEFORE, False), (Cut.DONE, True)])
async def test_while_a_commit_is_in_doubt_its_caller_is_told_nothing(
    store: PostgresStore, url: str, cut: Cut, effect_took_place: bool
) -> None:
    """Nobody knows what became of it, and a guess would be a lie half of the time."""
    told = Told()
    async with proxy_to(url) as proxy:
        behind = await through(proxy, told)
        await told.call(behind, "before", "M1")
        proxy.arm_commit(cut)
        doubtful = asyncio.create_task(told.call(behind, "doubtful", "M1"))
        await until(lambda: proxy.refused > 0)
        assert ("doubtful" in await store.read(effects)) == effect_took_place
        assert not doubtful.done()
        proxy.refuse(False)
        await doubtful
        await behind.close()
    await told.assert_true_of(store)
    assert "doubtful" in told.acknowledged
