"""The client of the clearinghouse's real-time eligibility API. One attempt, one request: who tries again, and when, is decided
elsewhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import httpx2
import structlog

from session_platform.clock import Clock
from session_platform.eligibility.failures import (
    ANSWER_UNREADABLE,
    CLEARINGHOUSE_REFUSED,
    CLEARINGHOUSE_UNAVAILABLE,
    PAYER_TIMEOUT,
)
from session_platform.eligibility.model import Insured
from session_platform.eligibility.reading import is_answer
from session_platform.eligibility.wire import PATH, Provider, ProviderName, encode, question

ATTEMPT_TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10.0
ANSWER_MAX_BYTES: Final = 2 * 1024 * 1024
_TRY_LATER: Final = frozenset({408, 425, 429})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Answered:
    """The payer answered: the body of a 200, as it came."""

    body: bytes


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The payer did not; ``code`` is a key of `FAILURES`."""

    code: str


class Clearinghouse:
    """Call `aclose` at the end. ``base_url`` is the API's host; ``api_key`` goes nowhere but into the Authorization header.
    ``clock`` is what a check measures its time by.

    ``provider_name`` and ``provider_npi`` say to payers who asks; the default number is the clearinghouse's own for tests.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        clock: Clock,
        attempt_timeout_s: float = ATTEMPT_TIMEOUT_S,
        *,
        provider_name: str = "Included Health",
        provider_npi: str = "1999999984",
    ) -> None:
        self.clock = clock
        self.attempt_timeout_s = attempt_timeout_s
        self._provider = Provider(name=ProviderName(organization=provider_name), npi=provider_npi)
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers={
                "Authorization": f"Key {api_key}".rstrip(),
                "Content-Type": "application/json",
                # Nothing compressed: the limit on an answer's size is then one on what is unpacked too.
                "Accept-Encoding": "identity",
            },
            timeout=httpx2.Timeout(attempt_timeout_s, connect=min(CONNECT_TIMEOUT_S, attempt_timeout_s)),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=64),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def check(self, insured: Insured, idempotency_key: str, within_s: float | None = None) -> Answered | Unanswered:
        """Ask for this account's coverage of today, and wait at most ``within_s`` seconds (default: an attempt's) for the last
        byte of the answer.

        The same ``idempotency_key`` never asks the payer twice. Raises nothing: whatever goes wrong is an `Unanswered`.
        """
        try:
            async with asyncio.timeout(self.attempt_timeout_s if within_s is None else within_s):
                return await self._post(encode(question(insured, self._provider)), idempotency_key)
        except (TimeoutError, httpx2.ReadTimeout, httpx2.WriteTimeout):
            return Unanswered(PAYER_TIMEOUT)
        except httpx2.RequestError as error:
            log.warning("clearinghouse_unreachable", error=type(error).__name__)
            return Unanswered(CLEARINGHOUSE_UNAVAILABLE)

    async def _post(self, body: bytes, idempotency_key: str) -> Answered | Unanswered:
        headers = {"Idempotency-Key": idempotency_key}
        async with self._http.stream("POST", PATH, content=body, headers=headers) as response:
            if response.status_code != 200:
                log.warning("clearinghouse_refused", status=response.status_code)
                return Unanswered(_refusal(response.status_code))
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > ANSWER_MAX_BYTES:
                    log.warning("clearinghouse_answer_too_large", limit_bytes=ANSWER_MAX_BYTES)
                    return Unanswered(ANSWER_UNREADABLE)
        whole = bytes(received)
        return Answered(whole) if is_answer(whole) else Unanswered(ANSWER_UNREADABLE)


def _refusal(status: int) -> str:
    """4xx: our credentials or our request are not accepted, and the operator has to look. Redirects are not followed: they
    would take the member's data and the key elsewhere."""
    if status >= 500 or status in _TRY_LATER:
        return CLEARINGHOUSE_UNAVAILABLE
    return CLEARINGHOUSE_REFUSED
