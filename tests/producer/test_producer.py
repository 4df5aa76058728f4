"""Both producers, asynchronous and blocking, do the same against the same platform."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from digital_session_producer import (
    AuthenticationError,
    Event,
    Producer,
    RefusedError,
    Retry,
    SyncProducer,
    UnavailableError,
)
from digital_session_producer.producer import events_url, retry_after_s
from tests.producer.platform import FakePlatform, problem, refusing_to_connect

ENDPOINT = "wss://sessions.example.org/v1"
AT_ONCE = Retry(base_s=0.0)
Publish = Callable[[Sequence[Event]], Awaitable[None]]


def event(member: str = "M1") -> Event:
    return Event("care_plan.updated", {"member_id": member, "care_plan_id": "cp_1"})


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture(params=["asynchronous", "blocking"])
async def publish(request: pytest.FixtureRequest, platform: FakePlatform) -> AsyncIterator[Publish]:
    numbers = itertools.count(1)
    how: dict[str, Any] = {"get_token": lambda: f"token-{next(numbers)}", "retry": AT_ONCE}
    how["transport"] = httpx2.MockTransport(platform)
    if request.param == "asynchronous":
        async with Producer(ENDPOINT, "/backend", **how) as producer:
            yield lambda events: producer.publish(events[0]) if len(events) == 1 else producer.publish_many(events)
        return
    with SyncProducer(ENDPOINT, "/backend", **how) as blocking:

        async def in_a_thread(events: Sequence[Event]) -> None:
            if len(events) == 1:
                await asyncio.to_thread(blocking.publish, events[0])
            else:
                await asyncio.to_thread(blocking.publish_many, events)

        yield in_a_thread


async def test_an_event_arrives(publish: Publish, platform: FakePlatform) -> None:
    said = event()
    await publish([said])
    (request,) = platform.requests
    assert str(request.url) == "https://sessions.example.org/v1/events"
    assert request.headers["Authorization"] == "Bearer token-1"
    assert platform.taken == {"M1": [said.id]}
    assert platform.events[0]["source"] == "/backend"


async def test_a_batch_arrives_in_its_order(publish: Publish, platform: FakePlatform) -> None:
    said = [event("M1"), event("M2"), event("M1")]
    await publish(said)
    assert [each["id"] for each in platform.events] == [each.id for each in said]


async def test_nothing_to_publish_asks_nobody(publish: Publish, platform: FakePlatform) -> None:
    await publish([])
    assert platform.requests == []


async def test_trouble_that_passes_is_not_noticed_and_nothing_is_doubled(publish: Publish, platform: FakePlatform) -> None:
    said = event()
    platform.queued = [
        httpx2.ConnectError("away"),
        httpx2.ReadTimeout("late"),
        problem(503, "unavailable", Retry_After="0"),
        problem(429, "rate_limited"),
    ]
    await publish([said])
    await publish([said])
    assert platform.taken == {"M1": [said.id]}


async def test_a_new_token_is_obtained_when_one_was_refused(publish: Publish, platform: FakePlatform) -> None:
    platform.queued = [problem(401, "unauthenticated")]
    await publish([event()])
    assert [request.headers["Authorization"] for request in platform.requests] == ["Bearer token-1", "Bearer token-2"]
    await publish([event()])
    assert platform.requests[-1].headers["Authorization"] == "Bearer token-2"


async def test_a_refused_batch_says_which_event(publish: Publish, platform: FakePlatform) -> None:
    good, bad = event("M1"), event("M2")
    platform.poison = {bad.id}
    with pytest.raises(RefusedError) as error:
        await publish([good, bad])
    assert [(each.event_id, each.pointer) for each in error.value.refusals] == [(bad.id, "/data/task_id")]
    assert platform.taken == {}


async def test_a_given_token_that_is_refused_is_the_end() -> None:
    transport = httpx2.MockTransport(lambda _: problem(401, "unauthenticated"))
    async with Producer(ENDPOINT, "/backend", token="old", transport=transport) as producer:
        with pytest.raises(AuthenticationError):
            await producer.publish(event())
    with SyncProducer(ENDPOINT, "/backend", token="old", transport=transport) as blocking, pytest.raises(AuthenticationError):
        blocking.publish(event())


async def test_a_token_provider_may_be_asynchronous(platform: FakePlatform) -> None:
    async def get_token() -> str:
        return "later"

    async with Producer(ENDPOINT, "/b", get_token=get_token, transport=httpx2.MockTransport(platform)) as producer:
        await producer.publish(event())
    assert platform.requests[0].headers["Authorization"] == "Bearer later"


async def test_a_token_provider_that_fails_is_a_typed_error_with_its_cause(platform: FakePlatform) -> None:
    def get_token() -> str:
        raise KeyError("SECRET")

    transport = httpx2.MockTransport(platform)
    async with Producer(ENDPOINT, "/b", get_token=get_token, transport=transport) as producer:
        with pytest.raises(UnavailableError, match="get_token") as error:
            await producer.publish(event())
    assert isinstance(error.value.__cause__, KeyError)
    with (
        SyncProducer(ENDPOINT, "/b", get_token=get_token, transport=transport) as blocking,
        pytest.raises(UnavailableError, match="get_token"),
    ):
        blocking.publish(event())


def test_forwarding_tries_once() -> None:
    transport = httpx2.MockTransport(refusing_to_connect)
    envelopes = [event().sealed("/b")]
    with SyncProducer(ENDPOINT, "/b", token="t", transport=transport) as blocking, pytest.raises(UnavailableError):
        blocking.forward(envelopes)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("wss://h.example/v1", "https://h.example/v1/events"),
        ("https://h.example:8443/v1/", "https://h.example:8443/v1/events"),
        ("ws://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1/events"),
    ],
)
def test_the_one_address_says_where_to_publish(endpoint: str, url: str) -> None:
    assert events_url(endpoint) == url


@pytest.mark.parametrize("endpoint", ["", "h.example/v1", "ftp://h/v1", "wss:///v1", "wss://u:p@h/v1", "wss://h/v1?token=x"])
def test_what_cannot_be_an_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="wss://HOST/v1"):
        SyncProducer(endpoint, "/b", token="t")


@pytest.mark.parametrize("how", [{}, {"token": "t", "get_token": lambda: "t"}], ids=["neither", "both"])
def test_there_is_one_way_to_a_token(how: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="token or get_token"):
        SyncProducer(ENDPOINT, "/b", **how)


def test_a_producer_has_a_source() -> None:
    with pytest.raises(ValueError, match="source"):
        SyncProducer(ENDPOINT, "", token="t")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), ("Thu, 01 Jan 2026 00:00:30 GMT", 30.0), ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0), ("soon", None)],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_s(header, datetime(2026, 1, 1, tzinfo=UTC)) == seconds
