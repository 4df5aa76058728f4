"""A socket and its connection: bytes in, the protocol's outputs done, bytes out. The thin shell around `protocol.Connection`.

uvicorn hands over every upgrade request whole. From then on all inputs of one loop turn are taken in first; then `flush` does
what they caused and writes it at once: joining a turn's frames is most of what makes a delivery cheap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, cast

from session_platform.contract import SealedEphemeral
from session_platform.errors import PlatformError
from session_platform.gateway.effects import (
    Acknowledge,
    Close,
    Enter,
    FetchPage,
    Listen,
    Outcome,
    Output,
    Recheck,
    SendPing,
    Unlisten,
)
from session_platform.gateway.protocol import Connection
from session_platform.gateway.websocket import (
    PING_FRAME,
    SERVER_FAULT,
    Binary,
    Incoming,
    MessageReader,
    PeerClose,
    Ping,
    Pong,
    Text,
    Violation,
    answer,
    close_frame,
    pong_frame,
    text_header,
)

if TYPE_CHECKING:
    from session_platform.gateway.hub import Hub

_log = logging.getLogger(__name__)

_HIGH_WATER_BYTES = 64 * 1024
_LOW_WATER_BYTES = 16 * 1024
"""Above the first the connection counts as blocked, below the second it is written to again. `Limits.turn_bytes` stays below
the first, so that only a client that really lags behind is ever blocked."""


class Link(asyncio.Protocol):
    """One connection of the hub, from the upgrade request on. ``place`` belongs to the hub's wheel."""

    __slots__ = (
        "_broken",
        "_buffered",
        "_close_by",
        "_dirty",
        "_hub",
        "_parts",
        "_peer_closed",
        "_reader",
        "_reading",
        "_transport",
        "connection",
        "connection_id",
        "place",
        "subject",
    )

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._transport: asyncio.Transport | None = None
        self._reader: MessageReader | None = None
        self._parts: list[bytes] = []
        self._dirty = False
        self._reading = True
        self._peer_closed = False
        self._broken = False
        self._buffered = 0
        self._close_by = inf
        self.place: int | None = None
        self.connection_id: str | None = None
        self.subject: str | None = None
        self.connection = Connection(hub.shared, hub.now())

    # -------------------------------------------------------------------------------------------------------------- the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES, low=_LOW_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        self.do(lambda: self._upgrade(data) if self._reader is None else self._read(self._reader, data))

    def pause_writing(self) -> None:
        self.connection.blocked(self._hub.now())
        self._buffered = self._buffer_size()
        self._soon()

    def resume_writing(self) -> None:
        self.connection.unblocked(self._hub.now())
        self._soon()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._transport = None
        self.connection.gone()
        self._hub.left(self)

    def _upgrade(self, head: bytes) -> None:
        transport = cast("asyncio.Transport", self._transport)
        peer = transport.get_extra_info("peername")
        judged = answer(head, peer[0] if peer else None, self._hub.gate)
        transport.write(judged.response)
        if judged.accepted:
            self._reader = MessageReader(self._hub.shared.limits.message_max_bytes)
            self._hub.came(self)
        else:
            transport.close()

    def _read(self, reader: MessageReader, data: bytes) -> None:
        now = self._hub.now()
        for incoming in reader.feed(data):
            self._take_in(incoming, now)

    def _take_in(self, incoming: Incoming, now: float) -> None:
        match incoming:
            case Text(content):
                self.connection.receive(content, now)
            case Binary():
                self.connection.receive(None, now)
            case Ping(payload):
                if self.connection.pinged(now):
                    self._parts.append(pong_frame(payload))
            case Pong():
                self.connection.ponged(now)
            case PeerClose(code):  # the client's close, or its answer to ours
                self._peer_closed = True
                self.connection.hang_up(code)
            case Violation(code):
                self._broken = True
                self.connection.hang_up(code)

    # ------------------------------------------------------------------------------------------------------- the hub's side

    def wake(self, timeline: str) -> None:
        """`timeline.Listener`: something was published."""
        self.connection.wake(timeline)
        if not self.connection.is_blocked:
            self._soon()

    def passing(self, timeline: str, event: SealedEphemeral) -> None:
        """`timeline.Listener`: an unnumbered event goes by."""
        self.do(lambda: self.connection.passing(timeline, event, self._hub.now()))

    def do(self, act: Callable[[], None]) -> None:
        """Give the connection something to take in; what that causes is done at the end of this loop turn. Raises nothing: one
        connection's fault is not another's."""
        try:
            act()
        except Exception as error:  # noqa: BLE001
            self.failed(error)
        self._soon()

    def failed(self, error: Exception) -> None:
        """Something went wrong here that should not have: this connection ends, the others go on."""
        complain(error)
        if self.connection.closed:
            self.abort()
        self.connection.hang_up(SERVER_FAULT)
        self._soon()

    def abort(self) -> None:
        """Cut it off."""
        if self._transport is not None:
            self._transport.abort()

    def flush(self, now: float) -> None:
        """Do what this turn's inputs caused."""
        self._dirty = False
        if self._reader is None or self._transport is None:
            return
        try:
            more = self.connection.pull(now)
            while outputs := self.connection.take():
                for output in outputs:
                    self._perform(output, now)
            self._write(self._transport)
        except Exception as error:  # noqa: BLE001
            self.failed(error)
            return
        if more:
            self._soon()
        self._hub.place(self, self._close_by if self.connection.closed else self.connection.next_at)

    def tick(self, now: float) -> None:
        """The time that `flush` placed this link at has come."""
        if now >= self._close_by:
            self.abort()
            return
        size = self._buffer_size()
        if self.connection.is_blocked and size < self._buffered:
            self._buffered = size
            self.connection.blocked(now)
        self._soon()  # the flush looks at the clock

    def _soon(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._hub.soon(self)

    def _perform(self, output: Output, now: float) -> None:
        match output:
            case bytes():
                self._parts += (text_header(len(output)), output)
            case SendPing():
                self._parts.append(PING_FRAME)
            case Close(code):
                self._close(code, now)
            case Enter():
                self.connection.resolve(self._entered(output), now)
            case Listen() | Unlisten() | Acknowledge():
                self._at_once(output)
            case FetchPage():
                self._hub.fetch(self, output)
            case Recheck():
                self._hub.vigil.recheck(self, output)
            case _:
                self._hub.ask(self, output)

    def _at_once(self, output: Listen | Unlisten | Acknowledge) -> None:
        desk = self._hub.desk
        match output:
            case Listen(timeline):
                desk.router.listen(timeline, self)
                self._hub.vigil.begin(self, timeline)
            case Unlisten(timeline):
                desk.router.unlisten(timeline, self)
                self._hub.vigil.end(self, timeline)
            case Acknowledge():
                desk.acknowledge(output)

    def _entered(self, enter: Enter) -> Outcome:
        try:
            return self._hub.enter(self, enter)
        except PlatformError as problem:
            return problem

    def _close(self, code: int, now: float) -> None:
        """Say it, and give the client time to answer: more when there is something it has not read yet."""
        self._parts.append(close_frame(code))
        limits = self._hub.shared.limits
        self._close_by = now + (limits.linger_s if self._buffer_size() else limits.close_timeout_s)

    def _write(self, transport: asyncio.Transport) -> None:
        if self._parts:
            data = b"".join(self._parts)
            if self._hub.turns.traced:
                self._hub.turns.wrote(self._parts)
            self._parts.clear()
            transport.write(data)
        if self._peer_closed:
            transport.close()
        elif self._broken:
            self._half_close(transport)
        elif self._reading is self.connection.full and not transport.is_closing():
            self._reading = not self._reading
            if self._reading:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def _half_close(self, transport: asyncio.Transport) -> None:
        """Nothing the client says is understood any more, and yet it must be read: a socket closed over unread bytes resets,
        and the client would not learn why."""
        if not transport.is_closing():
            transport.write_eof()

    def _buffer_size(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()


def complain(error: Exception) -> None:
    """Where it happened and of which kind; never the message, which may repeat what somebody sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "?" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    _log.error("a connection failed: %s at %s", type(error).__name__, place)
