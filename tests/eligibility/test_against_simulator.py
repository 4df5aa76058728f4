"""The room against the simulated clearinghouse over real sockets, with the demo members' real insurance."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from session_platform import directory
from session_platform.clock import ManualClock
from session_platform.eligibility import Checked, CheckFailed, CheckRun, Clearinghouse, Eligibility
from session_platform.simulators.clearinghouse.service import Clearinghouse as Simulated
from session_platform.simulators.http import Connection
from session_platform.store.sqlite import SqliteStore

TINY_S = 0.05


async def no_wait(_seconds: float) -> None:
    return


@pytest.fixture
async def url(store: SqliteStore) -> AsyncIterator[str]:
    seed = directory.load_seed(directory.DEMO_SEED)
    await store.run(lambda tx: directory.apply_seed(tx, seed))
    simulated = Simulated(speed=1, seed=0, sleep=no_wait, today=lambda: date(2026, 1, 15))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(simulated.answer), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def check(store: SqliteStore, clock: ManualClock, url: str, account_id: str, **fields: Any) -> Checked | CheckFailed:
    client = Clearinghouse(url, "key", clock, fields.pop("timeout_s", 30.0))
    eligibility = Eligibility(store, client, directory.account, directory.holders)
    run = CheckRun("task_1", 1, 1, "sr_1", "sess_1", "M" + account_id[1:], account_id)._replace(**fields)
    outcome = await eligibility.check(run)
    await client.aclose()
    return outcome


@pytest.mark.parametrize(
    ("account_id", "headline"),
    [
        ("A789012", ("ACTIVE", "Blue Cross Blue Shield", "2026-01-01", None)),
        ("A789013", ("ACTIVE", "Aetna", "2026-01-01", None)),
        ("A200001", ("TERMINATED", "Cigna", "2024-01-01", "2025-12-31")),
        ("A200005", ("ACTIVE", "Blue Cross Blue Shield", "2026-01-01", None)),
        ("A200006", ("ACTIVE", "Blue Cross Blue Shield", "2026-01-01", None)),
        ("A300007", ("ACTIVE", "Blue Cross Blue Shield", "2026-01-01", None)),
    ],
)
async def test_each_demo_account_has_its_coverage(
    store: SqliteStore, clock: ManualClock, url: str, account_id: str, headline: tuple[str | None, ...]
) -> None:
    outcome = await check(store, clock, url, account_id)
    assert isinstance(outcome, Checked)
    result = json.loads(outcome.result)
    assert (
        tuple(result.get(name) for name in ("coverage_status", "payer_name", "effective_date", "termination_date")) == headline
    )
    assert result["coverage"]["account_id"] == account_id


async def test_the_demo_members_two_accounts_have_different_plans_and_benefits(
    store: SqliteStore, clock: ManualClock, url: str
) -> None:
    found = []
    for account_id in ("A789012", "A789013"):
        outcome = await check(store, clock, url, account_id, task_id=account_id, member_id="M123456")
        assert isinstance(outcome, Checked)
        found.append(json.loads(outcome.result)["coverage"])
    own, dependant = found
    assert own["plan_name"] != dependant["plan_name"]
    whole_plan = own["benefits"][0]
    assert whole_plan == {
        "service_type_code": "30",
        "service_type": "Health Benefit Plan Coverage",
        "coverage_level": "INDIVIDUAL",
        "in_network": True,
        "coinsurance_percent": 20.0,
        "deductible": {"amount": "1500.00", "currency": "USD"},
        "deductible_remaining": {"amount": "1120.50", "currency": "USD"},
        "out_of_pocket": {"amount": "5000.00", "currency": "USD"},
        "out_of_pocket_remaining": {"amount": "4380.50", "currency": "USD"},
    }
    assert [b["copay"]["amount"] for b in own["benefits"] if "copay" in b] == ["25.00", "75.00"]


async def test_an_unknown_subscriber_is_not_found(store: SqliteStore, clock: ManualClock, url: str) -> None:
    outcome = await check(store, clock, url, "A200002")
    assert isinstance(outcome, CheckFailed)
    assert (outcome.code, outcome.retryable) == ("subscriber_not_found", False)
    assert json.loads(outcome.payer_errors or b"")[0]["followupAction"] == "Please Correct and Resubmit"


async def test_an_unavailable_payer_answers_the_third_try(store: SqliteStore, clock: ManualClock, url: str) -> None:
    outcomes = [await check(store, clock, url, "A200003", try_number=number) for number in (1, 2, 3)]
    assert [outcome.code if isinstance(outcome, CheckFailed) else "coverage" for outcome in outcomes] == [
        "payer_unavailable",
        "payer_unavailable",
        "coverage",
    ]


async def test_a_silent_payer_is_a_time_out(store: SqliteStore, clock: ManualClock, url: str) -> None:
    outcome = await check(store, clock, url, "A200004", timeout_s=TINY_S)
    assert isinstance(outcome, CheckFailed)
    assert (outcome.code, outcome.retryable, outcome.payer_errors) == ("payer_timeout", True, None)


async def test_checking_again_changes_nothing(store: SqliteStore, clock: ManualClock, url: str) -> None:
    for number in (1, 2):
        outcome = await check(store, clock, url, "A300007", task_id=f"task_{number}")
        await store.run(outcome.apply, *outcome.timelines)
        clock.advance(60)
    rows = await store.read(lambda reader: reader.all("SELECT name FROM outbox ORDER BY id"))
    assert [name for (name,) in rows] == ["rte.completed", "coverage.updated", "rte.completed"]
