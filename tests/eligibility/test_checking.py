"""A check from the task to what everybody gets to see."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from session_platform.clock import ManualClock
from session_platform.contract import CoverageDetails, CoverageStatus
from session_platform.eligibility import (
    FAILURES,
    Checked,
    CheckFailed,
    CheckRun,
    Clearinghouse,
    Eligibility,
    checks,
    coverage_at,
    coverage_of,
)
from session_platform.store import Store, outbox
from session_platform.store.port import Reader
from session_platform.store.sqlite import SqliteStore
from tests.eligibility.answers import ACTIVE, NOT_FOUND, UNAVAILABLE, answer, entry, error, plan
from tests.eligibility.insured import Person
from tests.eligibility.server import Behaviour, Received, saying, serving
from tests.log.test_follow import Spoilt

HOLDERS = {"A789012": ("M123456",), "A789013": ("M123456", "M777777")}
TERMINATED = answer(plan("INACTIVE", name="Gold"), subscriber={"dates": {"plan": {"end": "2025-12-31"}}})


def insured(_reader: Reader, account_id: str) -> Person | None:
    return Person(account_id=account_id) if account_id in HOLDERS else None


def holders(_reader: Reader, account_id: str) -> tuple[str, ...]:
    return HOLDERS.get(account_id, ())


@asynccontextmanager
async def room(
    store: Store, clock: ManualClock, behaviour: Behaviour, received: Received | None = None
) -> AsyncIterator[Eligibility]:
    """The room, with a clearinghouse that behaves so."""
    async with serving(behaviour, received) as url:
        client = Clearinghouse(url, "key", clock)
        yield Eligibility(store, client, insured, holders, look_again_s=0.001)
        await client.aclose()


class Watched(Spoilt):
    """A store that tells how often somebody has read from it."""

    async def looks(self, times: int) -> None:
        while self.reads < times:
            await self.run(lambda _tx: None)


def a_run(task: str = "task_1", **fields: Any) -> CheckRun:
    run = CheckRun(
        task_id=task,
        attempt=1,
        try_number=1,
        service_request_id="sr_1",
        session_id="sess_1",
        member_id="M123456",
        account_id="A789012",
    )
    return run._replace(**fields)


async def complete(store: SqliteStore, outcome: Checked | CheckFailed) -> None:
    """What the completing transaction does."""
    await store.run(outcome.apply, *outcome.timelines)


async def events(store: SqliteStore, member_id: str = "M123456") -> list[dict[str, Any]]:
    """The member's timeline in full, as domain topics carry it."""
    sql = "SELECT full_body FROM outbox WHERE timeline = :timeline ORDER BY seq"
    return [json.loads(row[0]) for row in await store.read(lambda reader: reader.all(sql, timeline=member_id))]


def names(found: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("com.includedhealth.sessions.") for event in found]


async def coverages(store: SqliteStore, account_id: str = "A789012") -> int:
    sql = "SELECT COUNT(*) FROM coverage WHERE account_id = :account_id"
    row = await store.read(lambda reader: reader.one(sql, account_id=account_id))
    assert row is not None
    count: int = row[0]
    return count


# --------------------------------------------------------------------------------------------------------------------- success


async def test_an_answer_becomes_the_result_and_the_stored_coverage_and_two_events(
    store: SqliteStore, clock: ManualClock
) -> None:
    async with room(store, clock, saying(200, ACTIVE)) as eligibility:
        outcome = await eligibility.check(a_run())
    assert isinstance(outcome, Checked)
    result = json.loads(outcome.result)
    assert {name: value for name, value in result.items() if name != "coverage"} == {
        "coverage_status": "ACTIVE",
        "payer_name": "BLUE CROSS",
        "effective_date": "2026-01-01",
        "termination_date": None,
    }
    await complete(store, outcome)
    rte, updated = await events(store)
    assert names([rte, updated]) == ["rte.completed", "coverage.updated"]
    ref = rte["data"]["coverage_ref"]
    assert rte["data"] == {
        "session_id": "sess_1",
        "workflow_id": "task_1",
        "service_request_id": "sr_1",
        "member_id": "M123456",
        "account_id": "A789012",
        "outcome": "SUCCESS",
        "coverage_status": "ACTIVE",
        "payer_id": "BCBS1",
        "response_time_ms": 0,
        "completed_at": "2026-01-15T10:00:00Z",
        "coverage_ref": ref,
        "coverage": result["coverage"],
    }
    assert updated["data"] == {
        "session_id": "sess_1",
        "member_id": "M123456",
        "account_id": "A789012",
        "change_type": "VERIFICATION",
        "coverage": result["coverage"],
        "coverage_ref": ref,
    }
    assert ref.startswith("/v1/coverages/cov_")
    stored = await store.read(lambda reader: coverage_at(reader, ref.rpartition("/")[2]))
    assert stored is not None
    account_id, details = stored
    assert account_id == "A789012"
    assert details.coverage_status is CoverageStatus.ACTIVE
    assert details.verified_at == clock.now()
    assert details.verified_by == "BLUE CROSS"
    assert await store.read(lambda reader: coverage_of(reader, ["A789013", "A789012"])) == [details]
    assert await store.read(lambda reader: coverage_at(reader, "cov_nothing")) is None


