"""One question at a time, whoever asks and whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from session_platform.clock import ManualClock
from session_platform.eligibility import Answered, Unanswered, checks, free_checks
from session_platform.eligibility.checks import Question
from session_platform.eligibility.joining import ABANDONED_MARGIN_S, Ask, Joining, Settled
from session_platform.errors import Unavailable
from session_platform.store.port import Reader, Tx
from session_platform.store.sqlite import SqliteStore

FOREVER_S = 1_000_000.0
OFTEN_S = 0.001
TIMEOUT_S = 30.0


def question(task: str = "task_1", account: str = "A1", payer: str = "P1") -> Question:
    return Question(task, account, payer)


def process(store: SqliteStore, clock: ManualClock, look_again_s: float = OFTEN_S) -> Joining:
    """What one process has: two of them share nothing but the store."""
    return Joining(store, clock, attempt_timeout_s=TIMEOUT_S, look_again_s=look_again_s)


class Payer:
    """Answers when the test lets it."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self.times = 0
        self._replies: asyncio.Queue[Answered | Unanswered] = asyncio.Queue()

    async def ask(self, within_s: float) -> Answered | Unanswered:
        self.times += 1
        self.asked.put_nowait(within_s)
        return await self._replies.get()

    def reply(self, reply: Answered | Unanswered) -> None:
        self._replies.put_nowait(reply)


async def never(_within_s: float) -> Answered | Unanswered:
    raise AssertionError("the payer was asked twice")


async def at_once(_within_s: float) -> Answered:
    return Answered(b"own")


async def until_waiting(store: SqliteStore, waiting: asyncio.Task[object]) -> None:
    """Until ``waiting`` has nothing to do but wait: the store has worked off what it asked."""
    for _ in range(5):
        await store.read(lambda _reader: None)
        await store.run(lambda _tx: None)
    assert not waiting.done()


def body(reply: Settled | Unanswered) -> bytes:
    assert isinstance(reply, Settled)
    return reply.body


async def running(store: SqliteStore) -> list[str]:
    sql = "SELECT task_id FROM eligibility_check WHERE ended_at IS NULL"
    return [row[0] for row in await store.read(lambda reader: reader.all(sql))]


# ---------------------------------------------------------------------------------------------------------------------- joining


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_second_question_gets_the_firsts_answer(store: SqliteStore, clock: ManualClock, elsewhere: bool) -> None:
    first = process(store, clock, FOREVER_S)
    second = process(store, clock) if elsewhere else first
    payer = Payer()
    asking = asyncio.create_task(first.settle(question(), payer.ask))
    await payer.asked.get()
    joining = asyncio.create_task(second.settle(question("task_2"), never))
    await until_waiting(store, joining)
    payer.reply(Answered(b"theirs"))
    assert body(await asking) == body(await joining) == b"theirs"
    assert await running(store) == []


async def test_joined_answers_name_the_same_check_and_moment(store: SqliteStore, clock: ManualClock) -> None:
    joining, payer = process(store, clock), Payer()
    asking = asyncio.create_task(joining.settle(question(), payer.ask))
    await payer.asked.get()
    waiting = asyncio.create_task(joining.settle(question("task_2"), never))
    await until_waiting(store, waiting)
    clock.advance(3)
    payer.reply(Answered(b"theirs"))
    own, joined = await asking, await waiting
    assert isinstance(own, Settled)
    assert isinstance(joined, Settled)
    assert (own.joined, joined.joined) == (False, True)
    assert joined == own._replace(joined=True)


async def test_another_account_or_payer_is_another_question(store: SqliteStore, clock: ManualClock) -> None:
    joining, payer = process(store, clock), Payer()
    asking = asyncio.create_task(joining.settle(question(), payer.ask))
    await payer.asked.get()
    assert body(await joining.settle(question("task_2", account="A2"), at_once)) == b"own"
    assert body(await joining.settle(question("task_3", payer="P2"), at_once)) == b"own"
    payer.reply(Answered(b"theirs"))
    await asking


