"""Clients that do not give up: they submit with an Idempotency-Key until they are answered, and listen from where they were."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from digital_session import DigitalSessionClient, Reconnect
from tests.faults.promises import Event, number, suffix
from tests.running import Running, receive, send

PATIENCE_S = 120
SOON = Reconnect(base_s=0.02, cap_s=0.2)
"""An SDK's reconnects, hurried."""


class Moments:
    """What has happened so far, over all clients, for whoever waits for the n-th thing to happen; and whether the platform
    can be reached, for whoever has to try again."""

    def __init__(self) -> None:
        self.count = 0
        self.reachable = asyncio.Event()
        self._changed = asyncio.Condition()

    async def note(self) -> None:
        async with self._changed:
            self.count += 1
            self._changed.notify_all()

    async def until(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.count >= count)


@dataclass(frozen=True, slots=True)
class Member:
    """Who asks, with which token."""

    member_id: str
    token: str

    @property
    def subscription(self) -> dict[str, str]:
        return {"type": "member", "member_id": self.member_id}


async def insist(http: httpx2.AsyncClient, moments: Moments, path: str, key: str, body: Mapping[str, Any]) -> Any:
    """POST until it is acknowledged, always with the same key; the answer."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await moments.reachable.wait()
            with contextlib.suppress(httpx2.TransportError):
                answer = await http.post(path, json=body, headers={"Idempotency-Key": key})
                if answer.is_success:
                    await moments.note()
                    return answer.json()
                assert answer.status_code == 503 or answer.json()["detail"].startswith("The first request"), answer.text


class Journal:
    """The durable events that a client was given, in that order, and whoever waits for more of them."""

    def __init__(self, moments: Moments) -> None:
        self.events: list[Event] = []
        self.superseded: set[int] = set()
        self._ended: set[str] = set()
        self._moments = moments
        self._longer = asyncio.Condition()

    async def write_down(self, event: Event, superseded: Collection[int] = ()) -> None:
        async with self._longer:
            self.events.append(event)
            self.superseded.update(superseded)
            if suffix(event) == "service-request.completed":
                self._ended.add(event["data"]["service_request_id"])
            self._longer.notify_all()
        await self._moments.note()

    async def reached(self, seq: int) -> None:
        """Until the event of this number is here."""
        await self._until(lambda: bool(self.events) and number(self.events[-1]) >= seq)

    async def ended(self, requests: Collection[str]) -> None:
        """Until all of these have ended."""
        await self._until(lambda: self._ended.issuperset(requests))

    async def heard(self, name: str) -> None:
        """Until there is an event of this name."""
        await self._until(lambda: any(suffix(event) == name for event in self.events))

    async def _until(self, so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._longer:
            await self._longer.wait_for(so)


class Listener:
    """Keeps a journal over any number of connections; each one resumes after the last event that it wrote down."""

    def __init__(self, platform: Running, moments: Moments, member: Member) -> None:
        self.member = member
        self.journal = Journal(moments)
        self.cursor: str | None = None
        self.connections = 0
        self._platform = platform
        self._moments = moments

    async def run(self) -> None:
        while True:
            await self._moments.reachable.wait()
            with contextlib.suppress(ConnectionClosed, InvalidHandshake, OSError):
                await self._listen()

    async def _listen(self) -> None:
        async with self._platform.socket(self.member.token) as socket:
            start = {"since": "beginning"} if self.cursor is None else {"cursor": self.cursor}
            await send(socket, {"type": "subscribe", "subscription": self.member.subscription, **start})
            subscribed = await receive(socket)
            assert subscribed["type"] == "subscribed", subscribed
            assert subscribed["recovered"] is (None if self.cursor is None else True)
            self.connections += 1
            async for frame in frames(socket):
                if is_durable(frame):
                    await self.journal.write_down(frame["event"], frame.get("superseded", ()))
                    self.cursor = frame["cursor"]


class SdkListener:
    """The same, by the Python SDK: it reconnects and resumes by itself."""

    def __init__(self, moments: Moments, member: Member) -> None:
        self.member = member
        self.journal = Journal(moments)

    async def run(self, client: DigitalSessionClient) -> None:
        async for envelope in await client.subscribe(member_id=self.member.member_id, since="beginning"):
            if envelope.key is not None:
                await self.journal.write_down(dict(envelope.event))


def sdk(platform: Running, member: Member) -> DigitalSessionClient:
    """A client in a hurry, of events as they are on the wire."""
    return DigitalSessionClient(platform.endpoint, token=member.token, reconnect=SOON, hydrate=False)


async def frames(socket: Any) -> AsyncIterator[dict[str, Any]]:
    """Every frame until the connection ends. Raises `ConnectionClosed`."""
    while True:
        yield await receive(socket, PATIENCE_S)


async def whole_timeline(platform: Running, member: Member) -> list[Event]:
    """Read from the beginning to its head, by a client that knows nothing."""
    events: list[Event] = []
    async with platform.socket(member.token) as socket:
        await send(socket, {"type": "subscribe", "since": "beginning", "subscription": member.subscription})
        async for frame in frames(socket):
            if frame["type"] == "caught_up":
                break
            if is_durable(frame):
                events.append(frame["event"])
    return events


def is_durable(frame: Mapping[str, Any]) -> bool:
    """Whether the frame is an event that has a number."""
    return frame["type"] == "event" and "timelineseq" in frame["event"]
