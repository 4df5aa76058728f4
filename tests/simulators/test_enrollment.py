"""The simulated enrollment system: the demo members' behaviours, a clock of the test's own."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from session_platform.simulators.enrollment import service
from session_platform.simulators.enrollment.service import LONGEST_S, PDIDS, SHORTEST_S, STONES, EnrollmentSystem
from session_platform.simulators.http import Request, Response

ADA = {
    "member_id": "M123456", "account_id": "A789012", "first_name": "Ada", "last_name": "Lovelace", "date_of_birth": "1985-04-12"
}  # fmt: skip


class Naps:
    """A clock that never waits and remembers for how long it should have."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)


def simulated(naps: Naps | None = None, *, speed: float = 1.0) -> EnrollmentSystem:
    return EnrollmentSystem(speed=speed, seed=0, sleep=(naps or Naps()).sleep)


def request(body: Any, path: str = STONES, method: str = "POST", **headers: str) -> Request:
    known = {"authorization": "Key x", "idempotency-key": "task_1-1", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Request(method, path, {k: v for k, v in known.items() if v}, json.dumps(body).encode())


def said(response: Response) -> tuple[int, dict[str, Any]]:
    return response.status, json.loads(response.body)


async def test_a_record_follows_from_its_account_and_its_directory_entry_from_the_record() -> None:
    first, second = simulated(), simulated()
    status, stone = said(await first.answer(request(ADA)))
    assert status == 201
    assert said(await second.answer(request(ADA, idempotency_key="task_9-1")))[1] == stone, "a restart changes no answer"
    assert said(await first.answer(request({**ADA, "account_id": "A789013"}, idempotency_key="task_2-1")))[1] != stone
    status, entry = said(await first.answer(request(stone, PDIDS, idempotency_key="task_3-1")))
    assert status == 200
    assert entry["pdid"].startswith("PD")


async def test_one_demo_account_is_told_once_that_the_system_is_busy() -> None:
    system = simulated()
    busy = {**ADA, "account_id": "A200006"}
    answers = [await system.answer(request(busy, idempotency_key=key)) for key in ("task_1-1", "task_1-1", "task_1-2")]
    assert [answer.status for answer in answers] == [503, 503, 201]
    assert (await simulated().answer(request(busy, idempotency_key="task_1-2"))).status == 201
    assert (await system.answer(request(busy, idempotency_key="task_2-1"))).status == 503, (
        "each enrollment has its own first try"
    )


async def test_it_takes_one_to_three_seconds_at_speed_one_the_same_for_the_same_key() -> None:
    latencies: list[list[float]] = []
    for speed in (1.0, 10.0):
        naps = Naps()
        system = simulated(naps, speed=speed)
        for number in range(50):
            await system.answer(request(ADA, idempotency_key=f"task_{number}-1"))
        latencies.append([each * speed for each in naps.taken])
    assert latencies[0] == pytest.approx(latencies[1])
    assert all(SHORTEST_S <= each <= LONGEST_S for each in latencies[0])
    assert max(latencies[0]) - min(latencies[0]) > 1


async def test_the_same_key_is_done_once_also_while_it_is_still_being_done() -> None:
    naps = Naps()
    system = simulated(naps)
    answers = await asyncio.gather(*(system.answer(request(ADA)) for _ in range(5)))
    assert len({answer.body for answer in answers}) == 1
    assert len(naps.taken) == 1


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (request(ADA, "/enrollment/v1/nothing"), 404),
        (request(ADA, method="GET"), 405),
        (request(ADA, authorization=""), 401),
        (request(ADA, idempotency_key=""), 400),
        (request([ADA]), 422),
        (request({**ADA, "first_name": ""}), 422),
        (request({**ADA, "date_of_birth": "12.4.1985"}), 422),
        (request({name: value for name, value in ADA.items() if name != "last_name"}), 422),
        (request({"stone_id": "STN-1"}, PDIDS), 422),
        (Request("POST", STONES, {"authorization": "Key x", "idempotency-key": "k"}, b"{"), 422),
    ],
    ids=["path", "method", "no key", "no idempotency", "list", "empty", "date", "missing", "stone", "no json"],
)
async def test_what_it_does_not_take_is_refused(asked: Request, status: int) -> None:
    response = await simulated().answer(asked)
    assert response.status == status
    assert "Ada" not in response.body.decode()


async def test_what_it_remembers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "REMEMBERED_MAX", 3)
    system = simulated()
    for number in range(10):
        await system.answer(request(ADA, idempotency_key=f"task_{number}-1"))
    assert len(system._answers) == 3
