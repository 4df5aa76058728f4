"""The protocol core on asyncio: sockets from `websockets`, timers from the loop. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from digital_session._effects import Abort, Dial, Effect, HangUp, RenewToken, Send, Trouble
from digital_session._loss import TOKEN_REFUSED, Loss
from digital_session._protocol import Protocol
from digital_session._tasks import Tasks
from digital_session._tokens import Tokens
from digital_session.errors import AuthenticationError, DigitalSessionError, ProtocolError

SUBPROTOCOL = Subprotocol("digital-session.v1")
OPEN_WITHIN_S = 10.0
CLOSE_WITHIN_S = 2.0


class _Opening(connect):
    """Follows no redirect: a token is for the endpoint that it was given for."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class Connection:
    """Carries out the core's effects; those that are no business of a connection go to ``sink``."""

    def __init__(
        self, url: str, core: Protocol, tokens: Tokens, jitter: Callable[[], float], sink: Callable[[Effect], None]
    ) -> None:
        self._url = url
        self._core = core
        self._tokens = tokens
        self._jitter = jitter
        self._sink = sink
        self._tasks = Tasks()
        self._line: asyncio.Task[None] | None = None
        self._socket: ClientConnection | None = None
        # Bounded by what the core sends unasked: a line that takes nothing is dropped after two heartbeats.
        self._outgoing: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._timer: asyncio.TimerHandle | None = None
        self._online = asyncio.Event()
        self._online.set()
        self._returned = asyncio.Event()

    def network(self, *, online: bool) -> None:
        """Whether there is a network: without one nothing is dialled, and when it returns nothing waits any longer."""
        self._core.online = online
        if online:
            self._online.set()
            self._returned.set()
        else:
            self._online.clear()

    @property
    def now(self) -> float:
        """Seconds of the loop's clock."""
        return asyncio.get_running_loop().time()

    def feed(self, effects: Iterable[Effect]) -> None:
        """Carry out ``effects`` and wake up when the core is next due."""
        for effect in effects:
            match effect:
                case Send(frame):
                    self._outgoing.put_nowait(msgspec.json.encode(frame))
                case HangUp():
                    self._outgoing.put_nowait(None)
                case Dial():
                    self._line = self._tasks.spawn(self._dial(effect))
                case Abort():
                    self._abort()
                case RenewToken():
                    self._tasks.spawn(self._renew())
                case _:
                    self._sink(effect)
        self._plan()

    async def aclose(self) -> None:
        """Wait until what was to be sent is sent and the socket is closed, a bounded time."""
        if self._line is not None and self._socket is not None:
            await asyncio.wait([self._line], timeout=2 * CLOSE_WITHIN_S)
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.cancel()

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._core.deadline
        self._timer = None if deadline is None else asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        # A loop may wake a clock's resolution early; what the timer was set for is due.
        self.feed(self._core.tick(max(self.now, self._core.deadline or 0.0)))

    async def _dial(self, dial: Dial) -> None:
        await self._due(dial.delay_s)
        try:
            loss = await self._hold(dial.refused_token)
            self.feed(self._core.closed(self.now, self._jitter(), loss))
        except Exception as error:  # noqa: BLE001 - a fault of this package must end what waits, not leave it waiting
            self.feed(
                self._core.give_up(DigitalSessionError("The SDK failed; this is a bug in it.", code="internal", cause=error))
            )

    async def _due(self, delay_s: float) -> None:
        self._returned.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._returned.wait()
        await self._online.wait()

    async def _hold(self, refused_token: str | None) -> Loss:
        """Open a socket, read it until it closes, and say how it ended."""
        try:
            token = await (self._tokens.other_than(refused_token) if refused_token else self._tokens.current())
            async with _Opening(
                self._url,
                subprotocols=[SUBPROTOCOL],
                compression=None,
                ping_interval=None,
                open_timeout=OPEN_WITHIN_S,
                close_timeout=CLOSE_WITHIN_S,
            ) as socket:
                return await self._read(socket, token)
        except AuthenticationError as error:
            return Loss(code=TOKEN_REFUSED if refused_token else None, error=error)
        except DigitalSessionError as error:
            return Loss(error=error)
        except InvalidStatus as error:
            return Loss(status=error.response.status_code, error=error)
        except (OSError, InvalidHandshake, InvalidURI, EOFError) as error:
            return Loss(error=error)

    async def _read(self, socket: ClientConnection, token: str) -> Loss:
        if socket.subprotocol != SUBPROTOCOL:
            return Loss(error=ProtocolError("The endpoint does not speak digital-session.v1: check its address."))
        self._socket, self._outgoing = socket, asyncio.Queue()
        writer = asyncio.create_task(self._write(socket, self._outgoing))
        try:
            self.feed(self._core.opened(self.now, token, datetime.now(UTC)))
            async for message in socket:
                self.feed(self._core.received(self.now, message))
        except ConnectionClosed:
            pass
        finally:
            self._socket = None
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
        return Loss(code=socket.close_code)

    async def _write(self, socket: ClientConnection, outgoing: asyncio.Queue[bytes | None]) -> None:
        try:
            while (message := await outgoing.get()) is not None:
                await socket.send(message, text=True)
            await socket.close()
        except ConnectionClosed:
            pass

    def _abort(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()

    async def _renew(self) -> None:
        try:
            token = await self._tokens.other_than(await self._tokens.current())
        except AuthenticationError:
            # The old one holds until it expires; then the platform says so and another is asked for.
            return
        except DigitalSessionError as error:
            self._sink(Trouble(error))
            return
        self.feed(self._core.renewed(token))
