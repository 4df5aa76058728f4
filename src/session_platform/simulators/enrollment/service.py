"""The API as a server sees it: a request in, an answer out after the system's time."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final

from session_platform.simulators.http import Request, Response

PREFIX: Final = "/enrollment"
STONES: Final = f"{PREFIX}/v1/stones"
PDIDS: Final = f"{PREFIX}/v1/pdids"
SHORTEST_S: Final = 1.0
LONGEST_S: Final = 3.0
REMEMBERED_MAX: Final = 10_000
BUSY_AT_FIRST: Final = frozenset({"A200006"})
"""Accounts whose record is not created at the first try."""
_FIELDS: Final = {
    STONES: ("member_id", "account_id", "first_name", "last_name", "date_of_birth"),
    PDIDS: ("stone_id",),
}
_STONE: Final = re.compile(r"STN-[0-9A-F]{12}")
_ISO_DATE: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")

Sleep = Callable[[float], Awaitable[object]]
Json = dict[str, Any]


class EnrollmentSystem:
    """Answers ``speed`` times as fast as the real thing might. ``sleep`` is the clock.

    A repeated ``Idempotency-Key`` gets the first one's answer. Nothing else is remembered, a record's id follows from its
    account, so that a restart changes no answer.
    """

    def __init__(self, *, speed: float, seed: int, sleep: Sleep = asyncio.sleep) -> None:
        self._speed = speed
        self._seed = seed
        self._sleep = sleep
        self._answers: OrderedDict[str, asyncio.Task[Response]] = OrderedDict()

    async def answer(self, request: Request) -> Response:
        """The answer to any HTTP request."""
        key = request.headers.get("idempotency-key", "")
        if request.path not in _FIELDS:
            return _refusal(404, "There is nothing here.")
        if request.method != "POST":
            return _refusal(405, "Only POST.")
        if not request.headers.get("authorization", "").strip():
            return _refusal(401, "The API key is missing.")
        if not key:
            return _refusal(400, "The Idempotency-Key is missing.")
        asked = _parse(request)
        if asked is None:
            return _refusal(422, "The request is not valid.")
        return await self._once(request.path, asked, key)

    async def _once(self, path: str, asked: Json, key: str) -> Response:
        task = self._answers.get(key)
        if task is None:
            task = self._answers[key] = asyncio.get_running_loop().create_task(self._work(path, asked, key))
            if len(self._answers) > REMEMBERED_MAX:
                self._answers.popitem(last=False)[1].cancel()
        # It is done whether or not this client still waits for it.
        return await asyncio.shield(task)

    async def _work(self, path: str, asked: Json, key: str) -> Response:
        latency_s = Random(f"{self._seed}/{key}").uniform(SHORTEST_S, LONGEST_S)  # noqa: S311 - a latency, no secret
        await self._sleep(latency_s / self._speed)
        if path == PDIDS:
            return _json(200, {"pdid": f"PD{_digest(asked['stone_id'])}"})
        if asked["account_id"] in BUSY_AT_FIRST and _is_first_try(key):
            return _refusal(503, "The system is busy.")
        return _json(201, {"stone_id": f"STN-{_digest(asked['account_id'])}"})


def _parse(request: Request) -> Json | None:
    try:
        asked = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    fields = _FIELDS[request.path]
    if not isinstance(asked, dict) or not all(isinstance(asked.get(name), str) and asked[name] for name in fields):
        return None
    if request.path == PDIDS:
        return asked if _STONE.fullmatch(asked["stone_id"]) else None
    return asked if _ISO_DATE.fullmatch(asked["date_of_birth"]) else None


def _is_first_try(key: str) -> bool:
    """By the number at the end of a key such as ``task_1-2``, which a restart of this program cannot lose."""
    return key.rpartition("-")[2] == "1"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest().upper()


def _refusal(status: int, message: str) -> Response:
    return _json(status, {"message": message})


def _json(status: int, body: Json) -> Response:
    return Response(status, json.dumps(body, separators=(",", ":")).encode())
