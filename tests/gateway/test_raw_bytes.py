"""The gateway on a real socket, with raw bytes where a polite client would not send or would hide them."""

from __future__ import annotations

import asyncio
import json

import pytest

from session_platform.clock import ManualClock
from session_platform.store import Store
from tests.gateway.raw import raw_client
from tests.gateway.stage import (
    FOREIGN_SESSION,
    MEMBER_SCOPE,
    SESSION,
    Stage,
    closed_with,
    created,
    hear,
    pass_time,
    say,
    token,
    until,
)
from tests.gateway.test_messages import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"{}", masked=False), 1002),
        (frame(TEXT, b"{}", rsv=4), 1002),
        (frame(PING, b"", fin=False), 1002),
        (frame(CONTINUATION, b"{}"), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (b"\x81\xff" + (1 << 40).to_bytes(8) + b"\0\0\0\0", 1009),
        (frame(BINARY, b"{}"), 4400),
    ],
)
async def test_a_breach_of_the_rfc_is_closed_with_its_code_and_the_socket_goes_with_the_answer(
    stage: Stage, data: bytes, code: int
) -> None:
    async with raw_client(stage) as raw:
        raw.writer.write(data)
        opcode, payload = await raw.read()
        if code == 4400:
            opcode, payload = await raw.read()
        assert (opcode, int.from_bytes(payload[:2])) == (CLOSE, code)
        raw.writer.write(frame(CLOSE, payload))
        assert await raw.ended()
    await until(lambda: stage.hub.counts().connections == 0)


async def test_who_breaks_the_rfc_in_mid_flood_still_learns_why(stage: Stage) -> None:
    """The rest of the flood must be read: a socket closed over unread bytes resets and takes the close frame along."""
    async with raw_client(stage) as raw:
        raw.writer.write(frame(TEXT, b"x", rsv=1) + b"x" * 2_000_000)
        await raw.writer.drain()
        assert await raw.read() == (CLOSE, (1002).to_bytes(2))
        assert await raw.ended()


async def test_a_close_is_answered_with_its_code_after_what_was_asked_before_it(stage: Stage) -> None:
    async with raw_client(stage) as raw:
        raw.say(type="connect", token=token())
        await raw.hear()
        ping, close = frame(TEXT, b'{"type":"ping"}'), frame(CLOSE, (3000).to_bytes(2) + b"bye")
        raw.writer.write(ping + frame(PING, b"you there?") + close + ping)
        answers = [await raw.read() for _ in range(3)]
        assert sorted(opcode for opcode, _ in answers[:2]) == [TEXT, 10]
        assert (10, b"you there?") in answers
        assert answers[2] == (CLOSE, (3000).to_bytes(2))
        assert await raw.ended()


async def test_a_close_without_a_code_is_answered_without_one(stage: Stage) -> None:
    async with raw_client(stage) as raw:
        raw.writer.write(frame(CLOSE))
        assert await raw.read() == (CLOSE, b"")
        assert await raw.ended()


async def test_who_does_not_answer_a_close_is_cut_off(stage: Stage, clock: ManualClock) -> None:
    async with raw_client(stage) as raw:
        raw.say(type="shout")
        assert (await raw.hear())["fatal"] is True
        assert (await raw.read())[0] == CLOSE
        await pass_time(stage, clock, 4)
        assert stage.hub.counts().connections == 1
        await pass_time(stage, clock, 1.3)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await raw.read()
    await until(lambda: stage.hub.counts().connections == 0)


async def test_a_half_open_connection_is_noticed_by_pings(stage: Stage, clock: ManualClock) -> None:
    async with raw_client(stage) as raw:
        raw.say(type="connect", token=token())
        await raw.hear()
        await pass_time(stage, clock, 30.3)
        assert (await raw.read())[0] == PING
        await pass_time(stage, clock, 30.3)
        assert await raw.read() == (CLOSE, (1001).to_bytes(2))
        await pass_time(stage, clock, 5.3)
        await until(lambda: stage.hub.counts().connections == 0)


