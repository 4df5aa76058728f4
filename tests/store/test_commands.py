"""What a command may rely on, whichever database stands behind the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from session_platform.clock import ManualClock
from session_platform.contract import EVENT_MAX_BYTES, SealedEphemeral
from session_platform.errors import Conflict, Unavailable
from session_platform.store import GENESIS, Reader, Store, Tx, outbox
from tests.store.adapters import Reopen
from tests.store.history import assert_whole
from tests.store.samples import Gate, active, created, effect, effects, emitted, make_effects, started


class Unwell(BaseException):
    """Not even an Exception."""


async def test_a_command_is_readable_once_its_result_is_there(store: Store) -> None:
    await store.run(make_effects)
    assert await store.run(effect("first", "M1"), "M1") == [1]
    assert await store.read(effects) == {"first": 1}
    assert await store.read(emitted) == [("M1", 1, "first")]


async def test_numbers_go_on_in_each_timeline_by_itself(store: Store) -> None:
    await store.run(make_effects)
    assert await store.run(effect("a", "M1", "M2", "M1"), "M2", "M1") == [1, 1, 2]
    assert await store.run(effect("b", "M2", "M1"), "M1", "M2") == [2, 3]
    timelines = await store.read(assert_whole)
    assert {timeline: len(events) for timeline, events in timelines.items()} == {"M1": 3, "M2": 2}


@pytest.mark.parametrize("error", [Conflict(), ValueError("a bug"), Unwell(), SystemExit(3), asyncio.CancelledError()])
async def test_a_command_that_raises_leaves_nothing_and_raises_at_its_caller(store: Store, error: BaseException) -> None:
    heard: list[Sequence[SealedEphemeral]] = []
    await store.run(make_effects)
    store.on_commit(heard.append)

    def fails(tx: Tx) -> None:
        effect("never", "M1")(tx)
        tx.emit_ephemeral(active("M1"))
        raise error

    with pytest.raises(type(error)) as caught:
        await store.run(fails, "M1")
    assert caught.value is error
    assert await store.read(effects) == {}
    assert await store.read(emitted) == []
    assert heard == []
    assert await store.run(effect("next", "M1"), "M1") == [1]


async def test_a_command_that_raises_stop_iteration_does_not_hang_its_caller(store: Store) -> None:
    def stops(tx: Tx) -> None:
        next(iter(()))

    with pytest.raises(RuntimeError, match="StopIteration"):
        await store.run(stops)


async def test_a_command_may_not_emit_on_a_timeline_that_it_did_not_name(store: Store) -> None:
    await store.run(make_effects)
    with pytest.raises(ValueError, match="did not name"):
        await store.run(effect("stray", "M2"), "M1")
    assert await store.read(effects) == {}
    assert await store.read(emitted) == []


async def test_an_event_that_is_too_large_takes_no_number_even_if_the_command_goes_on(store: Store) -> None:
    def goes_on(tx: Tx) -> int:
        with pytest.raises(ValueError, match="bytes"):
            tx.emit(created("M1", intent="x" * EVENT_MAX_BYTES))
        return tx.emit(created("M1"))

    assert await store.run(goes_on, "M1") == 1
    await store.read(assert_whole)


async def test_a_failed_statement_fails_the_command_even_if_it_is_swallowed(store: Store) -> None:
    await store.run(make_effects)

    def swallows(tx: Tx) -> str:
        effect("swallowed", "M1")(tx)
        errors: list[Exception] = []
        for statement in ("SELECT no_such_column FROM effect", "SELECT 1"):
            try:
                tx.one(statement)
            except Exception as error:
                errors.append(error)
        assert len(errors) == 2, "nothing runs after a failed statement"
        return "done"

    with pytest.raises(Exception, match="no_such_column"):
        await store.run(swallows, "M1")
    assert await store.read(effects) == {}
    assert await store.read(emitted) == []


async def test_a_broken_promise_of_the_schema_fails_only_its_command(store: Store) -> None:
    def twice(tx: Tx) -> None:
        for _ in range(2):
            tx.execute("INSERT INTO inbox (consumer_group, timeline, seq) VALUES ('g', 'M1', 1)")

    with pytest.raises(Exception, match="inbox"):
        await store.run(twice)
    assert store.trouble() is None
    assert await store.read(lambda reader: reader.one("SELECT COUNT(*) FROM inbox")) == (0,)


async def test_execute_tells_how_many_rows_it_changed(store: Store) -> None:
    def counts(tx: Tx) -> list[int]:
        effect("a")(tx)
        effect("b")(tx)
        return [
            tx.execute("UPDATE effect SET command = 'c' WHERE command = :command", command="a"),
            tx.execute("UPDATE effect SET command = 'd' WHERE command = :command", command="nobody"),
            tx.execute("DELETE FROM effect"),
        ]

    await store.run(make_effects)
    assert await store.run(counts) == [1, 0, 2]


async def test_a_transaction_cannot_be_used_after_its_end(store: Store) -> None:
    kept: list[Tx] = []
    kept_readers: list[Reader] = []
    await store.run(kept.append)
    await store.read(kept_readers.append)
    for use in (lambda: kept[0].execute("SELECT 1"), lambda: kept[0].one("SELECT 1"), lambda: kept_readers[0].all("SELECT 1")):
        with pytest.raises(RuntimeError, match="over"):
            use()


async def test_time_stands_still_in_a_command_and_ids_rise(store: Store, clock: ManualClock) -> None:
    def looks_twice(tx: Tx) -> tuple[Any, ...]:
        before = tx.now
        clock.advance(5)
        return before, tx.now, tx.mint("sess"), tx.mint("sess")

    start = clock.now()
    before, after, first, second = await store.run(looks_twice)
    assert before == after == start
    assert first.startswith("sess_")
    assert first < second
    assert (await store.run(lambda tx: tx.now)) == start + timedelta(seconds=5)


async def test_events_carry_number_epoch_time_and_trace(store: Store, clock: ManualClock) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    def emits(tx: Tx) -> None:
        tx.emit(started("M1"))
        tx.emit(started("M1"), source="/elsewhere", event_id="evt_given")

    await store.run(emits, "M1", traceparent=trace)
    await store.run(emits, "M1")
    events = [json.loads(event.body) for event in await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))]
    assert [event["timelineseq"] for event in events] == [f"{seq:020d}" for seq in (1, 2, 3, 4)]
    assert {event["timelineepoch"] for event in events} == {1}
    assert {event["partitionkey"] for event in events} == {"M1"}
    assert {event["time"] for event in events} == {clock.now().isoformat().replace("+00:00", "Z")}
    assert [event["traceparent"] for event in events[:2]] == [trace, trace]
    assert events[2]["traceparent"] == events[3]["traceparent"] != trace
    assert [event["id"].startswith("evt_") for event in events] == [True] * 4
    assert (events[1]["id"], events[1]["source"]) == ("evt_given", "/elsewhere")


async def test_readers_get_the_redacted_event_and_the_full_one_is_kept(store: Store) -> None:
    await store.run(
        lambda tx: [tx.emit(created("M1", intent="chest pain")), tx.emit(created("M1", intent="check_coverage"))], "M1"
    )
    secret, public = await store.read(lambda reader: outbox.page(reader, "M1", 0, 10))
    assert b"chest pain" not in secret.body
    assert b"check_coverage" in public.body
    full = await store.read(lambda reader: reader.all("SELECT full_body FROM outbox WHERE redacted_body IS NOT NULL"))
    assert [b"chest pain" in body for (body,) in full] == [True]


async def test_ephemeral_events_come_after_the_commit_and_only_from_commands_that_took_effect(store: Store) -> None:
    heard: list[tuple[str, list[int]]] = []
    numbers: list[int] = []

    def hears(passing: Sequence[SealedEphemeral]) -> None:
        heard.extend((event.session_id, list(numbers)) for event in passing)

    store.on_commit(hears)

    def speaks(name: str) -> Callable[[Tx], int]:
        def command(tx: Tx) -> int:
            tx.emit_ephemeral(active("M1", session_id=name))
            number = tx.emit(started("M1"))
            numbers.append(number)
            return number

        return command

    def regrets(tx: Tx) -> None:
        speaks("regretted")(tx)
        raise Conflict

    await store.run(speaks("first"), "M1")
    with pytest.raises(Conflict):
        await store.run(regrets, "M1")
    await store.run(speaks("second"), "M1")
    assert heard == [("first", [1]), ("second", [1, 2, 2])]


async def test_a_commit_with_events_wakes_and_one_without_does_not(store: Store) -> None:
    wakes: list[int] = []
    store.on_commit(lambda passing: wakes.append(len(passing)))
    await store.run(make_effects)
    await store.run(effect("silent"))
    assert wakes == []
    await store.run(effect("loud", "M1"), "M1")
    assert wakes == [0]


async def test_one_listeners_bug_does_not_silence_the_others(store: Store) -> None:
    reported: list[dict[str, Any]] = []
    wakes: list[int] = []

    def broken(passing: Sequence[SealedEphemeral]) -> None:
        raise ValueError("a bug")

    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    store.on_commit(broken)
    store.on_commit(lambda passing: wakes.append(1))
    await store.run(lambda tx: tx.emit(started("M1")), "M1")
    assert wakes == [1]
    assert [str(context["exception"]) for context in reported] == ["a bug"]


async def test_a_caller_that_gives_up_before_its_command_begins_undoes_it(store: Store) -> None:
    await store.run(make_effects)
    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold, "M1"))
    given_up = asyncio.create_task(store.run(effect("given up", "M1"), "M1"))
    waiting = asyncio.create_task(store.run(effect("waited for", "M1"), "M1"))
    await asyncio.to_thread(gate.entered.wait)
    given_up.cancel()
    await asyncio.wait([given_up])
    gate.open()
    await asyncio.gather(holding, waiting)
    assert given_up.cancelled()
    assert await store.read(effects) == {"waited for": 1}


async def test_a_command_that_began_commits_though_its_caller_gives_up(store: Store) -> None:
    await store.run(make_effects)
    gate = Gate()

    def slow(tx: Tx) -> list[int]:
        gate.hold(tx)
        return effect("begun", "M1")(tx)

    running = asyncio.create_task(store.run(slow, "M1"))
    await asyncio.to_thread(gate.entered.wait)
    running.cancel()
    await asyncio.wait([running])
    gate.open()
    assert await store.run(effect("next", "M1"), "M1") == [2]
    assert await store.read(effects) == {"begun": 1, "next": 1}


async def test_a_query_reads_one_snapshot(store: Store) -> None:
    await store.run(make_effects)
    gate = Gate()

    def looks_twice(reader: Reader) -> tuple[dict[str, int], dict[str, int]]:
        before = effects(reader)
        gate.hold(reader)
        return before, effects(reader)

    looking = asyncio.create_task(store.read(looks_twice))
    await asyncio.to_thread(gate.entered.wait)
    await store.run(effect("meanwhile"))
    gate.open()
    assert await looking == ({}, {})
    assert await store.read(effects) == {"meanwhile": 1}


async def test_a_query_that_raises_raises_at_its_caller(store: Store) -> None:
    def fails(reader: Reader) -> None:
        raise Conflict

    with pytest.raises(Conflict):
        await store.read(fails)
    with pytest.raises(Exception, match="no_such_table"):
        await store.read(lambda reader: reader.all("SELECT * FROM no_such_table"))
    assert store.trouble() is None
    assert await store.read(lambda reader: reader.one("SELECT 1")) == (1,)


async def test_closing_finishes_what_was_accepted_and_refuses_the_rest(reopen: Reopen) -> None:
    store = await reopen()
    await store.run(make_effects)
    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold))
    accepted = [asyncio.create_task(store.run(effect(f"accepted {number}", "M1"), "M1")) for number in range(20)]
    looking = asyncio.create_task(store.read(effects))
    await asyncio.to_thread(gate.entered.wait)
    closings = [asyncio.create_task(store.close()) for _ in range(2)]
    await asyncio.sleep(0)
    for refused in (store.run(effect("refused")), store.read(effects)):
        with pytest.raises(Unavailable):
            await refused
    gate.open()
    await asyncio.gather(holding, looking, *accepted, *closings)
    await store.close()
    again = await reopen()
    assert await again.read(effects) == {f"accepted {number}": 1 for number in range(20)}
    await again.read(assert_whole)


async def test_a_caller_that_gives_up_closing_leaves_the_store_to_be_closed(reopen: Reopen) -> None:
    store = await reopen()
    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.entered.wait)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    gate.open()
    await store.close()
    await holding
    assert closing.cancelled()
    await (await reopen()).read(assert_whole)


async def test_everything_is_there_after_closing_and_opening_again(reopen: Reopen) -> None:
    store = await reopen()
    await store.run(make_effects)
    await store.run(effect("before", "M1", "M2"), "M1", "M2")
    before = (await store.read(assert_whole))["M2"]
    await store.close()
    again = await reopen()
    assert await again.run(effect("after", "M1"), "M1") == [2]
    assert await again.read(effects) == {"before": 1, "after": 1}
    assert (await again.read(assert_whole))["M2"] == before
    assert (await again.read(lambda reader: outbox.head(reader, "nobody"))).last == GENESIS