async def test_a_later_question_asks_anew(store: SqliteStore, clock: ManualClock) -> None:
    joining = process(store, clock)
    first = await joining.settle(question(), at_once)
    second = await joining.settle(question("task_2"), at_once)
    assert isinstance(first, Settled)
    assert isinstance(second, Settled)
    assert first.check_id != second.check_id


async def test_of_many_at_once_in_several_processes_one_asks(store: SqliteStore, clock: ManualClock) -> None:
    payer = Payer()
    processes = [process(store, clock) for _ in range(4)]
    all_of_them = [asyncio.create_task(processes[n % 4].settle(question(f"task_{n}"), payer.ask)) for n in range(20)]
    await payer.asked.get()
    for task in all_of_them[-1:]:
        await until_waiting(store, task)
    payer.reply(Answered(b"theirs"))
    assert {body(reply) for reply in await asyncio.gather(*all_of_them)} == {b"theirs"}
    assert payer.times == 1


class Overtaken:
    """A transaction in whose very moment somebody else starts a check, and perhaps ends it: so it looks where commands of
    several processes interleave within one account."""

    def __init__(self, tx: Tx, *, still_runs: bool) -> None:
        self._tx = tx
        self._looks = iter([None, ("chk_theirs", "task_9", 0) if still_runs else None])
        self.now = tx.now
        self.mint = tx.mint

    def one(self, _sql: str, /, **_params: object) -> object:
        return next(self._looks)

    def execute(self, _sql: str, /, **_params: object) -> int:
        return 0


async def test_who_is_overtaken_at_the_start_joins_the_other_or_begins_again(store: SqliteStore) -> None:
    def begin(tx: Tx, still_runs: bool) -> checks.Place | None:
        return checks.begin(Overtaken(tx, still_runs=still_runs), question(), 1)  # type: ignore[arg-type]

    assert await store.run(partial(begin, still_runs=True)) == checks.Place("chk_theirs", mine=False)
    assert await store.run(partial(begin, still_runs=False)) is None


async def test_a_question_begins_again_until_it_has_its_place(store: SqliteStore, clock: ManualClock) -> None:
    class OnceOvertaken:
        def __init__(self) -> None:
            self.commands = 0

        async def run(self, command: Callable[[Tx], object], /, *timelines: str) -> object:
            self.commands += 1
            return None if self.commands == 1 else await store.run(command, *timelines)

    joining = Joining(OnceOvertaken(), clock, attempt_timeout_s=TIMEOUT_S, look_again_s=OFTEN_S)  # type: ignore[arg-type]
    assert body(await joining.settle(question(), at_once)) == b"own"


# ------------------------------------------------------------------------------------------------------------------ taking over


async def test_who_waited_for_a_failure_asks_for_itself(store: SqliteStore, clock: ManualClock) -> None:
    joining, payer = process(store, clock, FOREVER_S), Payer()
    asking = asyncio.create_task(joining.settle(question(), payer.ask))
    await payer.asked.get()
    waiting = asyncio.create_task(joining.settle(question("task_2"), payer.ask))
    await until_waiting(store, waiting)
    clock.advance(20)
    payer.reply(Unanswered("payer_timeout"))
    assert await asking == Unanswered("payer_timeout")
    assert await payer.asked.get() == TIMEOUT_S - 20
    payer.reply(Answered(b"own"))
    assert body(await waiting) == b"own"


async def test_a_cancelled_asker_leaves_the_question_to_the_others(store: SqliteStore, clock: ManualClock) -> None:
    joining, payer = process(store, clock, FOREVER_S), Payer()
    asking = asyncio.create_task(joining.settle(question(), payer.ask))
    await payer.asked.get()
    waiting = asyncio.create_task(joining.settle(question("task_2"), at_once))
    await until_waiting(store, waiting)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert body(await waiting) == b"own"


async def test_a_task_takes_over_the_row_of_its_own_dead_worker(store: SqliteStore, clock: ManualClock) -> None:
    await die_asking(store, clock)
    assert body(await process(store, clock).settle(question(), at_once)) == b"own"


