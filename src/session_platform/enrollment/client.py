"""The client of the enrollment system. One attempt, one request: who tries again, and when, is decided elsewhere.

The API: JSON over HTTP, ``Authorization: Key …``, and an ``Idempotency-Key`` under which the same request is done once.

* ``POST /v1/stones`` ``{member_id, account_id, first_name, last_name, date_of_birth}`` → 201 ``{stone_id}``: the coverage
  record of the account; one that is there already is answered the same.
* ``POST /v1/pdids`` ``{stone_id}`` → 200 ``{pdid}``: its id in the payer directory.
* 503: not now, ask again under a new key. 400, 404, 409 and 422: these details are not accepted. Anything else that is no
  success: nobody knows whether it was done, ask again under the same key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import httpx2
import msgspec
import structlog
from msgspec import Struct

from session_platform.enrollment.failures import (
    ENROLLMENT_BUSY,
    ENROLLMENT_REFUSED,
    ENROLLMENT_REJECTED,
    ENROLLMENT_UNAVAILABLE,
)
from session_platform.enrollment.model import EnrollmentFailed

CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_MAX_BYTES: Final = 64 * 1024
_REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        **dict.fromkeys((400, 404, 409, 422), ENROLLMENT_REJECTED),
        **dict.fromkeys((401, 403), ENROLLMENT_REFUSED),
        503: ENROLLMENT_BUSY,
    }
)
_log = structlog.get_logger(__name__)


class Stone(Struct, frozen=True, kw_only=True):
    """The coverage record of an account."""

    stone_id: str


class DirectoryEntry(Struct, frozen=True, kw_only=True):
    """``pdid`` names a coverage record in the payer directory."""

    pdid: str


A = TypeVar("A", Stone, DirectoryEntry)


class EnrollmentSystem:
    """Call `aclose` at the end. ``base_url`` is where ``/v1`` lies; ``api_key`` goes nowhere but into the Authorization
    header."""

    def __init__(self, base_url: str, api_key: str) -> None:
        self._http = httpx2.AsyncClient(
            base_url=base_url,
            headers={"Authorization": f"Key {api_key}".rstrip(), "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(
        self, path: str, question: Mapping[str, str], answer: type[A], idempotency_key: str, within_s: float
    ) -> A | EnrollmentFailed:
        """POST ``question`` and wait at most ``within_s`` seconds for the whole answer. Raises nothing: whatever goes wrong is
        a failure."""
        try:
            async with asyncio.timeout(within_s):
                return await self._post(path, question, answer, idempotency_key)
        except (TimeoutError, httpx2.RequestError) as error:
            _log.warning("enrollment.unreachable", error=type(error).__name__)
            return EnrollmentFailed(ENROLLMENT_UNAVAILABLE)

    async def _post(
        self, path: str, question: Mapping[str, str], answer: type[A], idempotency_key: str
    ) -> A | EnrollmentFailed:
        headers = {"Idempotency-Key": idempotency_key}
        async with self._http.stream("POST", path, json=dict(question), headers=headers) as response:
            if not 200 <= response.status_code < 300:
                _log.warning("enrollment.refused", status=response.status_code)
                return EnrollmentFailed(_REFUSALS.get(response.status_code, ENROLLMENT_UNAVAILABLE))
            received = bytearray()
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > ANSWER_MAX_BYTES:
                    break
        try:
            return msgspec.json.decode(bytes(received), type=answer)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.warning("enrollment.unreadable", error=type(error).__name__)
            return EnrollmentFailed(ENROLLMENT_UNAVAILABLE)
