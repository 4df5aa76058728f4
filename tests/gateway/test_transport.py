"""The gateway on a real socket behind uvicorn, with a client that is not ours."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from session_platform.clock import ManualClock
from session_platform.gateway import Limits
from session_platform.store import Position, Store
from tests.gateway.raw import Raw
from tests.gateway.stage import (
    FOREIGN_SESSION,
    MEMBER,
    MEMBER_SCOPE,
    SESSION,
    Stage,
    closed_with,
    created,
    hear,
    pass_time,
    processing,
    say,
    token,
    until,
)

# --------------------------------------------------------------------------------------------------------------- the main line


async def test_a_member_replays_goes_live_without_a_seam_and_resumes(stage: Stage) -> None:
    await stage.emit(created(), processing(10))
    async with stage.client(token()) as socket:
        await say(socket, type="subscribe", id="s", since="beginning", subscription=MEMBER_SCOPE)
        subscribed = await hear(socket)
        replay = [await hear(socket) for _ in range(2)]
        caught_up = await hear(socket)
        await stage.emit(processing(20))
        live = await hear(socket)
    assert [each["type"] for each in (subscribed, *replay, caught_up, live)] == [
        "subscribed",
        "event",
        "event",
        "caught_up",
        "event",
    ]
    numbers = [int(each["event"]["timelineseq"]) for each in (*replay, live)]
    assert numbers == [1, 2, 3]
    async with stage.client(token()) as socket:
        await say(socket, type="subscribe", cursor=replay[0]["cursor"], subscription={"type": "session", "session_id": SESSION})
        again = [await hear(socket) for _ in range(4)]
    assert again[0]["recovered"] is True
    assert again[1:3] == [{**each, "subscription_ids": again[1]["subscription_ids"]} for each in (replay[1], live)]


async def test_unnumbered_events_pass_by_live(stage: Stage) -> None:
    async with stage.client(token()) as socket:
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE)
        await hear(socket)
        await hear(socket)
        await stage.pass_by()
        event = await hear(socket)
        assert event["event"]["type"].endswith("lifecycle.active")
        assert "timelineseq" not in event["event"]


async def test_a_replay_longer_than_the_window_and_the_buffers_arrives_whole(store: Store, clock: ManualClock) -> None:
    async with Stage(store, clock, events_in_window=10).serving() as stage:
        await stage.emit(*(processing(number % 100) for number in range(1500)))
        async with stage.client(token()) as socket:
            await say(socket, type="subscribe", since="beginning", subscription=MEMBER_SCOPE)
            assert (await hear(socket))["type"] == "subscribed"
            got: list[int] = []
            while (event := await hear(socket))["type"] == "event":
                got.append(int(event["event"]["timelineseq"]))
                got += [int(each) for each in event.get("superseded", ())]
    assert got == list(range(1, 1501))
    assert event["type"] == "caught_up"


async def test_every_subscribe_is_on_the_record_before_it_is_answered(stage: Stage) -> None:
    async with stage.client(token()) as socket:
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE)
        await hear(socket)
        assert [(row[1], row[4]) for row in await stage.audit()] == [("timeline.subscribe", "allowed")]
        await hear(socket)
        await say(socket, type="subscribe", subscription={"type": "session", "session_id": FOREIGN_SESSION})
        assert (await hear(socket))["code"] == "forbidden_or_missing"
        assert [(row[1], row[4]) for row in await stage.audit()][1:] == [("timeline.subscribe", "refused")]


async def test_a_heartbeat_and_an_ack_reach_their_rooms(stage: Stage) -> None:
    await stage.emit(created())
    async with stage.client() as socket:
        await say(socket, type="connect", token=token(), device_id="phone")
        await hear(socket)
        await say(socket, type="subscribe", since="beginning", subscription=MEMBER_SCOPE)
        event = [await hear(socket) for _ in range(3)][1]
        await say(socket, type="heartbeat", session_id=SESSION, active=True)
        await say(socket, type="ack", cursors=[event["cursor"]])
        await say(socket, type="ping", id="p")
        assert await hear(socket) == {"type": "pong", "id": "p"}
    assert stage.touched == [(SESSION, True)]
    latest = await stage.store.read(lambda reader: stage.acknowledgements.latest(reader, "user-M1", "phone", MEMBER))
    assert isinstance(latest, Position)
    assert latest.seq == 1


# ---------------------------------------------------------------------------------------------------- errors, closes, the shell


@pytest.mark.parametrize(
    ("message", "code"),
    [(b"binary", 4400), ("nonsense", 4400), ('{"type":"ping"}', 4400), ("x" * 65_537, 1009), ('{"type":"connect"}', 4401)],
)
async def test_what_ends_a_connection_ends_it_with_its_code(stage: Stage, message: str | bytes, code: int) -> None:
    async with stage.client() as socket:
        await socket.send(message)
        frames, close = await closed_with(socket)
    assert close == code
    if code > 4000:
        assert frames[-1]["fatal"] is True


async def test_a_frame_of_exactly_64_kib_is_read_and_fragments_count_together(stage: Stage) -> None:
    async with stage.client(token()) as socket:
        text = json.dumps({"type": "ping", "id": "big", "note": ""})
        await socket.send(text[:-2] + "x" * (65_536 - len(text)) + text[-2:])
        assert await hear(socket) == {"type": "pong", "id": "big"}
        await socket.send(["x" * 40_000, "x" * 25_537])
        assert (await closed_with(socket))[1] == 1009


async def test_nobody_says_connect_and_is_sent_home_after_ten_seconds(stage: Stage, clock: ManualClock) -> None:
    async with stage.client() as socket:
        await pass_time(stage, clock, 10.3)
        frames, close = await closed_with(socket)
    assert (frames[-1]["code"], close) == ("connect_timeout", 4408)


async def test_a_token_that_expires_takes_its_connection_along(stage: Stage, clock: ManualClock) -> None:
    async with stage.client(token(for_s=100)) as socket:
        await pass_time(stage, clock, 40.3)
        assert (await hear(socket))["code"] == "token_expiring"
        await socket.ping()
        await say(socket, type="ping")
        await hear(socket)
        await pass_time(stage, clock, 60)
        frames, close = await closed_with(socket)
    assert (frames[-1]["code"], close) == ("unauthenticated", 4401)


async def test_a_newer_connection_replaces_the_one_it_names_and_no_one_elses(stage: Stage) -> None:
    async with stage.client() as old, stage.client(token("M2")) as stranger:
        await say(old, type="connect", token=token())
        name = (await hear(old))["connection_id"]
        await say(stranger, type="connect", token=token("M2"), replaces=name)
        assert (await closed_with(stranger))[1] == 4400
        async with stage.client() as foreign:
            await say(foreign, type="connect", token=token("M2"), replaces=name)
            assert (await hear(foreign))["type"] == "connected"
            await say(old, type="ping")
            assert (await hear(old))["type"] == "pong"
        async with stage.client() as newer:
            await say(newer, type="connect", token=token(), replaces=name)
            assert (await hear(newer))["type"] == "connected"
            frames, close = await closed_with(old)
            assert (frames[-1]["code"], frames[-1]["fatal"], close) == ("replaced", True, 4409)
            await say(newer, type="ping")
            assert (await hear(newer))["type"] == "pong"


async def test_a_subject_has_50_connections_and_a_place_is_free_again_when_one_goes(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    opened = [await loop.create_task(Raw.open(stage)) for _ in range(50)]
    for raw in opened:
        raw.say(type="connect", token=token())
        assert (await raw.hear())["type"] == "connected"
    async with stage.client() as socket:
        await say(socket, type="connect", token=token())
        frames, close = await closed_with(socket)
        assert (frames[-1]["code"], close) == ("rate_limited", 4429)
    async with stage.client(token("M2")):
        pass
    opened[0].abort()
    await until(lambda: stage.hub.counts().connected == 49)
    async with stage.client(token()):
        assert stage.hub.counts().connected == 50
    for raw in opened[1:]:
        raw.abort()


async def test_overload_is_refused_behind_the_upgrade(store: Store, clock: ManualClock) -> None:
    async with (
        Stage(store, clock, Limits(connections=1)).serving() as stage,
        stage.client(token()) as first,
        stage.client() as second,
    ):
        frames, close = await closed_with(second)
        assert (frames[-1]["code"], frames[-1]["fatal"], close) == ("rate_limited", True, 4429)
        await say(first, type="ping")
        assert (await hear(first))["type"] == "pong"


async def test_the_upgrade_itself_can_be_refused(stage: Stage) -> None:
    for options, status in (
        ({"subprotocols": [Subprotocol("other")]}, 400),
        ({"origin": "https://evil.example"}, 403),
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with stage.client(**options):
                pass
        assert refused.value.response.status_code == status
    assert stage.hub.counts().connections == 0
