"""The simulated clearinghouse: the real one's shapes, the demo members' behaviours, a clock of the test's own."""

from __future__ import annotations

import asyncio
import json
import statistics
from datetime import date
from typing import Any

import pytest

from session_platform.simulators.clearinghouse import service
from session_platform.simulators.clearinghouse.payers import Behaviour, behaviour_for, latency_s
from session_platform.simulators.clearinghouse.service import Clearinghouse
from session_platform.simulators.http import Response
from tests.eligibility import stedi
from tests.simulators.inquiries import KEY, body, request

TODAY = date(2026, 7, 1)


class Naps:
    """A clock that never waits and remembers for how long it should have."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)


def simulated(naps: Naps | None = None, *, speed: float = 1.0, seed: int = 0) -> Clearinghouse:
    return Clearinghouse(speed=speed, seed=seed, sleep=(naps or Naps()).sleep, today=lambda: TODAY)


async def ask(clearinghouse: Clearinghouse, member_id: str, key: str | None = None) -> dict[str, Any]:
    response = await clearinghouse.answer(request(body(member_id), key=key))
    assert response.status == 200
    found: dict[str, Any] = json.loads(response.body)
    return found


def status_of(found: dict[str, Any]) -> str:
    status: str = found["plans"][0]["benefits"]["statuses"][0]["status"]
    return status


# ----------------------------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("member_id", ["W789012", "W789013", "W200001", "W200002", "W200003", "W200005", "W300007", "nobody"])
async def test_every_answer_is_of_the_clearinghouses_shape(member_id: str) -> None:
    assert stedi.shapes().problems(stedi.ANSWER, await ask(simulated(), member_id, "task_1-1")) == []


async def test_the_clearinghouses_own_example_request_is_accepted() -> None:
    example = next(e for e in stedi.shapes()[stedi.OPERATION].traits["examples"] if "output" in e)
    assert (await simulated().answer(request(example["input"]))).status == 200


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({"headers": {}}, "AUTHENTICATION_FAILED_EXCEPTION"),
        ({"headers": {"authorization": " "}}, "AUTHENTICATION_FAILED_EXCEPTION"),
        ({"body": b"{"}, "ELIGIBILITY_CHECK_SERIALIZATION_EXCEPTION"),
        ({"body": b"[]"}, "ELIGIBILITY_CHECK_SERIALIZATION_EXCEPTION"),
        ({"body": b"\xff"}, "ELIGIBILITY_CHECK_SERIALIZATION_EXCEPTION"),
        ({"body": b"[" * 100_000}, "ELIGIBILITY_CHECK_SERIALIZATION_EXCEPTION"),
        ({"body": b"{}"}, "INVALID_REQUEST_EXCEPTION"),
    ],
)
async def test_every_refusal_has_the_clearinghouses_status_and_shape(changes: dict[str, Any], shape: str) -> None:
    response = await simulated().answer(request(**changes))
    assert response.status == stedi.shapes()[shape].traits["httpError"]
    assert stedi.shapes().problems(shape, json.loads(response.body)) == []


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"payerId": None}, "/payerId"),
        ({"payerId": ""}, "/payerId"),
        ({"payerId": 7}, "/payerId"),
        ({"payerName": "x" * 61}, "/payerName"),
        ({"provider": None}, "/provider"),
        ({"provider": {"name": {"organization": "Clinic"}}}, "/provider"),
        ({"provider": {"npi": "1999999984"}}, "/provider/name"),
        ({"provider": {"name": {}, "npi": "1999999984"}}, "/provider/name"),
        ({"provider": {"name": {"organization": "Clinic"}, "npi": "123"}}, "/provider/npi"),
        ({"subscriber": []}, "/subscriber"),
        ({"subscriber": {}}, "/subscriber"),
        ({"subscriber": {"memberId": "1"}}, "/subscriber/memberId"),
        ({"subscriber": {"dateOfBirth": "12.04.1985"}}, "/subscriber/dateOfBirth"),
        ({"subscriber": {"name": {"person": {"lastName": "x" * 61}}}}, "/subscriber/name/person/lastName"),
        ({"subscriber": {"memberId": "W1", "name": {"person": {}, "organization": "x"}}}, "/subscriber/name"),
        ({"encounter": {"services": {}}}, "/encounter/services"),
        ({"encounter": {"services": ["30"]}}, "/encounter/services/0"),
        ({"encounter": {"services": [{"value": "30", "system": "X12"}]}}, "/encounter/services/0/system"),
    ],
)
async def test_what_the_clearinghouse_would_not_accept_is_refused_at_its_place(fields: dict[str, Any], path: str) -> None:
    response = await simulated().answer(request(body(**fields)))
    assert response.status == 400
    assert path in {failure["path"] for failure in json.loads(response.body)["errors"]}
    assert stedi.shapes().problems(stedi.REQUEST, body(**fields)) != [] or path in {"/provider", "/subscriber"}


@pytest.mark.parametrize(("changes", "status"), [({"path": "/"}, 404), ({"method": "GET"}, 405)])
async def test_there_is_one_address_with_one_method(changes: dict[str, Any], status: int) -> None:
    assert (await simulated().answer(request(**changes))).status == status


# ------------------------------------------------------------------------------------------------------------------- behaviours


async def test_the_demo_members_have_what_they_are_for() -> None:
    clearinghouse = simulated()
    rich, other, ordinary = [await ask(clearinghouse, member_id) for member_id in ("W789012", "W789013", "W300007")]
    assert {status_of(found) for found in (rich, other, ordinary)} == {"ACTIVE_COVERAGE"}
    assert len({found["plans"][0]["name"] for found in (rich, other, ordinary)}) == 3
    assert rich["payer"]["name"] == {"organization": "Blue Cross Blue Shield"}
    assert rich["plans"][0]["benefits"].keys() == {"statuses", "deductible", "outOfPocket", "coPayment", "coInsurance"}
    ended = await ask(clearinghouse, "W200001")
    assert status_of(ended) == "INACTIVE"
    assert ended["subscriber"]["dates"]["plan"] == {"start": "2024-01-01", "end": "2025-12-31"}
    for unknown in ("W200002", "X1", "Wx", "W٣"):
        assert [e["code"] for e in (await ask(clearinghouse, unknown))["errors"]] == ["75"]


async def test_an_unavailable_payer_answers_the_third_try_of_each_check_also_after_a_restart() -> None:
    codes = []
    for key in ("task_1-1", "task_1-2", "task_1-3", "task_2-1", "task_2-2", "task_2-3"):
        found = await ask(simulated(), "W200003", key)
        codes.append(found["errors"][0]["code"] if "errors" in found else status_of(found))
    assert codes == ["42", "42", "ACTIVE_COVERAGE"] * 2


@pytest.mark.parametrize("key", [None, "no-number-at-the-end", "550e8400-e29b-41d4-a716-446655440000", "7"])
async def test_without_a_number_in_the_key_tries_are_counted(key: str | None) -> None:
    clearinghouse = simulated()
    keys = [f"{n}{key}" if key else None for n in range(6)]
    found = ["errors" in await ask(clearinghouse, "W200003", each) for each in keys]
    assert found == [True, True, False] * 2


async def test_a_silent_payer_never_answers() -> None:
    naps = Naps()
    clearinghouse = simulated(naps)
    asking = asyncio.create_task(ask(clearinghouse, "W200004"))
    await ask(clearinghouse, "W300007")
    assert not asking.done()
    assert len(naps.taken) == 1
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_latencies_are_lognormal_with_a_median_of_4_s_clipped_to_2_to_12_s() -> None:
    drawn = [latency_s(Behaviour.ACTIVE, 7, f"task_{n}-1") for n in range(4000)]
    assert 3.8 < statistics.median(drawn) < 4.2
    assert min(drawn) == 2.0
    assert max(drawn) == 12.0
    assert statistics.fmean(drawn) > statistics.median(drawn)


async def test_speed_divides_every_latency() -> None:
    slow, fast = Naps(), Naps()
    for naps, speed in ((slow, 1.0), (fast, 10.0)):
        clearinghouse = simulated(naps, speed=speed)
        await ask(clearinghouse, "W300007", "task_1-1")
        await ask(clearinghouse, "W200005", "task_2-1")
    assert slow.taken[1] == 25.0
    assert fast.taken == [taken / 10 for taken in slow.taken]


async def test_the_same_seed_gives_the_same_latencies_in_any_order_and_another_seed_others() -> None:
    taken = []
    for seed, keys in ((1, ["a-1", "b-1"]), (1, ["b-1", "a-1"]), (2, ["a-1", "b-1"])):
        naps = Naps()
        clearinghouse = simulated(naps, seed=seed)
        for key in keys:
            await ask(clearinghouse, "W300007", key)
        taken.append(naps.taken)
    assert taken[0] == taken[1][::-1]
    assert taken[0] != taken[2]


def test_whoever_is_not_listed_is_active() -> None:
    assert behaviour_for("W1") is behaviour_for("W789012") is behaviour_for("W200006") is Behaviour.ACTIVE


# ----------------------------------------------------------------------------------------------------------------- idempotency


async def test_a_repeated_key_gets_the_first_answer_and_asks_the_payer_once() -> None:
    naps = Naps()
    clearinghouse = simulated(naps)
    first = await clearinghouse.answer(request(body("W300007"), key="task_1-1"))
    assert await clearinghouse.answer(request(body("W300007"), key="task_1-1")) == first
    assert await clearinghouse.answer(request(body("W300007"), key="task_1-2")) != first
    assert len(naps.taken) == 2


async def test_an_answer_that_nobody_waited_for_is_there_for_the_repeat() -> None:
    go_on = asyncio.Event()
    asked = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        asked.set()
        await go_on.wait()

    clearinghouse = Clearinghouse(speed=1, seed=0, sleep=sleep, today=lambda: TODAY)
    gone = asyncio.create_task(clearinghouse.answer(request(key="task_1-1")))
    await asked.wait()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    repeat = asyncio.create_task(clearinghouse.answer(request(key="task_1-1")))
    go_on.set()
    assert (await repeat).status == 200


async def test_keys_beyond_the_limit_are_forgotten_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REMEMBERED_MAX", 2)
    naps = Naps()
    clearinghouse = simulated(naps)
    for key in ("a-1", "b-1", "c-1", "c-1", "b-1", "a-1"):
        await ask(clearinghouse, "W300007", key)
    assert len(naps.taken) == 4


async def test_a_restart_gives_the_same_answer_to_the_same_key() -> None:
    answers: list[Response] = [
        await simulated().answer(request(headers={**KEY, "idempotency-key": "task_1-1"})) for _ in range(2)
    ]
    assert answers[0] == answers[1]
