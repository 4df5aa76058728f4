"""The REST half of the client: retries that are safe, problems as typed errors."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec

from digital_session._backoff import full_jitter, retry_after_s
from digital_session._tokens import Tokens
from digital_session.errors import DigitalSessionError, ProtocolError, UnavailableError, from_problem
from digital_session.events import record

TRIES = 6
RETRY_BASE_S = 0.25
RETRY_CAP_S = 8.0
# A caller would rather know than wait longer than this.
RETRY_AFTER_MAX_S = 30.0
TIMEOUT = httpx2.Timeout(30.0, connect=5.0)

Sleep = Callable[[float], Awaitable[None]]


class Rest:
    """Calls below ``base_url`` with the token in use. A 401 asks once for another token."""

    def __init__(
        self,
        base_url: str,
        tokens: Tokens,
        jitter: Callable[[], float],
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._tokens = tokens
        self._jitter = jitter
        self._sleep = sleep
        self._http = httpx2.AsyncClient(
            base_url=base_url, http2=base_url.startswith("https"), timeout=TIMEOUT, transport=transport
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, path: str, *, tries: int | None = TRIES) -> Any:
        """The answer's JSON, objects as `Record`; ``tries=None`` goes on for as long as trying again may help."""
        return await self._call("GET", path, None, tries)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The same for a POST; a repetition carries the same Idempotency-Key, so nothing is done twice."""
        return await self._call("POST", path, body, TRIES)

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None, tries: int | None) -> Any:
        key = str(uuid.uuid4())
        step = 0
        while True:
            try:
                return await self._authorised(method, path, body, key)
            except _Passing as passing:
                if tries is not None and (step + 1 >= tries or passing.after_s > RETRY_AFTER_MAX_S):
                    raise passing.error from passing.error.cause
                after_s = passing.after_s
            drawn_s = full_jitter(step, self._jitter(), base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)
            await self._sleep(min(RETRY_AFTER_MAX_S, max(after_s, drawn_s)))
            step += 1

    async def _authorised(self, method: str, path: str, body: Mapping[str, Any] | None, key: str) -> Any:
        token = await self._tokens.current()
        answer = await self._send(method, path, body, key, token)
        if answer.status_code == 401 and self._tokens.renewable:
            answer = await self._send(method, path, body, key, await self._tokens.other_than(token))
        return _read(answer)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, key: str, token: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        if method == "POST":
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
        content = None if method == "GET" else msgspec.json.encode(body or {})
        try:
            return await self._http.request(method, path, headers=headers, content=content)
        except httpx2.TransportError as error:
            raise _Passing(UnavailableError("The platform cannot be reached.", cause=error)) from error


class _Passing(Exception):
    """What may be gone at the next try, but not sooner than ``after_s``."""

    def __init__(self, error: DigitalSessionError, after_s: float = 0.0) -> None:
        super().__init__(error.message)
        self.error = error
        self.after_s = after_s


def _read(answer: httpx2.Response) -> Any:
    if answer.is_success:
        return _json(answer)
    after_s = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
    error = from_problem(answer.status_code, _problem(answer), after_s)
    asked_back = answer.status_code in {409, 429} and after_s is not None
    if answer.status_code >= 500 or asked_back:
        raise _Passing(error, after_s or 0.0)
    raise error


def _json(answer: httpx2.Response) -> Any:
    if not answer.content:
        return None
    try:
        return record(msgspec.json.decode(answer.content))
    except msgspec.DecodeError as error:
        raise ProtocolError("The endpoint answered with something that is no JSON: check its address.", cause=error) from error


def _problem(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        problem = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return {}
    return problem if isinstance(problem, dict) else {}