async def test_a_results_headline_is_null_where_the_payer_says_nothing(store: SqliteStore, clock: ManualClock) -> None:
    async with room(store, clock, saying(200, answer(plan("ACTIVE_COVERAGE")))) as eligibility:
        outcome = await eligibility.check(a_run())
    assert isinstance(outcome, Checked)
    result = json.loads(outcome.result)
    assert result.keys() == {"coverage_status", "payer_name", "effective_date", "termination_date", "coverage"}
    assert result["effective_date"] is result["termination_date"] is None
    assert None not in result["coverage"].values()


async def test_no_health_data_rides_the_timeline(store: SqliteStore, clock: ManualClock) -> None:
    body = answer(plan("ACTIVE_COVERAGE", name="Oncology Plus", coPayment=[entry("98", amount="25")]))
    async with room(store, clock, saying(200, body)) as eligibility:
        await complete(store, await eligibility.check(a_run()))
    page = await store.read(lambda reader: outbox.page(reader, "M123456", 0, 10))
    assert len(page) == 2
    for event in page:
        assert b"Oncology" not in event.body
        assert b'"coverage":' not in event.body
        assert b"/v1/coverages/cov_" in event.body


async def test_the_same_coverage_again_is_stored_and_told_to_the_asker_but_is_no_update(
    store: SqliteStore, clock: ManualClock
) -> None:
    async with room(store, clock, saying(200, ACTIVE)) as eligibility:
        await complete(store, await eligibility.check(a_run()))
        clock.advance(3600)
        await complete(store, await eligibility.check(a_run("task_2")))
    found = await events(store)
    assert names(found) == ["rte.completed", "coverage.updated", "rte.completed"]
    assert await coverages(store) == 2
    assert found[0]["data"]["coverage_ref"] != found[2]["data"]["coverage_ref"]
    (current,) = await store.read(lambda reader: coverage_of(reader, ["A789012"]))
    assert current.verified_at == clock.now()


async def test_a_coverage_that_ended_is_a_termination_and_one_that_changed_an_update(
    store: SqliteStore, clock: ManualClock
) -> None:
    bodies = [ACTIVE, TERMINATED, answer(plan("ACTIVE_COVERAGE", name="Silver"))]
    for number, body in enumerate(bodies):
        async with room(store, clock, saying(200, body)) as eligibility:
            await complete(store, await eligibility.check(a_run(f"task_{number}")))
    updates = [event["data"] for event in await events(store) if event["type"].endswith("coverage.updated")]
    assert [update["change_type"] for update in updates] == ["VERIFICATION", "TERMINATION", "UPDATE"]
    assert updates[1]["coverage"]["coverage_status"] == "TERMINATED"


async def test_every_holder_hears_of_a_change_and_only_the_askers_copy_names_the_session(
    store: SqliteStore, clock: ManualClock
) -> None:
    async with room(store, clock, saying(200, ACTIVE)) as eligibility:
        outcome = await eligibility.check(a_run(account_id="A789013"))
    assert outcome.timelines == ("M123456", "M777777")
    await complete(store, outcome)
    assert names(await events(store)) == ["rte.completed", "coverage.updated"]
    (theirs,) = await events(store, "M777777")
    assert names([theirs]) == ["coverage.updated"]
    assert "session_id" not in theirs["data"]
    assert (await events(store))[1]["data"]["session_id"] == "sess_1"


