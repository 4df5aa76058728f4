"""What a client, its sessions, requests and subscriptions share: the core and its shell, REST, and who is waiting for what."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from digital_session import _protocol
from digital_session._connection import Connection
from digital_session._effects import (
    Acknowledged,
    CaughtUp,
    Deliver,
    Effect,
    Ended,
    FlagsChanged,
    Started,
    State,
    StateChanged,
    Trouble,
)
from digital_session._handlers import Registration
from digital_session._hydration import Hydrator
from digital_session._memory import Memory
from digital_session._notices import Notices
from digital_session._rest import Rest
from digital_session._submissions import Submissions
from digital_session._tasks import Tasks
from digital_session._tokens import Tokens
from digital_session._track import Track
from digital_session.errors import ClientClosedError, DigitalSessionError
from digital_session.events import Envelope, Reset
from digital_session.options import ClientOptions, Reconnect


class Stream(Protocol):
    """One subscription as the engine sees it; ``behind`` while somebody listens and the replay is not over."""

    @property
    def behind(self) -> bool: ...

    def started(self) -> None: ...

    def acknowledged(self, timeline: str, cursor: str) -> None: ...

    def interrupted(self) -> None: ...

    def deliver(self, item: Envelope | CaughtUp | Reset) -> None: ...

    def finish(self, error: DigitalSessionError | None) -> None: ...


_NO_ENDPOINT = "The endpoint has to look like wss://HOST/v1."


class Address(NamedTuple):
    """Where the WebSocket is, and below what ``/v1/…`` is."""

    websocket: str
    rest: str


def address(endpoint: str) -> Address:
    """Both addresses of one ``endpoint`` such as ``wss://HOST/v1``. Raises ValueError for what cannot be one."""
    try:
        parts = urlsplit(endpoint)
        possible = bool(parts.hostname) and parts.port != 0 and not any(map(str.isspace, endpoint))
    except ValueError as error:
        raise ValueError(_NO_ENDPOINT) from error
    secure = {"ws": "", "http": "", "wss": "s", "https": "s"}.get(parts.scheme)
    path = parts.path.rstrip("/") or "/v1"
    # Credentials in an address would take the token's place in the Authorization header.
    extra = parts.username or parts.password or parts.query or parts.fragment
    if secure is None or not possible or not path.endswith("/v1") or extra:
        raise ValueError(_NO_ENDPOINT)
    return Address(f"ws{secure}://{parts.netloc}{path}", f"http{secure}://{parts.netloc}{path.removesuffix('/v1')}")