async def test_a_flood_of_pings_is_a_flood(stage: Stage) -> None:
    async with raw_client(stage) as raw:
        raw.say(type="connect", token=token())
        await raw.hear()
        raw.writer.write(frame(PING, b"p") * 300)
        pongs = 0
        while (answer := await raw.read())[0] == 10:
            pongs += 1
        assert pongs >= 199
        assert json.loads(answer[1])["code"] == "rate_limited"
        assert await raw.read() == (CLOSE, (4429).to_bytes(2))


async def test_frames_of_one_turn_are_taken_in_together_and_answered_in_order(stage: Stage) -> None:
    async with raw_client(stage) as raw:
        raw.say(type="connect", token=token())
        raw.say(type="subscribe", id="1", subscription=MEMBER_SCOPE)
        raw.say(type="ping", id="2")
        raw.say(type="subscribe", id="3", subscription={"type": "session", "session_id": FOREIGN_SESSION})
        raw.say(type="ping", id="4")
        answers = [await raw.hear() for _ in range(6)]
        assert [each.get("id") for each in answers if each["type"] != "caught_up"] == [None, "1", "2", "3", "4"]


async def test_a_slow_reader_gets_all_of_a_replay_at_its_own_pace_and_one_that_stops_is_told_why(
    store: Store, clock: ManualClock
) -> None:
    async with Stage(store, clock).serving() as stage:
        await stage.emit(*(created(f"sess_{'x' * 900}_{number}") for number in range(400)))
        async with raw_client(stage, receive_buffer=4096) as slow, raw_client(stage, receive_buffer=4096) as stuck:
            for raw in (slow, stuck):
                raw.say(type="connect", token=token())
                await raw.hear()
                raw.say(type="subscribe", since="beginning", subscription=MEMBER_SCOPE)
                await raw.hear()
            await until(lambda: sum(link.connection.is_blocked for link in stage.hub._links) == 2)
            numbers = []
            while (event := await slow.hear())["type"] == "event":
                numbers.append(int(event["event"]["timelineseq"]))
                if len(numbers) % 100 == 0:
                    slow.writer.write(frame(10))
                    await pass_time(stage, clock, 5.1)
            assert numbers == list(range(1, 401))
            await pass_time(stage, clock, 20.3)
            await pass_time(stage, clock, 20.3)
            await until(lambda: sum(link.connection.closed for link in stage.hub._links) == 1)
            frames = []
            while (answer := await stuck.read())[0] == TEXT:
                frames.append(json.loads(answer[1]))
            assert frames[-1]["code"] == "too_slow"
            assert answer == (CLOSE, (4429).to_bytes(2))
            assert len(frames) < 400


async def test_a_client_that_goes_without_a_word_leaves_nothing_behind(stage: Stage) -> None:
    async with raw_client(stage) as raw:
        raw.say(type="connect", token=token())
        raw.say(type="subscribe", subscription=MEMBER_SCOPE)
        assert [(await raw.hear())["type"] for _ in range(3)] == ["connected", "subscribed", "caught_up"]
        assert stage.hub.counts() == (1, 1, 1)
        assert stage.router._listeners
    await until(lambda: stage.hub.counts() == (0, 0, 0))
    assert not stage.router._listeners
    await stage.emit(created())


async def test_a_client_that_goes_while_its_token_is_checked_leaves_nothing_behind(stage: Stage) -> None:
    stage.tokens.gate.clear()
    async with raw_client(stage) as raw:
        raw.say(type="connect", token=token())
        await until(lambda: stage.tokens.checked == 1)
    await until(lambda: stage.hub.counts().connections == 0)
    stage.tokens.gate.set()
    await until(lambda: not stage.hub._tasks)
    assert stage.hub.counts() == (0, 0, 0)


async def test_one_connections_fault_is_not_anothers(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    async with stage.client(token()) as broken, stage.client(token()) as whole:
        for socket in (broken, whole):
            await say(socket, type="subscribe", subscription=MEMBER_SCOPE)
            await hear(socket)
            await hear(socket)
        link = next(iter(stage.hub._links))
        next(iter(link.connection._delivery._timelines.values())).feed = None  # type: ignore[assignment]
        await stage.emit(created())
        assert (await hear(whole))["type"] == "event"
        assert (await closed_with(broken))[1] == 1011
    assert "AttributeError" in caplog.text
    assert SESSION not in caplog.text