async def test_a_holder_who_came_in_the_meantime_does_not_stop_the_completion(
    store: SqliteStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with room(store, clock, saying(200, ACTIVE)) as eligibility:
        outcome = await eligibility.check(a_run())
    monkeypatch.setitem(HOLDERS, "A789012", ("M123456", "M888888"))
    await complete(store, outcome)
    assert len(await events(store)) == 2
    assert await events(store, "M888888") == []


async def test_a_request_without_a_session_has_none_in_its_events(store: SqliteStore, clock: ManualClock) -> None:
    async with room(store, clock, saying(200, ACTIVE)) as eligibility:
        await complete(store, await eligibility.check(a_run(session_id=None)))
    assert all("session_id" not in event["data"] for event in await events(store))


async def test_each_try_has_its_own_idempotency_key_and_a_rerun_of_it_the_same(store: SqliteStore, clock: ManualClock) -> None:
    received = Received()
    async with room(store, clock, saying(200, ACTIVE), received) as eligibility:
        for attempt, try_number in ((1, 1), (2, 1), (3, 2)):
            await eligibility.check(a_run(attempt=attempt, try_number=try_number))
    keys = [head.lower().partition("idempotency-key: ")[2].partition("\r\n")[0] for head in received.heads]
    assert keys == ["task_1-1", "task_1-1", "task_1-2"]


# --------------------------------------------------------------------------------------------------------------------- joining


async def test_who_joined_a_check_gets_the_same_coverage_stored_once_and_changes_told_once(
    store: SqliteStore, clock: ManualClock
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        await saying(200, ACTIVE)(reader, writer)

    received = Received()
    watched = Watched(store)
    async with room(watched, clock, slow, received) as eligibility:
        first = asyncio.create_task(eligibility.check(a_run()))
        await asked.wait()
        second = asyncio.create_task(eligibility.check(a_run("task_2", service_request_id="sr_2")))
        await watched.looks(3)  # the first for its insured, the second for its own and at the first's check
        clock.advance(1.5)
        go_on.set()
        outcomes = [await first, await second]
    assert len(received.heads) == 1
    for outcome in reversed(outcomes):  # whoever completes first
        await complete(store, outcome)
    found = await events(store)
    assert names(found) == ["rte.completed", "coverage.updated", "rte.completed"]
    assert [event["data"].get("service_request_id") for event in found] == ["sr_2", None, "sr_1"]
    assert len({event["data"]["coverage_ref"] for event in found}) == 1
    assert {event["data"]["response_time_ms"] for event in (found[0], found[2])} == {1500}
    assert await coverages(store) == 1


async def test_a_command_that_the_store_runs_twice_leaves_everything_once(store: SqliteStore, clock: ManualClock) -> None:
    async with room(store, clock, saying(200, ACTIVE)) as eligibility:
        outcome = await eligibility.check(a_run())

    class Lost(Exception):
        pass

    def apply_and_lose(tx: Any) -> None:
        outcome.apply(tx)
        raise Lost

    with pytest.raises(Lost):
        await store.run(apply_and_lose, *outcome.timelines)
    await complete(store, outcome)
    assert names(await events(store)) == ["rte.completed", "coverage.updated"]
    assert await coverages(store) == 1


# --------------------------------------------------------------------------------------------------------------------- failure


async def test_a_rejection_is_a_failure_with_our_text_and_the_payers_own_words_apart(
    store: SqliteStore, clock: ManualClock
) -> None:
    async with room(store, clock, saying(200, NOT_FOUND)) as eligibility:
        outcome = await eligibility.check(a_run())
    assert isinstance(outcome, CheckFailed)
    assert (outcome.code, outcome.retryable, outcome.timelines) == ("subscriber_not_found", False, ("M123456",))
    assert json.loads(outcome.payer_errors or b"") == [error("75")]
    await complete(store, outcome)
    (event,) = await events(store)
    assert event["data"] == {
        "session_id": "sess_1",
        "workflow_id": "task_1",
        "service_request_id": "sr_1",
        "member_id": "M123456",
        "account_id": "A789012",
        "outcome": "FAILED",
        "payer_id": "BCBS1",
        "response_time_ms": 0,
        "completed_at": "2026-01-15T10:00:00Z",
        "error": {"code": "subscriber_not_found", "message": FAILURES["subscriber_not_found"].message, "retryable": False},
    }
    assert await coverages(store) == 0


async def test_a_rejection_that_may_be_sent_again_says_so(store: SqliteStore, clock: ManualClock) -> None:
    async with room(store, clock, saying(200, answer(errors=[error("80", "Resubmission Allowed")]))) as eligibility:
        outcome = await eligibility.check(a_run())
    assert isinstance(outcome, CheckFailed)
    assert (outcome.code, outcome.retryable) == ("payer_rejected", True)
    await complete(store, outcome)
    assert (await events(store))[0]["data"]["error"]["retryable"] is True


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"{}", "answer_unreadable"),
        (401, b"{}", "clearinghouse_refused"),
        (503, b"{}", "clearinghouse_unavailable"),
    ],
)
async def test_a_check_that_got_no_answer_has_no_errors_of_a_payer(
    store: SqliteStore, clock: ManualClock, status: int, body: bytes, code: str
) -> None:
    async with room(store, clock, saying(status, body)) as eligibility:
        outcome = await eligibility.check(a_run())
    assert isinstance(outcome, CheckFailed)
    assert (outcome.code, outcome.retryable, outcome.payer_errors) == (code, FAILURES[code].retryable, None)


