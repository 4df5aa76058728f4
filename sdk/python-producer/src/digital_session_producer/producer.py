"""The two ways to publish, asynchronous and blocking: thin shells that carry out the steps of `_publication`."""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack
from urllib.parse import urlsplit

import httpx2

from digital_session_producer._publication import Answer, Pause, Renew, Retry, Send, publication
from digital_session_producer.errors import UnavailableError
from digital_session_producer.event import Envelope, Event

TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
ONE_TRY: Final = Retry(tries=1)


class Options(TypedDict, total=False):
    """``retry`` says how long a publication goes on trying. ``transport`` replaces the HTTP transport (a proxy, own
    certificates)."""

    retry: Retry
    transport: Any


class _Base:
    def __init__(self, endpoint: str, source: str, token: str | None, get_token: object, retry: Retry | None) -> None:
        if (token is None) == (get_token is None):
            raise ValueError("Give either token or get_token.")
        if not source:
            raise ValueError("A source names the backend, such as /jarvis/sessions.")
        self.source = source
        self._url = events_url(endpoint)
        self._token = token
        self._retry = retry or Retry()

    def _headers(self, send: Send) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": send.content_type}


class Producer(_Base):
    """Publishes a backend's events; `SyncProducer` is the same for code that blocks.

    ``endpoint`` is the platform's one address, such as ``wss://sessions.example.org/v1`` or its ``https`` form. ``source``
    names this backend in every event and belongs to the service that first used it. Give ``token``, or ``get_token``, which is
    asked again when a token was refused and may be asynchronous. Close it, or use ``async with``. Raises `ValueError`.
    """

    def __init__(
        self,
        endpoint: str,
        source: str,
        *,
        token: str | None = None,
        get_token: Callable[[], str | Awaitable[str]] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(endpoint, source, token, get_token, options.get("retry"))
        self._get_token = get_token
        self._http = httpx2.AsyncClient(
            http2=self._url.startswith("https"), timeout=TIMEOUT, transport=options.get("transport")
        )

    async def publish(self, event: Event) -> None:
        """Returns once the platform has the event on its disk. Raises a `ProducerError`."""
        await self.publish_many([event])

    async def publish_many(self, events: Iterable[Event]) -> None:
        """The same for several events, in this order; all of them are taken or none. Nothing to publish is nothing to do."""
        await self._publish([event.sealed(self.source) for event in events])

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _publish(self, envelopes: Sequence[Envelope]) -> None:
        if not envelopes:
            return
        steps = publication(envelopes, self._retry, random.random)
        reply: object = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration:
                return
            reply = await self._carry_out(step)

    async def _carry_out(self, step: Send | Renew | Pause) -> object:
        match step:
            case Send():
                if self._token is None:
                    await self._renewed()
                try:
                    answer = await self._http.post(self._url, content=step.body, headers=self._headers(step))
                except httpx2.TransportError:
                    return None
                return _answer(answer)
            case Renew():
                return await self._renewed()
            case Pause():
                await asyncio.sleep(step.seconds)
                return None

    async def _renewed(self) -> bool:
        if self._get_token is None:
            return False
        try:
            given = self._get_token()
            self._token = await given if inspect.isawaitable(given) else given
        except Exception as error:
            raise UnavailableError("get_token failed.") from error
        return True


class SyncProducer(_Base):
    """`Producer` for code that blocks; may be shared between threads."""

    def __init__(
        self,
        endpoint: str,
        source: str,
        *,
        token: str | None = None,
        get_token: Callable[[], str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(endpoint, source, token, get_token, options.get("retry"))
        self._get_token = get_token
        self._http = httpx2.Client(http2=self._url.startswith("https"), timeout=TIMEOUT, transport=options.get("transport"))

    def publish(self, event: Event) -> None:
        """Returns once the platform has the event on its disk. Raises a `ProducerError`."""
        self.publish_many([event])

    def publish_many(self, events: Iterable[Event]) -> None:
        """The same for several events, in this order; all of them are taken or none. Nothing to publish is nothing to do."""
        self._publish([event.sealed(self.source) for event in events], self._retry)

    def forward(self, envelopes: Sequence[Envelope]) -> None:
        """Publish what was written down before, once: who calls this tries again by themselves."""
        self._publish(envelopes, ONE_TRY)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _publish(self, envelopes: Sequence[Envelope], retry: Retry) -> None:
        if not envelopes:
            return
        steps = publication(envelopes, retry, random.random)
        reply: object = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration:
                return
            reply = self._carry_out(step)

    def _carry_out(self, step: Send | Renew | Pause) -> object:
        match step:
            case Send():
                if self._token is None:
                    self._renewed()
                try:
                    return _answer(self._http.post(self._url, content=step.body, headers=self._headers(step)))
                except httpx2.TransportError:
                    return None
            case Renew():
                return self._renewed()
            case Pause():
                time.sleep(step.seconds)
                return None

    def _renewed(self) -> bool:
        if self._get_token is None:
            return False
        try:
            self._token = self._get_token()
        except Exception as error:
            raise UnavailableError("get_token failed.") from error
        return True


def events_url(endpoint: str) -> str:
    """Where events are published, from the platform's one address. Raises `ValueError` for what cannot be one."""
    parts = urlsplit(endpoint)
    scheme = {"ws": "http", "http": "http", "wss": "https", "https": "https"}.get(parts.scheme)
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if scheme is None or not parts.hostname or not plain:
        raise ValueError("The endpoint has to look like wss://HOST/v1.")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/events"


def _answer(answer: httpx2.Response) -> Answer:
    return Answer(answer.status_code, answer.content, retry_after_s(answer.headers.get("Retry-After"), datetime.now(UTC)))


def retry_after_s(header: str | None, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, given in seconds or as an HTTP date (RFC 9110 §10.2.3); None without one."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (ValueError, TypeError):
        return None
