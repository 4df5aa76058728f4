"""RFC 6455 from the server's side: against another implementation, by its own rules, and in whatever pieces bytes come."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from session_platform.gateway.websocket import (
    INVALID_TEXT,
    NO_STATUS,
    PING_FRAME,
    PROTOCOL_ERROR,
    TOO_BIG,
    Binary,
    Incoming,
    MessageReader,
    PeerClose,
    Ping,
    Pong,
    Text,
    Violation,
    close_frame,
    pong_frame,
    text_header,
)

MAX = 300
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True, key: bytes = b"\x01\x02\xfe\xff"
) -> bytes:
    head = bytes(((0x80 if fin else 0) | rsv << 4 | opcode,))
    mask = 0x80 if masked else 0
    length = len(payload)
    if length <= 125:
        head += bytes((mask | length,))
    elif length < 1 << 16:
        head += bytes((mask | 126,)) + length.to_bytes(2)
    else:
        head += bytes((mask | 127,)) + length.to_bytes(8)
    if not masked:
        return head + payload
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def read(data: bytes, cuts: list[int] | None = None, max_bytes: int = MAX) -> list[Incoming]:
    """What a reader makes of ``data``, cut into pieces at ``cuts``."""
    reader = MessageReader(max_bytes)
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or []), len(data)]
    return [each for start, end in pairwise(edges) for each in reader.feed(data[start:end])]


payloads = st.one_of(
    st.binary(max_size=10),
    st.text(max_size=10).map(str.encode),
    st.integers(120, 135).map(lambda size: b"x" * size),
    st.integers(MAX - 2, MAX + 2).map(lambda size: b"y" * size),
    st.sampled_from([0, 999, 1000, 1004, 1005, 1006, 1011, 1015, 2999, 3000, 4999, 5000]).map(
        lambda code: code.to_bytes(2) + b"bye"
    ),
)
usual = st.builds(
    frame,
    st.sampled_from([CONTINUATION, TEXT, TEXT, BINARY, PING, PONG, CLOSE]),
    payloads,
    fin=st.booleans(),
    key=st.binary(min_size=4, max_size=4),
)
odd = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 1, 4]),
    masked=st.sampled_from([True, True, False]),
)
controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125))


@st.composite
def whole(draw: st.DrawFn) -> bytes:
    """A message as it should be: in one to four pieces, with controls between them."""
    parts = draw(st.lists(payloads, min_size=1, max_size=4))
    opcode = draw(st.sampled_from([TEXT, TEXT, BINARY]))
    pieces = [
        frame(opcode if index == 0 else CONTINUATION, part, fin=index == len(parts) - 1)
        + b"".join(draw(st.lists(controls, max_size=1)))
        for index, part in enumerate(parts)
    ]
    return b"".join(pieces)


streams = st.lists(st.one_of(whole(), whole(), whole(), whole(), controls, usual, odd), max_size=8).map(b"".join)


def by_websockets(data: bytes) -> list[Incoming]:
    """The same judged by the websockets library, whose sans-IO core leaves only the putting together and the UTF-8 to us.
    Without a limit of size: its own counts a ping against the message that it interrupts."""
    protocol = ServerProtocol(state=State.OPEN, max_size=None)
    protocol.receive_data(data)
    incoming: list[Incoming] = []
    fragments: list[Frame] = []
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        match int(event.opcode):
            case 9:
                incoming.append(Ping(bytes(event.data)))
            case 10:
                incoming.append(Pong())
            case 8:
                incoming.append(PeerClose(int.from_bytes(event.data[:2]) if event.data else NO_STATUS))
            case _:
                fragments.append(event)
                if event.fin:
                    whole = b"".join(bytes(each.data) for each in fragments)
                    message = _message(int(fragments[0].opcode), whole)
                    fragments = []
                    incoming.append(message)
                    if isinstance(message, Violation):
                        return incoming
    if fragments and protocol.close_rcvd is not None:  # it gives up a close in the middle of a message, which the RFC allows
        incoming.append(PeerClose(protocol.close_rcvd.code))
    elif protocol.close_rcvd is None and protocol.close_sent is not None:
        incoming.append(Violation(protocol.close_sent.code))
    return incoming


def _message(opcode: int, payload: bytes) -> Incoming:
    if opcode == BINARY:
        return Binary()
    try:
        return Text(payload.decode())
    except UnicodeDecodeError:
        return Violation(INVALID_TEXT)


@given(data=streams, cuts=st.lists(st.integers(0, 2000), max_size=6))
def test_it_reads_what_another_implementation_reads_however_the_bytes_are_cut(data: bytes, cuts: list[int]) -> None:
    ours, theirs = read(data, cuts, max_bytes=1 << 20), by_websockets(data)
    named = {each.code for each in (*ours[-1:], *theirs[-1:]) if isinstance(each, Violation)}
    if len(named) == 2 and PROTOCOL_ERROR in named:
        ours, theirs = ours[:-1], theirs[:-1]  # one frame broke two rules: either may be named
    assert ours == theirs


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=6))
@example(data=b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", cuts=[])
def test_any_bytes_are_read_or_refused_and_nothing_follows_the_end(data: bytes, cuts: list[int]) -> None:
    incoming = read(data, cuts)
    ends = [index for index, each in enumerate(incoming) if isinstance(each, Violation | PeerClose)]
    assert ends in ([], [len(incoming) - 1])
    assert incoming == read(data)


@given(
    text=st.text(max_size=200),
    cuts=st.lists(st.integers(0, 2000), max_size=6),
    pieces=st.lists(st.integers(0, 800), max_size=4),
)
def test_a_message_in_pieces_with_pings_between_them_arrives_whole(text: str, cuts: list[int], pieces: list[int]) -> None:
    payload = text.encode()
    edges = [0, *sorted(each % (len(payload) + 1) for each in pieces), len(payload)]
    parts = [payload[start:end] for start, end in pairwise(edges)]
    data = b"".join(
        frame(PING, b"?") + frame(TEXT if index == 0 else CONTINUATION, part, fin=index == len(parts) - 1)
        for index, part in enumerate(parts)
    )
    incoming = read(data, cuts, max_bytes=1000)
    assert incoming == [Ping(b"?")] * len(parts) + [Text(text)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"hello", masked=False), PROTOCOL_ERROR),
        (frame(TEXT, b"hello", rsv=4), PROTOCOL_ERROR),
        (frame(TEXT, b"hello", rsv=1), PROTOCOL_ERROR),
        (frame(3), PROTOCOL_ERROR),
        (frame(11), PROTOCOL_ERROR),
        (frame(CONTINUATION, b"?"), PROTOCOL_ERROR),
        (frame(TEXT, fin=False) + frame(TEXT), PROTOCOL_ERROR),
        (frame(PING, fin=False), PROTOCOL_ERROR),
        (frame(PING, b"x" * 126), PROTOCOL_ERROR),
        (frame(CLOSE, b"\x03"), PROTOCOL_ERROR),
        (frame(CLOSE, (1005).to_bytes(2)), PROTOCOL_ERROR),
        (frame(CLOSE, (1006).to_bytes(2)), PROTOCOL_ERROR),
        (frame(CLOSE, (2000).to_bytes(2)), PROTOCOL_ERROR),
        (frame(CLOSE, (1000).to_bytes(2) + b"\xff"), INVALID_TEXT),
        (frame(TEXT, b"\xff"), INVALID_TEXT),
        (frame(TEXT, "ü".encode()[:1], fin=False) + frame(CONTINUATION, b"."), INVALID_TEXT),
        (frame(TEXT, b"\xed\xa0\x80"), INVALID_TEXT),
        (b"\x81\xfe\x00\x05", PROTOCOL_ERROR),
        (b"\x81\xff" + (65_535).to_bytes(8), PROTOCOL_ERROR),
        (b"\x81\xff" + (1 << 63).to_bytes(8), PROTOCOL_ERROR),
        (frame(TEXT, b"x" * (MAX + 1)), TOO_BIG),
        (b"\x81\xff" + (1 << 40).to_bytes(8), TOO_BIG),
        (frame(TEXT, b"x" * MAX, fin=False) + frame(CONTINUATION, b"x"), TOO_BIG),
        (frame(BINARY, b"x" * (MAX + 1)), TOO_BIG),
        (frame(TEXT, fin=False) + frame(CONTINUATION, fin=False) * 5000, TOO_BIG),
    ],
)
def test_each_breach_of_the_rfc_has_its_close_code(data: bytes, code: int) -> None:
    padding = b"\0" * 16  # a header may be judged before the bytes behind it are there
    assert read(data + padding)[-1] == Violation(code)


def test_a_message_of_exactly_the_limit_is_read() -> None:
    assert read(frame(TEXT, b"x" * MAX)) == [Text("x" * MAX)]
    assert read(frame(TEXT, b"x" * (MAX - 1), fin=False) + frame(CONTINUATION, b"x")) == [Text("x" * MAX)]


def test_one_byte_at_a_time_costs_no_more_than_the_bytes() -> None:
    """A frame of 64 KiB that comes byte by byte must not be put together anew for each of them."""
    data = frame(TEXT, b"x" * 65_536)
    reader = MessageReader(65_536)
    incoming: list[Any] = []
    for index in range(len(data)):
        incoming += reader.feed(data[index : index + 1])
    assert incoming == [Text("x" * 65_536)]


@given(size=st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 100_000]))
def test_what_the_server_writes_another_implementation_reads(size: int) -> None:
    from websockets.client import ClientProtocol
    from websockets.uri import parse_uri

    protocol = ClientProtocol(parse_uri("ws://localhost/v1"), state=State.OPEN)
    protocol.receive_data(text_header(size) + b"x" * size + PING_FRAME + pong_frame(b"p") + close_frame(4400))
    text, ping, pong, close = protocol.events_received()
    assert isinstance(text, Frame)
    assert (text.opcode, text.data, text.fin) == (TEXT, b"x" * size, True)
    assert isinstance(ping, Frame)
    assert ping.opcode == PING
    assert isinstance(pong, Frame)
    assert (pong.opcode, pong.data) == (PONG, b"p")
    assert isinstance(close, Frame)
    assert protocol.close_rcvd is not None
    assert protocol.close_rcvd.code == 4400
    assert close_frame(NO_STATUS) == b"\x88\x00"