async def test_an_account_without_insurance_fails_without_asking_anybody(store: SqliteStore, clock: ManualClock) -> None:
    received = Received()
    async with room(store, clock, saying(200, ACTIVE), received) as eligibility:
        outcome = await eligibility.check(a_run(account_id="A000000"))
    assert isinstance(outcome, CheckFailed)
    assert (outcome.code, received.heads) == ("account_unknown", [])
    await complete(store, outcome)
    assert "payer_id" not in (await events(store))[0]["data"]


async def test_the_biggest_coverage_fits_into_its_events(store: SqliteStore, clock: ManualClock) -> None:
    wide = "\x01" * 200
    services = [{"value": f"{number:05}{wide}", "definition": wide, "system": "STC"} for number in range(140)]
    many = [{"coverageLevel": wide, "service": service, "amount": "999999999999.999999"} for service in services]
    costs = {kind: many for kind in ("coPayment", "deductible", "outOfPocket")}
    async with room(store, clock, saying(200, answer(plan("ACTIVE_COVERAGE", name=wide, **costs)))) as eligibility:
        outcome = await eligibility.check(a_run())
    assert isinstance(outcome, Checked)
    await complete(store, outcome)
    assert len(await events(store)) == 2


async def test_what_is_stored_is_read_back_as_it_was(store: SqliteStore, clock: ManualClock) -> None:
    body = answer(plan("ACTIVE_COVERAGE", coInsurance=[entry(percent="0.15")], deductible=[entry(amount="1.5")]))
    async with room(store, clock, saying(200, body)) as eligibility:
        outcome = await eligibility.check(a_run())
    assert isinstance(outcome, Checked)
    await complete(store, outcome)
    (details,) = await store.read(partial(coverage_of, account_ids=["A789012"]))
    assert isinstance(details, CoverageDetails)
    assert details.benefits[0].coinsurance_percent == 15.0
    assert json.loads(outcome.result)["coverage"] == (await events(store))[0]["data"]["coverage"]


@pytest.mark.parametrize("body", [UNAVAILABLE, NOT_FOUND])
async def test_who_joined_a_check_that_the_payer_refused_says_so(store: SqliteStore, clock: ManualClock, body: bytes) -> None:
    """Nobody asked the payer for it, so none of its own attempts is used up."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        await saying(200, body)(reader, writer)

    watched = Watched(store)
    async with room(watched, clock, slow) as eligibility:
        first = asyncio.create_task(eligibility.check(a_run()))
        await asked.wait()
        second = asyncio.create_task(eligibility.check(a_run("task_2", service_request_id="sr_2")))
        await watched.looks(3)  # the first for its insured, the second for its own and at the first's check
        go_on.set()
        own, joined = await first, await second
    assert isinstance(own, CheckFailed)
    assert isinstance(joined, CheckFailed)
    assert (own.joined, joined.joined) == (False, True)
    assert (own.code, own.retryable) == (joined.code, joined.retryable)


async def test_waiting_in_vain_for_anothers_answer_is_a_failure_of_its_own(store: SqliteStore, clock: ManualClock) -> None:
    """Otherwise two checks of a payer that never answers would take turns at waiting, and each take twice as long."""
    watched = Watched(store)
    async with room(watched, clock, saying(200, ACTIVE)) as eligibility:
        place = await store.run(lambda tx: checks.begin(tx, checks.Question("task_9", "A789012", "BCBS1"), 1_000_000))
        assert place is not None
        waiting = asyncio.create_task(eligibility.check(a_run()))
        await watched.looks(2)
        clock.advance(30)
        failed = await waiting
    assert isinstance(failed, CheckFailed)
    assert (failed.code, failed.joined) == ("payer_timeout", False)
