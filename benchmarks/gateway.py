"""What a connection of the gateway costs: memory while idle, CPU for each delivered event. ``python -m benchmarks.gateway``.

Server and clients are processes of their own, on loopback. The server is the real gateway behind uvicorn on uvloop, with a real
store and real (HS256) tokens; events are handed to its router as the log would hand them over. ``floor`` is the least that
could be done: the same bytes of each event written to the same number of plain uvloop protocols. Ratios to it travel between
machines.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import uvloop

from benchmarks.child import Child
from session_platform.access import (
    Identity,
    OriginPolicy,
    Rights,
    RightsWatch,
    TokenVerifier,
    TransportPolicy,
    mint_development_token,
)
from session_platform.app.serve import http_server, listen
from session_platform.clock import SystemClock
from session_platform.gateway import Desk, Gate, Hub, Limits
from session_platform.gateway.websocket import text_header
from session_platform.ids import IdMint
from session_platform.store import StoredEvent
from session_platform.store.sqlite import SqliteStore
from session_platform.timeline import Acknowledgements, CursorCodec, History, Router, Windows

SECRET = b"a secret for a benchmark, nothing else"
BODY = b'{"specversion":"1.0","data":{"note":"' + b"x" * 660 + b'"}}'
WARM_UP = 200
REQUEST = (
    b"GET /v1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(b"0123456789abcdef") + b"\r\n"
    b"Sec-WebSocket-Protocol: digital-session.v1\r\n\r\n"
)


def rss_kib() -> int:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# ----------------------------------------------------------------------------------------------------------------- the server


class GatewayServer:
    """The gateway; `deliver` publishes ``burst`` events to each of the members."""

    def __init__(self, store: SqliteStore) -> None:
        clock, codec = SystemClock(), CursorCodec({1: b"a key for a benchmark"})
        self.windows = Windows(codec)
        self.router = Router(self.windows)
        desk = Desk(
            store=store,
            history=History(store, self.windows, codec),
            router=self.router,
            windows=self.windows,
            codec=codec,
            verifier=TokenVerifier(development_secret=SECRET),
            rights=Rights((), lambda _, __: ()),
            watch=RightsWatch(store, SystemClock()),
            acknowledgements=Acknowledgements(store),
            session_owner=lambda _, __: None,
            request_owner=lambda _, __: None,
            touch=_touch,
            flags=lambda _: {},
            clock=clock,
            ids=IdMint(),
        )
        self.hub = Hub(desk, Gate(OriginPolicy((), insecure=True), TransportPolicy(insecure=True).plaintext_refused), Limits())
        self.sequence: dict[str, int] = {}
        self.count = 0

    async def serve(self) -> int:
        listener = listen("127.0.0.1", 0)
        self.server = http_server(None, self.hub.protocol_class())
        self.task = asyncio.create_task(self.server.serve(sockets=[listener]))
        await until(lambda: self.server.started)
        return int(listener.getsockname()[1])

    async def stop(self) -> None:
        await self.hub.drain(0)
        self.server.should_exit = True
        await self.task

    def deliver(self, members: list[str], burst: int) -> None:
        events = []
        for member in members:
            for _ in range(burst):
                seq = self.sequence[member] = self.sequence.get(member, 0) + 1
                self.count += 1
                events.append(StoredEvent(self.count, member, 1, seq, 7, "task.assigned", "sess_1", None, BODY))
        self.router.publish(events)

    @property
    def connections(self) -> int:
        return self.hub.counts().connections


class FloorServer:
    """Plain protocols that are written to."""

    def __init__(self) -> None:
        self.sockets: list[asyncio.Transport] = []
        head = b'{"type":"event","subscription_ids":["sub_01kf0hj0808z3f6cnyyct85725"],"cursor":"' + b"A" * 52 + b'","event":'
        payload = head + BODY + b"}"
        self.frame = text_header(len(payload)) + payload

    async def serve(self) -> int:
        server = self

        class Plain(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport = cast("asyncio.Transport", transport)
                server.sockets.append(self.transport)

            def data_received(self, data: bytes) -> None:
                if data.startswith(b"GET"):
                    self.transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")

            def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
                server.sockets.remove(self.transport)

        self.server = await asyncio.get_running_loop().create_server(Plain, sock=listen("127.0.0.1", 0))
        return int(self.server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self.server.close()

    def deliver(self, members: list[str], burst: int) -> None:
        for transport in self.sockets[: len(members)]:
            transport.write(self.frame * burst)

    @property
    def connections(self) -> int:
        return len(self.sockets)


async def _touch(_: Identity, __: str, ___: bool) -> None:
    return None


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.01)


async def serve(kind: str) -> None:
    """Answer commands from stdin, one JSON object a line, until it ends."""
    raise_file_limit()
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder), SystemClock(), IdMint())
        server = GatewayServer(store) if kind == "gateway" else FloorServer()
        print(json.dumps({"port": await server.serve()}), flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            command = json.loads(line)
            if command["do"] == "deliver":
                before, started = cpu_s(), time.perf_counter()
                for _ in range(command["rounds"]):
                    for first in range(0, len(command["members"]), command["at_once"]):
                        server.deliver(command["members"][first : first + command["at_once"]], command["burst"])
                        await asyncio.sleep(0)
                    await asyncio.sleep(0.02)
                print(json.dumps({"cpu_s": cpu_s() - before, "took_s": time.perf_counter() - started}), flush=True)
            else:
                gc.collect()
                print(json.dumps({"rss_kib": rss_kib(), "cpu_s": cpu_s(), "connections": server.connections}), flush=True)
        await server.stop()
        await store.close()


# ---------------------------------------------------------------------------------------------------------------- the clients


class Client(asyncio.Protocol):
    """Upgrades, connects, subscribes, and then counts."""

    def __init__(self, crowd: Crowd, member: str, subscribes: bool) -> None:
        self.crowd = crowd
        self.member = member
        self.subscribes = subscribes
        self.steps = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.crowd.received_bytes += len(data)
        if self.steps == 0 and data.startswith(b"HTTP/1.1 101"):
            self.steps = 1
            if not self.crowd.speaks:
                self.crowd.arrived()
                return
            self.say({"type": "connect", "token": self.crowd.token(self.member)})
        elif self.steps == 1 and b'"connected"' in data:
            self.steps = 2
            if self.subscribes:
                self.say({"type": "subscribe", "subscription": {"type": "member", "member_id": self.member}})
            else:
                self.crowd.arrived()
        elif self.steps == 2 and b'"caught_up"' in data:
            self.steps = 3
            self.crowd.arrived()

    def say(self, frame: dict[str, Any]) -> None:
        payload = json.dumps(frame).encode()
        head = b"\x81" + (bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2))
        self.transport.write(head + b"\0\0\0\0" + payload)


class Crowd:
    """Many clients in one process."""

    def __init__(self, port: int, speaks: bool) -> None:
        self.port = port
        self.speaks = speaks
        self.clients: list[Client] = []
        self.received_bytes = 0
        self._waiting = asyncio.Event()
        self._here = 0

    def token(self, member: str) -> str:
        now = SystemClock().now()
        claims: dict[str, Any] = {"member_id": member, "account_ids": ["A1"]}
        return mint_development_token(SECRET, subject=member, roles=["member"], now=now, expires_in_s=3600, claims=claims)

    def arrived(self) -> None:
        self._here += 1
        self._waiting.set()

    async def come(self, members: list[str], *, subscribes: bool) -> None:
        """A few at a time, as the accept queue allows."""
        loop = asyncio.get_running_loop()
        for first in range(0, len(members), 200):
            some = members[first : first + 200]
            wanted = self._here + len(some)
            for member in some:
                _, client = await loop.create_connection(lambda m=member: Client(self, m, subscribes), "127.0.0.1", self.port)  # type: ignore[misc]
                self.clients.append(client)
            while self._here < wanted:
                self._waiting.clear()
                await asyncio.wait_for(self._waiting.wait(), 30)

    async def go(self) -> None:
        for client in self.clients:
            client.transport.abort()
        self.clients.clear()
        await asyncio.sleep(0.5)


# ------------------------------------------------------------------------------------------------------------ the measurements


async def measure(kind: str, connections: int, note: Callable[[str, str], None]) -> dict[int, float]:
    """Memory of ``connections``, then µs of CPU for each event delivered to 1,000 of them, by burst."""
    server = Child("benchmarks.gateway", "--serve", kind)
    crowd = Crowd(server.port, speaks=kind == "gateway")
    try:
        await crowd.come([f"W{number}" for number in range(WARM_UP)], subscribes=True)
        await server.do(do="deliver", members=[f"W{number}" for number in range(WARM_UP)], rounds=5, burst=4, at_once=WARM_UP)
        await crowd.go()
        base = await server.do(do="look")
        members = [f"M{number}" for number in range(connections)]
        for subscribes, what in ((False, "connected"), (True, "connected, one subscription")):
            before = await server.do(do="look")
            await crowd.come(members, subscribes=subscribes)
            after = await server.do(do="look")
            assert after["connections"] >= connections
            note(f"{kind}: RSS per idle connection, {what}", f"{(after['rss_kib'] - base['rss_kib']) / connections:.1f} KiB")
            note(f"{kind}: CPU to come in, {what}", f"{(after['cpu_s'] - before['cpu_s']) / connections * 1e6:.0f} µs")
            if not subscribes:
                await crowd.go()
        return {burst: await deliveries(server, crowd, members, burst, kind, note) for burst in (1, 4)}
    finally:
        await crowd.go()
        server.stop()


async def deliveries(
    server: Child, crowd: Crowd, members: list[str], burst: int, kind: str, note: Callable[[str, str], None]
) -> float:
    """µs of the server's CPU for each event, the lowest of three runs (other programs only add)."""
    some, rounds = members[:1000], 20
    runs: list[float] = []
    for _ in range(3):
        before = crowd.received_bytes
        done = await server.do(do="deliver", members=some, rounds=rounds, burst=burst, at_once=50)
        events = len(some) * rounds * burst
        await until(lambda: crowd.received_bytes - before >= events * len(BODY))  # noqa: B023 (awaited at once)
        runs.append(done["cpu_s"] / events * 1e6)
    note(f"{kind}: CPU per delivered event, bursts of {burst}", f"{min(runs):.1f} µs")
    return min(runs)


async def main(connections: int) -> None:
    raise_file_limit()

    def note(what: str, value: str) -> None:
        print(f"| {what} | {value} |", flush=True)

    print(f"{connections} connections, events of {len(BODY)} bytes, {os.cpu_count()} cores, Python {sys.version.split()[0]}\n")
    print("| what | measured |\n|---|---|")
    gateway = await measure("gateway", connections, note)
    floor = await measure("floor", connections, note)
    for burst, cost in gateway.items():
        note(f"ratio to the floor, bursts of {burst}", f"{cost / floor[burst]:.2f}")


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--serve", choices=("gateway", "floor"))
    options.add_argument("--connections", type=int, default=10_000)
    chosen = options.parse_args()
    uvloop.run(serve(chosen.serve) if chosen.serve else main(chosen.connections))
