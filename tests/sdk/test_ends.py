"""Rights that end, networks that go, heartbeats that say whether somebody is there."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import digital_session as sdk
from digital_session._effects import Dial
from digital_session._loss import Loss
from tests.sdk.fake_gateway import Rig
from tests.sdk.server import MEMBER_TOKEN, WITHIN_S, Inbox, Platform, problem

GONE = {"type": "unsubscribed", "subscription_id": "sub_1", "reason": "relationship_ended"}


# Rights.


async def test_iteration_gives_the_event_that_ended_the_right_then_raises() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        timeline = await client.subscribe(member_id="M1")
        reasons = Inbox()
        timeline.on("unsubscribed", reasons)
        await platform.publish("session.ended", session_id="sess_1")
        await platform.say(GONE)
        await platform.publish("task.assigned", task_id="t1")
        names: list[str] = []

        async def read() -> None:
            async for envelope in timeline:
                names.append(envelope.name)

        with pytest.raises(sdk.ForbiddenError) as caught:
            await read()
        assert names == ["session.ended"]
        assert caught.value.reason == "relationship_ended"
        assert reasons.got == ["relationship_ended"]


async def test_a_subscription_that_ends_as_soon_as_it_began_still_gives_what_came() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        await platform.publish("session.ended", session_id="sess_1")
        platform.gateway.ends_after_replay = True
        timeline = await client.subscribe(member_id="M1", since="beginning")
        assert (await anext(aiter(timeline))).name == "session.ended"
        with pytest.raises(sdk.ForbiddenError):
            await anext(timeline)


async def test_handlers_hear_the_last_event_before_they_are_told_why_it_was_the_last() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        errors, told = Inbox(), Inbox()
        client.on("error", errors)
        story: list[Any] = []
        timeline = await client.subscribe(member_id="M1")

        async def slowly(event: sdk.Record, envelope: sdk.Envelope) -> None:
            await asyncio.sleep(0)
            story.append(envelope.name)

        def ended(reason: str, error: sdk.ForbiddenError) -> None:
            story.append(reason)
            told(error)

        timeline.on("*", slowly)
        timeline.on("unsubscribed", ended)
        await platform.publish("session.ended", session_id="sess_1")
        await platform.say(GONE)
        assert (await told.next()).reason == "relationship_ended"
        assert story == ["session.ended", "relationship_ended"]
        assert errors.got == []


async def test_a_session_says_too_that_the_right_to_it_ended() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        told = Inbox()
        session.on("unsubscribed", told)
        await platform.until(lambda: any(line.live for line in platform.gateway.lines))
        await platform.say(GONE)
        assert await told.next() == "relationship_ended"


async def test_a_right_that_ended_while_there_was_no_connection_is_told_alike() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        timeline = await client.subscribe(member_id="M1")
        told = Inbox()
        timeline.on("unsubscribed", told)
        platform.gateway.forbidden = True
        await platform.cut()
        assert await told.next() == "forbidden_or_missing"


async def test_a_reason_for_breaking_the_glass_goes_along_with_every_subscribe() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        await client.subscribe(member_id="M1", break_glass="found unconscious")
        await platform.cut()
        await platform.until(lambda: any(line.live for line in platform.gateway.lines))
        (frame,) = [frame for frame in platform.gateway.lines[0].frames if frame["type"] == "subscribe"]
        assert frame["break_glass"] == "found unconscious"
        assert "break_glass" not in frame["subscription"]


# Networks.


def test_attempts_without_a_network_are_not_counted() -> None:
    rig = Rig(max_attempts=2, base_s=1.0)
    rig.subscribe()
    rig.settle()
    rig.core.online = False
    rig.cut()
    for _ in range(10):
        effects = rig.carry_out(rig.core.closed(rig.now, 1.0, Loss()))
    assert effects == [Dial(1.0)]
    assert rig.core.state == "reconnecting"
    rig.core.online = True
    rig.carry_out(rig.core.closed(rig.now, 1.0, Loss()))
    assert rig.core.state == "reconnecting"
    rig.carry_out(rig.core.closed(rig.now, 1.0, Loss()))
    assert rig.core.state == "failed"


def test_without_a_network_for_two_minutes_it_is_suspended() -> None:
    rig = Rig()
    rig.subscribe()
    rig.settle()
    rig.core.online = False
    rig.cut()
    rig.advance(120.0)
    assert rig.core.state == "suspended"


async def test_without_a_network_no_connection_is_tried_and_with_it_one_is_at_once() -> None:
    reconnect = sdk.Reconnect(jitter=lambda: 1.0, base_s=3600.0, cap_s=3600.0)
    async with Platform() as platform, platform.client(reconnect=reconnect) as client, asyncio.timeout(WITHIN_S):
        timeline = await client.subscribe(member_id="M1")
        seen = Inbox()
        timeline.on("*", seen)
        client.online = False
        await platform.cut()
        await platform.publish("task.assigned", task_id="t1")
        for _ in range(20):
            await asyncio.sleep(0)
        assert platform.connections == 1
        client.online = True
        assert (await seen.next()).task_id == "t1"
        assert client.online
        assert platform.connections == 2


async def test_a_client_that_is_closed_without_a_network_ends() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        await client.subscribe(member_id="M1")
        client.online = False
        await platform.cut()
    assert client.state == "closed"


@pytest.mark.parametrize(("backoff", "waits"), [("exponential", [1.0, 2.0, 4.0]), ("fixed", [1.0, 1.0, 1.0])])
def test_the_bound_doubles_or_stays(backoff: Any, waits: list[float]) -> None:
    policy = sdk.Reconnect(backoff=backoff)
    assert [policy.wait_s(step, 1.0) for step in range(3)] == waits
    with pytest.raises(ValueError, match="fixed"):
        sdk.Reconnect(backoff="linear")  # type: ignore[arg-type]


# Heartbeats.


def test_a_heartbeat_says_whether_the_person_uses_the_application() -> None:
    rig = Rig()
    used = True
    rig.core._in_use = lambda: used
    rig.carry_out(rig.core.beat("sess_1", active=True))
    rig.carry_out(rig.core.beat("sess_2", active=False))
    rig.settle()
    used = False
    rig.advance(30.0)
    said = [(frame["session_id"], frame["active"]) for frame in rig.sent("heartbeat")]
    assert said == [("sess_1", True), ("sess_2", False), ("sess_1", False), ("sess_2", False)]


async def test_the_application_is_asked_whether_it_is_in_use() -> None:
    async with Platform() as platform, platform.client(in_use=lambda: False) as client, asyncio.timeout(WITHIN_S):
        await client.create_session()

        def beats() -> list[Any]:
            return [frame for line in platform.gateway.lines for frame in line.frames if frame["type"] == "heartbeat"]

        await platform.until(lambda: bool(beats()))
        (beat,) = beats()
        assert beat["active"] is False


async def test_a_session_that_ended_is_not_kept_alive_any_more() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        ended = Inbox()
        session.on("session.ended", ended)
        await platform.publish("session.ended", session_id="sess_other")
        await platform.publish("session.ended", session_id="sess_1")
        await ended.next()
        assert client._engine.core._sessions == {}
        session.in_use = True
        assert client._engine.core._sessions == {}


async def test_a_session_whose_end_did_not_reach_the_platform_is_kept_alive() -> None:
    async with Platform() as platform, platform.client() as client, asyncio.timeout(WITHIN_S):
        session = await client.create_session()
        platform.rest.queued["POST /v1/sessions/sess_1/end"].extend([problem(503, "unavailable")] * 6)
        with pytest.raises(sdk.UnavailableError):
            await session.end()
        assert client._engine.core._sessions == {"sess_1": True}
        platform.rest.queued["POST /v1/sessions/sess_1/end"].append(problem(409, "conflict"))
        with pytest.raises(sdk.ConflictError):
            await session.end()
        assert client._engine.core._sessions == {}


# Errors.


async def test_a_logger_of_ones_own_is_told_what_nobody_listens_for(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("mine")
    async with Platform() as platform, platform.client(logger=logger) as client, asyncio.timeout(WITHIN_S):
        timeline = await client.subscribe(member_id="M1")
        done = Inbox()

        def broken(event: sdk.Record) -> None:
            raise ValueError

        timeline.on("*", broken)
        timeline.on("*", done)
        await platform.publish("task.assigned")
        await done.next()
    assert [record.name for record in caplog.records if "ValueError" in record.getMessage()] == ["mine"]


@pytest.mark.parametrize("code", [1009, 4400, 4403, 4409, 4410])
async def test_what_no_retry_mends_fails_the_client_and_is_not_tried_again(code: int) -> None:
    async with Platform() as platform, platform.client(token=MEMBER_TOKEN) as client, asyncio.timeout(WITHIN_S):
        timeline = await client.subscribe(member_id="M1")
        failed = Inbox()
        client.on("state", failed)
        await platform.close(code)
        with pytest.raises(sdk.DigitalSessionError):
            await anext(aiter(timeline))
        assert client.state == "failed"
        assert platform.connections == 1
