"""The API as a server sees it: a request in, an answer out after the payer's time."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from datetime import date
from itertools import count
from typing import Any, Final, assert_never

from session_platform.simulators.clearinghouse import answers
from session_platform.simulators.clearinghouse.asked import Inquiry, Invalid, Unparsable, parse
from session_platform.simulators.clearinghouse.payers import (
    UNAVAILABLE_TIMES,
    Behaviour,
    behaviour_for,
    latency_s,
    plan_for,
)
from session_platform.simulators.http import Request, Response

PATH: Final = "/2026-06-01/eligibility-check"
REMEMBERED_MAX: Final = 10_000
TRY_DIGITS_MAX: Final = 3

Sleep = Callable[[float], Awaitable[object]]


class Clearinghouse:
    """Answers ``speed`` times as fast as payers do. ``sleep`` and ``today`` are the clock.

    A repeated ``Idempotency-Key`` gets the first one's answer, also while that is still to come and also when nobody waited
    for it any more. Nothing else is remembered: a restart changes no other answer.
    """

    def __init__(
        self, *, speed: float, seed: int, sleep: Sleep = asyncio.sleep, today: Callable[[], date] = date.today
    ) -> None:
        self._speed = speed
        self._seed = seed
        self._sleep = sleep
        self._today = today
        self._keyless = count(1)
        self._asked: Counter[str] = Counter()
        self._answers: OrderedDict[str, asyncio.Task[Response]] = OrderedDict()

    async def answer(self, request: Request) -> Response:
        """The answer to any HTTP request."""
        if request.path != PATH:
            return _refusal(404, "There is nothing here.")
        if request.method != "POST":
            return _refusal(405, "Only POST.")
        if not request.headers.get("authorization", "").strip():
            return _refusal(401, "The API key is missing.")
        try:
            inquiry = parse(request.body)
        except Unparsable:
            return _refusal(400, "The request body could not be parsed.")
        except Invalid as invalid:
            failures = [{"path": path, "message": message} for path, message in invalid.failures]
            return _json(400, {"message": "The request is not valid.", "errors": failures})
        return await self._once(inquiry, request.headers.get("idempotency-key", ""))

    async def _once(self, inquiry: Inquiry, key: str) -> Response:
        if not key:
            return await self._payer(inquiry, f"#{next(self._keyless)}")
        task = self._answers.get(key)
        if task is None:
            task = self._answers[key] = asyncio.get_running_loop().create_task(self._payer(inquiry, key))
            if len(self._answers) > REMEMBERED_MAX:
                self._answers.popitem(last=False)[1].cancel()
        # The payer's answer comes whether or not this client still waits for it.
        return await asyncio.shield(task)

    async def _payer(self, inquiry: Inquiry, key: str) -> Response:
        behaviour = behaviour_for(inquiry.member_id)
        if behaviour is Behaviour.SILENT:
            await asyncio.Event().wait()
        times = self._times(inquiry.member_id, key)
        await self._sleep(latency_s(behaviour, self._seed, key) / self._speed)
        return _json(200, self._body(inquiry, behaviour, key, times))

    def _body(self, inquiry: Inquiry, behaviour: Behaviour, key: str, times: int) -> dict[str, Any]:
        today, plan = self._today(), plan_for(inquiry.member_id)
        match behaviour:
            case Behaviour.NOT_FOUND:
                return answers.not_found(inquiry, key, today)
            case Behaviour.TERMINATED:
                return answers.terminated(inquiry, key, today, plan)
            case Behaviour.UNAVAILABLE_AT_FIRST if times <= UNAVAILABLE_TIMES:
                return answers.unavailable(inquiry, key, today)
            case Behaviour.ACTIVE | Behaviour.ACTIVE_LATE | Behaviour.UNAVAILABLE_AT_FIRST | Behaviour.SILENT:
                return answers.active(inquiry, key, today, plan)
            case _:
                assert_never(behaviour)

    def _times(self, member_id: str, key: str) -> int:
        """The how-manieth try of one check this is: the number at the end of a key such as ``task_1-2``, which a restart of
        this program cannot lose. Without one, inquiries are counted by subscriber, anew after each that succeeds."""
        number = key.rpartition("-")[2]
        if "-" in key and number.isascii() and number.isdecimal() and len(number) <= TRY_DIGITS_MAX:
            return int(number)
        self._asked[member_id] += 1
        return (self._asked[member_id] - 1) % (UNAVAILABLE_TIMES + 1) + 1


def _refusal(status: int, message: str) -> Response:
    return _json(status, {"message": message})


def _json(status: int, body: dict[str, Any]) -> Response:
    return Response(status, json.dumps(body, separators=(",", ":")).encode())