async def test_who_waited_for_the_dead_joins_the_one_that_took_over(store: SqliteStore, clock: ManualClock) -> None:
    await die_asking(store, clock)
    waiting = asyncio.create_task(process(store, clock).settle(question("task_2"), never))
    await until_waiting(store, waiting)
    payer = Payer()
    again = asyncio.create_task(process(store, clock).settle(question(), payer.ask))
    await payer.asked.get()
    for _ in range(20):  # long enough to look again: who looks only after the answer asks anew, and may
        await until_waiting(store, waiting)
    payer.reply(Answered(b"theirs"))
    assert body(await again) == body(await waiting) == b"theirs"


async def test_a_zombies_answer_changes_nothing_for_those_who_joined_its_successor(
    store: SqliteStore, clock: ManualClock
) -> None:
    zombie, successor = Payer(), Payer()
    old = asyncio.create_task(process(store, clock).settle(question(), zombie.ask))
    await zombie.asked.get()
    new = asyncio.create_task(process(store, clock).settle(question(), successor.ask))
    await successor.asked.get()
    waiting = asyncio.create_task(process(store, clock).settle(question("task_2"), never))
    await until_waiting(store, waiting)
    zombie.reply(Unanswered("payer_timeout"))
    await old
    await until_waiting(store, waiting)
    successor.reply(Answered(b"theirs"))
    assert body(await new) == body(await waiting) == b"theirs"


async def test_a_start_that_frees_the_checks_frees_those_who_wait(store: SqliteStore, clock: ManualClock) -> None:
    await die_asking(store, clock)
    waiting = asyncio.create_task(process(store, clock).settle(question("task_2"), at_once))
    await until_waiting(store, waiting)
    assert await store.run(free_checks) == 1
    assert body(await waiting) == b"own"
    assert await store.run(free_checks) == 0


async def test_a_check_that_nobody_can_still_be_working_on_is_taken_over(store: SqliteStore, clock: ManualClock) -> None:
    await die_asking(store, clock)
    clock.advance(TIMEOUT_S + ABANDONED_MARGIN_S)
    waiting = asyncio.create_task(process(store, clock).settle(question("task_2"), at_once))
    await until_waiting(store, waiting)
    clock.advance(1)
    assert body(await waiting) == b"own"


async def test_waiting_for_somebody_else_ends_with_the_attempts_time(store: SqliteStore, clock: ManualClock) -> None:
    await die_asking(store, clock)
    waiting = asyncio.create_task(process(store, clock).settle(question("task_2"), never))
    await until_waiting(store, waiting)
    clock.advance(TIMEOUT_S)
    assert await waiting == Unanswered("payer_timeout")


async def test_when_the_store_goes_away_under_the_asker_its_task_may_run_again(store: SqliteStore, clock: ManualClock) -> None:
    class Failing:
        """The store, away from the second command on."""

        def __init__(self) -> None:
            self.commands = 0

        async def run(self, command: Callable[[Tx], object], /, *timelines: str) -> object:
            self.commands += 1
            if self.commands > 1:
                raise Unavailable
            return await store.run(command, *timelines)

        async def read(self, query: Callable[[Reader], object], /) -> object:
            return await store.read(query)

    broken = Joining(Failing(), clock, attempt_timeout_s=TIMEOUT_S, look_again_s=OFTEN_S)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await broken.settle(question(), at_once)
    assert await running(store) == ["task_1"]
    assert body(await process(store, clock).settle(question(), at_once)) == b"own"
    assert await running(store) == []


async def die_asking(store: SqliteStore, clock: ManualClock) -> None:
    """A worker of task_1 starts to ask; then its process is gone without a trace but the row."""
    place = await store.run(partial(checks.begin, question=question(), abandoned_after_us=1))
    assert place is not None
    assert place.mine


async def test_asking_is_within_the_attempts_time(store: SqliteStore, clock: ManualClock) -> None:
    within: list[float] = []

    async def ask(within_s: float) -> Answered:
        within.append(within_s)
        return Answered(b"own")

    asked: Ask = ask
    await process(store, clock).settle(question(), asked)
    assert within == [TIMEOUT_S]
