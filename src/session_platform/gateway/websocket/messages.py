"""RFC 6455, the server's half without I/O: bytes from a client become messages, messages become bytes. Pure.

Strict where the RFC says MUST: masked frames only, no reserved bit, no unknown opcode, lengths in their shortest form, control
frames whole and at most 125 bytes (they may stand between the fragments of a message), text that is UTF-8, close codes that may
travel. No extension is ever agreed to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_CONTINUATION: Final = 0x0
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA
_OPCODES: Final = frozenset({_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG})

_FIN: Final = 0x80
_MASKED: Final = 0x80
_RESERVED_BITS: Final = 0x70
_CONTROL: Final = 0x8
_CONTROL_MAX_BYTES: Final = 125
_FRAGMENTS_MAX: Final = 4096
"""A message in more pieces costs more to take in than its size says: refused as too big."""

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
INVALID_TEXT: Final = 1007
TOO_BIG: Final = 1009
SERVER_FAULT: Final = 1011
DRAINING: Final = 1012
_CODES_ON_THE_WIRE: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})

PING_FRAME: Final = bytes((_FIN | _PING, 0))


def text_header(length: int) -> bytes:
    """What stands before a text message of ``length`` bytes."""
    if length <= 125:
        return bytes((_FIN | _TEXT, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2)
    return b"\x81\x7f" + length.to_bytes(8)


def close_frame(code: int) -> bytes:
    """A close; `NO_STATUS` stands for one without a code."""
    return bytes((_FIN | _CLOSE, 0)) if code == NO_STATUS else bytes((_FIN | _CLOSE, 2)) + code.to_bytes(2)


def pong_frame(payload: bytes) -> bytes:
    """The answer to a ping of at most 125 bytes."""
    return bytes((_FIN | _PONG, len(payload))) + payload


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message."""

    content: str


@dataclass(frozen=True, slots=True)
class Binary:
    """A whole binary message; what was in it interests nobody."""


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with `pong_frame` of the same payload."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The client is there."""


@dataclass(frozen=True, slots=True)
class PeerClose:
    """The client's close: to be answered with `close_frame` of the same code, unless this side closed first. The last one."""

    code: int


@dataclass(frozen=True, slots=True)
class Violation:
    """The client broke the protocol: to be closed with ``code``. The last one."""

    code: int


Incoming = Text | Binary | Ping | Pong | PeerClose | Violation


class _Broken(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


class MessageReader:
    """Takes in bytes as they come, in whatever pieces, and gives what is complete.

    It holds at most one incomplete message of ``max_bytes`` and one incomplete frame. A frame that would make a message larger
    is refused by its header, before its bytes are there.
    """

    __slots__ = ("_fragments", "_held", "_max_bytes", "_needed", "_opcode", "_over", "_size")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: bytearray | None = None
        self._needed = 2
        self._opcode = _CONTINUATION
        self._fragments: list[bytes] | None = None
        self._size = 0
        self._over = False

    def feed(self, data: bytes) -> list[Incoming]:
        """What these bytes complete, in order. After `PeerClose` or `Violation` everything is ignored."""
        incoming: list[Incoming] = []
        if self._held is not None:
            self._held += data
            if len(self._held) < self._needed:
                return incoming
            data = bytes(self._held)
        start = 0
        try:
            while not self._over and (end := self._frame(data, start, incoming)):
                start = end
        except _Broken as broken:
            incoming.append(Violation(broken.code))
            self._over = True
        self._held = None if self._over or start == len(data) else bytearray(data[start:])
        return incoming

    def _frame(self, data: bytes, start: int, incoming: list[Incoming]) -> int:
        """Read the frame at ``start``; where it ends, or 0 when it is not complete (`_needed` says how many bytes it needs)."""
        self._needed = 2
        available = len(data) - start
        if available < 2:
            return 0
        opcode, final = self._checked_head(data[start], data[start + 1])
        length = data[start + 1] & 0x7F
        head = 6 if length < 126 else 8 if length == 126 else 14
        if available < head:
            self._needed = head
            return 0
        if length >= 126:
            length = _extended_length(data[start + 2 : start + head - 4])
        if opcode < _CONTROL and self._size + length > self._max_bytes:
            raise _Broken(TOO_BIG)
        if available < head + length:
            self._needed = head + length
            return 0
        body = start + head
        payload = _unmasked(data[body : body + length], data[body - 4 : body])
        if opcode >= _CONTROL:
            incoming.append(self._control(opcode, payload))
        else:
            self._data(opcode, final, payload, incoming)
        return body + length

    def _checked_head(self, first: int, second: int) -> tuple[int, bool]:
        opcode, final = first & 0x0F, bool(first & _FIN)
        if first & _RESERVED_BITS or opcode not in _OPCODES or not second & _MASKED:
            raise _Broken(PROTOCOL_ERROR)
        if opcode >= _CONTROL:
            if not final or second & 0x7F > _CONTROL_MAX_BYTES:
                raise _Broken(PROTOCOL_ERROR)
        elif (opcode == _CONTINUATION) != (self._fragments is not None):
            raise _Broken(PROTOCOL_ERROR)
        return opcode, final

    def _control(self, opcode: int, payload: bytes) -> Incoming:
        if opcode == _PING:
            return Ping(payload)
        if opcode == _PONG:
            return Pong()
        self._over = True
        return PeerClose(_close_code(payload))

    def _data(self, opcode: int, final: bool, payload: bytes, incoming: list[Incoming]) -> None:
        if self._fragments is None:
            if final:
                incoming.append(_message(opcode, payload))
                return
            self._opcode, self._fragments = opcode, []
        self._fragments.append(payload)
        self._size += len(payload)
        if final:
            incoming.append(_message(self._opcode, b"".join(self._fragments)))
            self._fragments, self._size = None, 0
        elif len(self._fragments) > _FRAGMENTS_MAX:
            raise _Broken(TOO_BIG)


def _extended_length(field: bytes) -> int:
    length = int.from_bytes(field)
    shortest = 126 if len(field) == 2 else 1 << 16
    if length < shortest or length >> 63:
        raise _Broken(PROTOCOL_ERROR)
    return length


def _unmasked(payload: bytes, key: bytes) -> bytes:
    """XOR with the repeated key, as one big integer: C speed without a C module."""
    length = len(payload)
    mask = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(length)


def _message(opcode: int, payload: bytes) -> Incoming:
    if opcode == _BINARY:
        return Binary()
    try:
        return Text(payload.decode())
    except UnicodeDecodeError:
        raise _Broken(INVALID_TEXT) from None


def _close_code(payload: bytes) -> int:
    if not payload:
        return NO_STATUS
    code = int.from_bytes(payload[:2]) if len(payload) > 1 else 0
    if code not in _CODES_ON_THE_WIRE and not 3000 <= code <= 4999:
        raise _Broken(PROTOCOL_ERROR)
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise _Broken(INVALID_TEXT) from None
    return code
