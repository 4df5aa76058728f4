"""The shell around the protocol, over a socket that the test is: what is written when, when it is read, when it is cut off."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from session_platform.clock import ManualClock
from session_platform.gateway.transport import Link
from session_platform.store import Store
from tests.gateway.stage import MEMBER, Stage, created, token, until
from tests.gateway.test_handshake import HEADERS
from tests.gateway.test_messages import CLOSE, TEXT, frame

UPGRADE = "\r\n".join(["GET /v1 HTTP/1.1", *(f"{name}: {value}" for name, value in HEADERS.items()), "", ""]).encode()
ALL = {"type": "member", "member_id": MEMBER}


class Wire:
    """A transport: ``waiting`` is how many bytes its client has not taken in."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.waiting = 0
        self.reading = True
        self.ended = ""

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("127.0.0.1", 1)

    def set_write_buffer_limits(self, high: int, low: int) -> None:
        assert low < high

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def said(self) -> list[dict[str, Any]]:
        """The text frames written so far."""
        frames, data = [], b"".join(self.writes[1:])
        while data:
            opcode, length = data[0] & 0x0F, data[1]
            head = 2
            if length == 126:
                head, length = 4, int.from_bytes(data[2:4])
            if opcode == TEXT:
                frames.append(json.loads(data[head : head + length]))
            data = data[head + length :]
        return frames


def tell(link: Link, **fields: Any) -> None:
    link.data_received(frame(TEXT, json.dumps(fields).encode()))


async def turn() -> None:
    """Let this loop turn's inputs be acted on."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def linked(stage: Stage) -> tuple[Link, Wire]:
    """A link that is connected and follows the member's timeline."""
    wire, link = Wire(), Link(stage.hub)
    link.connection_made(cast("asyncio.BaseTransport", wire))
    link.data_received(UPGRADE)
    assert wire.writes[0].startswith(b"HTTP/1.1 101")
    tell(link, type="connect", token=token())
    tell(link, type="subscribe", subscription=ALL)
    await until(lambda: len(wire.said()) == 3)
    return link, wire


@pytest.fixture
async def stage(store: Store, clock: ManualClock) -> Stage:
    return Stage(store, clock)


async def publish(stage: Stage, count: int) -> None:
    await stage.emit(*(created() for _ in range(count)))
    from session_platform.store import outbox

    stage.router.publish(await stage.store.read(lambda reader: outbox.after(reader, 0, 1000)))


async def test_the_events_of_one_loop_turn_are_one_write(stage: Stage) -> None:
    _, wire = await linked(stage)
    before = len(wire.writes)
    await publish(stage, 4)
    await turn()
    assert len(wire.writes) == before + 1
    assert [each["type"] for each in wire.said()[3:]] == ["event"] * 4


async def test_a_client_that_takes_in_a_little_now_and_then_is_not_given_up(stage: Stage, clock: ManualClock) -> None:
    link, wire = await linked(stage)
    wire.waiting = 100_000
    link.pause_writing()
    for _ in range(10):
        clock.advance(19)
        wire.waiting -= 1
        stage.hub.tick()
        await turn()
    assert not link.connection.closed
    for _ in range(3):
        clock.advance(20)
        stage.hub.tick()
        await turn()
    assert wire.said()[-1]["code"] == "too_slow"


async def test_while_the_client_does_not_read_it_is_not_read_and_not_written_to(stage: Stage) -> None:
    link, wire = await linked(stage)
    wire.waiting = 100_000
    link.pause_writing()
    await turn()
    assert not wire.reading
    before = len(wire.writes)
    await publish(stage, 2)
    await turn()
    assert len(wire.writes) == before
    wire.waiting = 0
    link.resume_writing()
    await turn()
    assert wire.reading
    assert [each["type"] for each in wire.said()[3:]] == ["event", "event"]


async def test_a_socket_is_not_read_while_too_much_of_it_waits_for_an_answer(stage: Stage) -> None:
    link, wire = await linked(stage)
    stage.tokens.gate.clear()
    tell(link, type="refresh", token=token())
    for _ in range(2):
        tell(link, type="ping", note="x" * 40_000)
    await turn()
    assert not wire.reading
    stage.tokens.gate.set()
    await until(lambda: wire.reading)
    assert [each["type"] for each in wire.said()[3:]] == ["refreshed", "pong", "pong"]


@pytest.mark.parametrize(("waiting", "patience_s"), [(0, 5), (50_000, 60)])
async def test_a_close_waits_for_its_answer_longer_when_there_is_still_something_to_read(
    stage: Stage, clock: ManualClock, waiting: int, patience_s: float
) -> None:
    link, wire = await linked(stage)
    wire.waiting = waiting
    tell(link, type="shout")
    await turn()
    assert wire.writes[-1].endswith(b"\x88\x02" + (4400).to_bytes(2))
    for seconds in (1, patience_s - 1.5):
        clock.advance(seconds)
        stage.hub.tick()
        await turn()
        assert wire.ended == ""
    clock.advance(1)
    stage.hub.tick()
    assert wire.ended == "aborted"


async def test_an_answered_close_closes_the_socket(stage: Stage) -> None:
    link, wire = await linked(stage)
    tell(link, type="shout")
    await turn()
    link.data_received(frame(CLOSE, (4400).to_bytes(2)))
    await turn()
    assert wire.ended == "closed"


async def test_a_fault_inside_ends_the_connection_with_1011_and_a_second_one_cuts_it_off(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    link, wire = await linked(stage)
    link.failed(ValueError("secret words"))
    await turn()
    assert wire.writes[-1] == b"\x88\x02" + (1011).to_bytes(2)
    link.failed(ValueError("secret words"))
    assert wire.ended == "aborted"
    assert "ValueError" in caplog.text
    assert "secret" not in caplog.text


async def test_a_lost_socket_is_left_alone(stage: Stage) -> None:
    link, wire = await linked(stage)
    tell(link, type="ping")
    link.connection_lost(None)
    before = len(wire.writes)
    await publish(stage, 1)
    link.do(lambda: None)
    link.abort()
    await turn()
    assert len(wire.writes) == before
    assert stage.hub.counts() == (0, 0, 0)
