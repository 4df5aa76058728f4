"""The REST half of the client: retries that are safe, problems as typed errors."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx2
import msgspec

from digital_session._backoff import full_jitter, retry_after_s
from digital_session._tokens import Tokens, subject_of
from digital_session.errors import (
    ClientClosedError,
    DigitalSessionError,
    ForbiddenError,
    ProtocolError,
    UnavailableError,
    from_problem,
)
from digital_session.events import Record, record

TRIES = 6
RETRY_BASE_S = 0.25
RETRY_CAP_S = 8.0
# A caller would rather know than wait longer than this.
RETRY_AFTER_MAX_S = 30.0
TIMEOUT = httpx2.Timeout(30.0, connect=5.0)
CLOSE_WITHIN_S = 2.0

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
        self._closed = False
        self._calls: set[asyncio.Timeout] = set()
        self._left = asyncio.Event()
        self._http = httpx2.AsyncClient(
            base_url=base_url, http2=base_url.startswith("https"), timeout=TIMEOUT, transport=transport
        )

    async def aclose(self) -> None:
        """Close the connections; what is under way, and what is asked from now on, raises ClientClosedError."""
        self._closed = True
        for call in [call for call in self._calls if not call.expired()]:
            call.reschedule(asyncio.get_running_loop().time())
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_WITHIN_S):
                while self._calls:
                    self._left.clear()
                    await self._left.wait()
        await self._http.aclose()

    @asynccontextmanager
    async def while_open(self) -> AsyncIterator[None]:
        """Wait inside for whatever it is, but not beyond the end of the client: then ClientClosedError is raised."""
        if self._closed:
            raise ClientClosedError("The client is closed: make a new one.")
        call = asyncio.timeout(None)
        self._calls.add(call)
        try:
            async with call:
                yield
        except TimeoutError as error:
            if call.expired():
                raise ClientClosedError("The client was closed before there was an answer.", cause=error) from error
            raise
        finally:
            self._calls.discard(call)
            self._left.set()

    async def get(self, path: str, *, tries: int | None = TRIES) -> Any:
        """The answer's JSON, objects as `Record`; ``tries=None`` goes on for as long as trying again may help."""
        return await self._call("GET", path, None, tries)

    async def items(self, path: str) -> list[Any]:
        """All items of a list, page by page; ``path`` has a query."""
        found: list[Any] = []
        page = having(await self.get(path))
        while True:
            found += page.get("items", ())
            token = page.get("next_page_token")
            if not token:
                return found
            page = having(await self.get(f"{path}&page_token={quote(token, safe='')}"))

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The same for a POST; a repetition carries the same Idempotency-Key, so nothing is done twice."""
        return await self._call("POST", path, body, TRIES)

    async def post_once(self, path: str, body: Mapping[str, Any], key: str, subject: str) -> Any:
        """One try of a POST under a key of the caller's, in the name of ``subject`` or not at all.

        Raises `Passing` where another try may succeed, ForbiddenError (``subject_changed``) when the token is another's.
        """
        try:
            return await self._authorised("POST", path, body, key, subject)
        except UnavailableError as error:
            # No token is to be had right now: nothing was sent.
            raise Passing(error, answered=False) from error

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None, tries: int | None) -> Any:
        async with self.while_open():
            return await self._answered(method, path, body, tries)

    async def _answered(self, method: str, path: str, body: Mapping[str, Any] | None, tries: int | None) -> Any:
        key = str(uuid.uuid4())
        step = 0
        while True:
            try:
                return await self._authorised(method, path, body, key)
            except Passing as passing:
                if tries is not None and (step + 1 >= tries or passing.after_s > RETRY_AFTER_MAX_S):
                    raise passing.error from passing.error.cause
                after_s = passing.after_s
            except UnavailableError:
                # No token is to be had right now.
                if tries is not None:
                    raise
                after_s = 0.0
            await self._sleep(self.pause_s(step, after_s))
            step += 1

    def pause_s(self, step: int, after_s: float) -> float:
        """How long to wait after failed try number ``step``, of which the platform said to wait ``after_s``."""
        drawn_s = full_jitter(step, self._jitter(), base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S)
        return max(after_s, drawn_s)

    async def _authorised(
        self, method: str, path: str, body: Mapping[str, Any] | None, key: str, subject: str | None = None
    ) -> Any:
        token = _of(subject, await self._tokens.current())
        answer = await self._send(method, path, body, key, token)
        if answer.status_code == 401 and self._tokens.renewable:
            answer = await self._send(method, path, body, key, _of(subject, await self._tokens.other_than(token)))
        return _read(answer)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None, key: str, token: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}"}
        if method == "POST":
            headers |= {"Content-Type": "application/json", "Idempotency-Key": key}
        content = None if method == "GET" else msgspec.json.encode(body or {})
        try:
            return await self._http.request(method, path, headers=headers, content=content)
        except (httpx2.RequestError, OSError) as error:
            raise Passing(UnavailableError("The platform cannot be reached.", cause=error), answered=False) from error


class Passing(Exception):
    """What may be gone at the next try, but not sooner than ``after_s``; ``answered``: the platform said so itself."""

    def __init__(self, error: DigitalSessionError, after_s: float = 0.0, *, answered: bool = True) -> None:
        super().__init__(error.message)
        self.error = error
        self.after_s = after_s
        self.answered = answered


def having(answer: Any, *names: str) -> Record:
    """``answer``, an object with a text under each of ``names``. Raises ProtocolError for anything else."""
    if isinstance(answer, Record) and all(isinstance(answer.get(name), str) for name in names):
        return answer
    raise ProtocolError("The endpoint answered with something that this SDK does not understand: check its address.")


def _of(subject: str | None, token: str) -> str:
    """``token``, if it is ``subject``'s or it does not matter whose it is."""
    if subject is not None and subject != subject_of(token):
        raise ForbiddenError("The token is now another subject's.", code="subject_changed")
    return token


def _read(answer: httpx2.Response) -> Any:
    if answer.is_success:
        return _json(answer)
    after_s = retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC))
    error = from_problem(answer.status_code, _problem(answer), after_s)
    asked_back = answer.status_code in {409, 429} and after_s is not None
    if answer.status_code >= 500 or asked_back:
        raise Passing(error, after_s or 0.0)
    raise error


def _json(answer: httpx2.Response) -> Any:
    if not answer.content:
        return None
    try:
        return record(msgspec.json.decode(answer.content))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("The endpoint answered with something that is no JSON: check its address.", cause=error) from error


def _problem(answer: httpx2.Response) -> Mapping[str, Any]:
    try:
        problem = msgspec.json.decode(answer.content)
    except (ValueError, RecursionError):
        return {}
    return problem if isinstance(problem, dict) else {}
