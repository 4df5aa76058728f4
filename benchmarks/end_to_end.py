"""The whole platform in one process: command to client, replay, and start to ready. ``python -m benchmarks.end_to_end``.

Server and clients are processes of their own on loopback. The server is the platform as `up` wires it; a command is the
smallest one there is, a transaction that emits one event. An event carries the moment at which its command was handed to the
store, on the clock that both processes share: the figures hold the wait for the writer, the fsync, the log, the router, the
gateway and the socket.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.child import Child
from benchmarks.gateway import REQUEST, raise_file_limit
from session_platform.access import mint_development_token
from session_platform.app import serve, wiring
from session_platform.app.development import development_secret
from session_platform.app.settings import Settings
from session_platform.clock import SystemClock
from session_platform.contract import TaskInProgressEvent
from session_platform.store import Tx

CONNECTIONS = 1000
EVENTS_PER_S = 1000
SECONDS = 10
REPLAYED = 10_000
STARTS = 3
STAMP = b'"started_by":"at:'


# ----------------------------------------------------------------------------------------------------------------- the server


async def serve_platform(data: Path) -> None:
    """Serve; ``load`` and ``fill`` come as JSON lines on stdin."""
    raise_file_limit()
    settings = Settings.load(data=data, port=0, insecure=True)
    parts = await wiring.embedded(settings, SystemClock(), "http://127.0.0.1:9", lambda: False)
    listener = serve.listen("127.0.0.1", 0)
    await parts.follower.start()
    server = serve.http_server(parts.api, parts.hub.protocol_class())
    following = asyncio.create_task(parts.follower.run())
    working = asyncio.create_task(parts.worker.run())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.listening.wait()
    print(json.dumps({"port": listener.getsockname()[1]}), flush=True)
    loop = asyncio.get_running_loop()

    def emit(tx: Tx, member: str) -> None:
        stamp = f"at:{time.monotonic():.6f}"
        tx.emit(TaskInProgressEvent(task_id="task_benchmark", member_id=member, session_id="sess_benchmark", started_by=stamp))

    async def one(member: str) -> None:
        stamp = f"at:{time.monotonic():.6f}"
        event = TaskInProgressEvent(task_id="task_benchmark", member_id=member, session_id="sess_benchmark", started_by=stamp)
        await parts.store.run(lambda tx: tx.emit(event), member)

    def many(tx: Tx) -> None:
        for _ in range(100):
            emit(tx, "M1")

    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        before = time.process_time()
        if command["do"] == "load":
            await _load(one, command["members"], command["per_s"], command["seconds"])
        else:
            for _ in range(command["events"] // 100):
                await parts.store.run(many, "M1")
        print(json.dumps({"cpu_s": time.process_time() - before}), flush=True)
    await parts.hub.drain(0)
    server.should_exit = True
    await serving
    for task in (following, working):
        task.cancel()
    await asyncio.gather(following, working, return_exceptions=True)
    await parts.clearinghouse.aclose()
    await parts.store.close()


async def _load(one: Any, members: list[str], per_s: int, seconds: int) -> None:
    """An open loop: events are due at their times, whether the ones before are done or not."""
    began = time.monotonic()
    running: set[asyncio.Task[None]] = set()
    for number in range(per_s * seconds):
        due = began + number / per_s
        wait = due - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        task = asyncio.create_task(one(members[number % len(members)]))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)


# ---------------------------------------------------------------------------------------------------------------- the clients


class Listener(asyncio.Protocol):
    """Connects, subscribes, and notes how late each event is."""

    def __init__(self, token: str, member: str, since: str | None, ready: asyncio.Event, late_s: list[float]) -> None:
        self.token, self.member, self.since = token, member, since
        self.ready, self.late_s = ready, late_s
        self.steps = 0
        self.events = 0
        self.rest = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        data = self.rest + data
        if self.steps == 0 and b"\r\n\r\n" in data:
            self.steps = 1
            self._say({"type": "connect", "token": self.token})
        elif self.steps == 1 and b'"connected"' in data:
            self.steps = 2
            frame: dict[str, Any] = {"type": "subscribe", "subscription": {"type": "member", "member_id": self.member}}
            self._say(frame | ({"since": self.since} if self.since else {}))
        self.events += data.count(b'"type":"event"')
        start = 0
        while (found := data.find(STAMP, start)) >= 0:
            end = data.find(b'"', found + len(STAMP))
            if end < 0:
                break
            self.late_s.append(now - float(data[found + len(STAMP) : end]))
            start = end
        if b'"caught_up"' in data:
            self.ready.set()
        # A stamp or a type may be cut by the end of a read: keep what could be the beginning of one.
        cut = data.rfind(STAMP, start)
        self.rest = data[cut:] if cut >= 0 else data[max(start, len(data) - len(STAMP)) :]
        self.events -= self.rest.count(b'"type":"event"')

    def _say(self, frame: dict[str, Any]) -> None:
        payload = json.dumps(frame).encode()
        head = b"\x81" + (bytes((0x80 | len(payload),)) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2))
        self.transport.write(head + b"\0\0\0\0" + payload)


class Platform(Child):
    """The server process."""

    def __init__(self, data: Path) -> None:
        super().__init__("benchmarks.end_to_end", "--serve", str(data))
        self._secret = development_secret(data)

    def token(self, member: str) -> str:
        claims: dict[str, Any] = {"member_id": member, "account_ids": [f"A{member[1:]}"]}
        now = SystemClock().now()
        return mint_development_token(self._secret, subject=member, roles=["member"], now=now, expires_in_s=3600, claims=claims)

    async def listen(self, member: str, since: str | None, late_s: list[float]) -> tuple[Listener, asyncio.Event]:
        ready = asyncio.Event()
        loop = asyncio.get_running_loop()
        token = self.token(member)
        _, listener = await loop.create_connection(
            lambda: Listener(token, member, since, ready, late_s), "127.0.0.1", self.port
        )
        return listener, ready


# ------------------------------------------------------------------------------------------------------------ the measurements


def note(what: str, value: str) -> None:
    print(f"| {what} | {value} |", flush=True)


async def latency(platform: Platform) -> None:
    late_s: list[float] = []
    members = [f"M{500_000 + number}" for number in range(CONNECTIONS)]
    listeners = []
    for first in range(0, len(members), 50):
        some = [await platform.listen(member, None, late_s) for member in members[first : first + 50]]
        for _, ready in some:
            await asyncio.wait_for(ready.wait(), 30)
        listeners += [listener for listener, _ in some]
    await platform.do(do="load", members=members, per_s=EVENTS_PER_S, seconds=2)
    await asyncio.sleep(0.5)
    late_s.clear()
    done = await platform.do(do="load", members=members, per_s=EVENTS_PER_S, seconds=SECONDS)
    await asyncio.sleep(1)
    assert len(late_s) == EVENTS_PER_S * SECONDS, f"{len(late_s)} of {EVENTS_PER_S * SECONDS} events came"
    cuts = statistics.quantiles(late_s, n=1000)
    what = f"command to client at {EVENTS_PER_S} events/s, {CONNECTIONS} connections"
    note(f"{what}: p50, p95, p99", f"{cuts[499] * 1e3:.1f}, {cuts[949] * 1e3:.1f}, {cuts[989] * 1e3:.1f} ms")
    note("CPU of the process for each of these events", f"{done['cpu_s'] / len(late_s) * 1e6:.0f} µs")
    for listener in listeners:
        listener.transport.abort()


async def replay(platform: Platform) -> None:
    await platform.do(do="fill", events=REPLAYED)
    times = []
    for _ in range(3):
        late_s: list[float] = []
        began = time.monotonic()
        listener, ready = await platform.listen("M1", "beginning", late_s)
        await asyncio.wait_for(ready.wait(), 60)
        times.append(time.monotonic() - began)
        assert len(late_s) >= REPLAYED, f"{len(late_s)} events came"
        listener.transport.abort()
    note(f"replay of {REPLAYED} events of one member, connect included", f"{min(times):.2f} s")


def start_to_ready(folder: Path) -> None:
    times = []
    for number in range(STARTS):
        command = [str(Path(sys.executable).with_name("session-platform")), "up", "--insecure", "--port", "0"]
        began = time.monotonic()
        process = subprocess.Popen([*command, "--data", str(folder / f"start{number}")], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        while not process.stdout.readline().startswith("ready "):
            assert process.poll() is None
        times.append(time.monotonic() - began)
        process.terminate()
        process.wait(timeout=30)
    note(f"start to ready, simulator included (best of {STARTS})", f"{min(times):.2f} s")


async def main() -> None:
    raise_file_limit()
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}\n\n| what | measured |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        start_to_ready(Path(folder))
        platform = Platform(Path(folder) / "data")
        try:
            await latency(platform)
            await replay(platform)
        finally:
            platform.stop()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--serve", type=Path)
    chosen = options.parse_args()
    uvloop.run(serve_platform(chosen.serve) if chosen.serve else main())