class Engine:
    """One client's inside. Everything in it ends with `close`, or with the core's failure, by a typed error."""

    def __init__(self, endpoint: str, options: ClientOptions) -> None:
        where = address(endpoint)
        self._asked_in_use = options.get("in_use", lambda: True)
        reconnect = options.get("reconnect", Reconnect())
        self.tokens = Tokens(options.get("token"), options.get("get_token"))
        self.tasks = Tasks()
        self.notices = Notices(self.tasks, options.get("logger"))
        self.memory = Memory(options.get("storage"), options.get("device_id"), self.tasks, self.report)
        self.core = _protocol.Protocol(
            reconnect,
            _hello(self.memory.device_id),
            renewable=self.tokens.renewable,
            in_use=self._in_use,
        )
        self.rest = Rest(where.rest, self.tokens, reconnect.jitter, options.get("http_transport"))
        kept = self.memory if options.get("persist_submissions", False) else None
        self.submissions = Submissions(self.rest, self.tokens, self.tasks, kept, self.report)
        self.hydrator = Hydrator(self.rest, self.report, enabled=options.get("hydrate", True))
        self._connection = Connection(where.websocket, self.core, self.tokens, reconnect.jitter, self._carry_out)
        self._streams: dict[int, Stream] = {}
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def closed(self) -> bool:
        """The application has closed it."""
        return self.core.state is State.CLOSED

    def ensure_open(self) -> None:
        """Raise what ended the client, if something has."""
        if self.closed:
            raise ClientClosedError("The client is closed: make a new one.")
        if self.core.error is not None:
            raise self.core.error

    def enroll(self, track: Track, stream: Stream) -> int:
        """Subscribe; the number by which `handled` and `leave` know the stream."""
        self.ensure_open()
        local, effects = self.core.subscribe(track)
        self._streams[local] = stream
        self._connection.feed(effects)
        return local

    def handled(self, local: int) -> None:
        """The stream's oldest envelope was handled."""
        self._connection.feed(self.core.handled(self._connection.now, local))

    def leave(self, local: int) -> None:
        """Unsubscribe."""
        self._connection.feed(self.core.unsubscribe(local))

    def beat(self, session_id: str, *, active: bool) -> None:
        """Keep a session alive from now on."""
        self._connection.feed(self.core.beat(session_id, active=active))

    @property
    def online(self) -> bool:
        """Whether there is a network, as far as the application says."""
        return self.core.online

    @online.setter
    def online(self, value: bool) -> None:
        self._connection.network(online=value)
        self.submissions.nudge(online=value)

    def _in_use(self) -> bool:
        """The application's answer; where it fails, somebody may well be there."""
        try:
            return self._asked_in_use()
        except Exception as error:  # noqa: BLE001 - whatever an application's function raises
            self.report(error)
            return True

    def report(self, error: BaseException) -> None:
        """Tell ``client.on("error")``."""
        self.notices.announce("error", error)

    async def call(self, registration: Registration, *arguments: Any) -> None:
        """Run one handler to its end; what it raises is reported and ends nothing else."""
        if not registration.active:
            return
        try:
            await registration.call(*arguments)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self.report(error)
        except Exception as error:  # noqa: BLE001 - whatever an application's handler raises
            self.report(error)

    async def caught_up(self) -> None:
        """Wait until nothing that somebody listens to is replaying any more."""
        self.ensure_open()
        if not self._behind():
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def look(self) -> None:
        """A replay may be over: wake those who wait for it."""
        if not self._behind():
            for waiter in self._waiters:
                _resolve(waiter, None)

    async def close(self) -> None:
        """End everything; what was handled is acknowledged first."""
        self._connection.feed(self.core.close())
        await self._connection.aclose()
        await self.memory.saved()
        # Whoever listens is told that it is closed.
        await asyncio.sleep(0)
        await self.tasks.cancel()
        await self.rest.aclose()

    def _behind(self) -> bool:
        listening = [stream for stream in self._streams.values() if stream.behind]
        return bool(listening) or (bool(self._streams) and self.core.state is not State.CONNECTED)

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Deliver(local, item):
                self._streams[local].deliver(item)
            case Started(local):
                self._streams[local].started()
            case Ended(local, error):
                self._streams.pop(local).finish(error)
                self.look()
            case Acknowledged(timeline, cursor):
                for stream in self._streams.values():
                    stream.acknowledged(timeline, cursor)
            case _:
                self._tell(effect)

    def _tell(self, effect: Effect) -> None:
        match effect:
            case StateChanged(state, error):
                self._changed(state, error)
            case FlagsChanged(flags):
                self.notices.announce("flags", flags)
            case Trouble(error):
                self.report(error)
            case _:
                raise TypeError(f"No effect of this kind is known: {effect}")

    def _changed(self, state: State, error: DigitalSessionError | None) -> None:
        self.notices.announce("state", state, error)
        if state is State.RECONNECTING:
            for stream in self._streams.values():
                stream.interrupted()
        if state is State.CONNECTED:
            self.memory.keep_device()
            self.submissions.nudge(online=self.core.online)
            self.look()
        if state in (State.FAILED, State.CLOSED):
            self.submissions.fail(error)
            for waiter in self._waiters:
                _resolve(waiter, error or ClientClosedError("The client was closed."))
        if state is State.FAILED and error is not None:
            self.report(error)


def _resolve(waiter: asyncio.Future[None], error: DigitalSessionError | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)


def _hello(device_id: str | None) -> Mapping[str, Any]:
    client = {
        "name": "digital-session-python",
        "version": version("digital-session"),
        "platform": platform.system().lower() or "python",
    }
    return {"client": client, **({"device_id": device_id} if device_id else {})}
