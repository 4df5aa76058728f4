"""``session-platform up``: everything in one process, from the first line on the terminal to the last goodbye."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import socket
import sys
import threading
import traceback
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import structlog

from session_platform.access import is_loopback
from session_platform.app import logs
from session_platform.app.simulator import Simulator
from session_platform.clock import SystemClock
from session_platform.errors import Broken, StartError, Unavailable, kind_and_place

if TYPE_CHECKING:
    from session_platform.app.settings import Settings
    from session_platform.app.wiring import Parts

DEMO_MEMBER: Final = "M123456"
DEMO_ACCOUNT: Final = "A789012"
ACKNOWLEDGEMENTS_EVERY_S: Final = 1.0
LEAVE_WITHIN_S: Final = 3.0
TOKEN_FOR_S: Final = 3600

_log = structlog.get_logger(__name__)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises `StartError`, and `Broken` when one of the parts breaks while it serves."""
    import uvloop

    if settings.insecure and not is_loopback(settings.host):
        raise StartError("--insecure works on loopback only: leave --host out, or set up TLS and a JWKS.")
    if not settings.insecure and not settings.jwks:
        raise StartError("There is nothing to verify tokens with: set SESSION_PLATFORM_JWKS, or try it with --insecure.")
    _check_keys(settings.jwks)
    logs.configure(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_serve(settings))
        except Broken as broken:
            _leave_within(LEAVE_WITHIN_S, 1, f"session-platform: {broken}\n")
            raise
        _leave_within(LEAVE_WITHIN_S, 0)


def _leave_within(seconds: float, status: int, last_words: str = "") -> None:
    """Everything is written down and closed; all that may still be there is somebody's function that takes no notice of being
    stopped. It does not keep the process."""

    def leave() -> None:
        sys.stderr.write(last_words)
        sys.stderr.flush()
        os._exit(status)

    timer = threading.Timer(seconds, leave)
    timer.daemon = True
    timer.start()


def _check_keys(location: str) -> None:
    """A JWKS file that cannot be used is said at once; an address may be away for a while, and ``/readyz`` says so meanwhile.
    Raises `StartError`."""
    if not location or location.startswith(("http://", "https://")):
        return
    from session_platform.access import read_jwks

    try:
        keys = read_jwks(Path(location).read_bytes())
    except OSError as error:
        raise StartError(f"SESSION_PLATFORM_JWKS names a file that cannot be read: {error.strerror or error}.") from None
    except ValueError:
        raise StartError("SESSION_PLATFORM_JWKS names a file that is no JWKS: it has to be JSON with a list of keys.") from None
    if not keys:
        raise StartError(
            "SESSION_PLATFORM_JWKS names a file without a key that verifies tokens: RSA of 2048 bits, P-256 or Ed25519."
        )


async def _serve(settings: Settings) -> None:
    stopping = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        # The simulators' process starts while this one imports.
        starting = asyncio.create_task(_simulator(stack, settings))
        await asyncio.sleep(0)
        from session_platform.app import serve, wiring

        simulator = await starting
        url = "" if simulator is None else simulator.url
        parts = await wiring.embedded(settings, SystemClock(), url, stopping.is_set)
        stack.push_async_callback(_close, parts)
        listener = serve.listen(settings.host, settings.port)
        stack.callback(listener.close)
        await parts.follower.start()
        server = serve.http_server(parts.api, parts.hub.protocol_class())
        serve.on_stop_signals(stopping.set)
        async with _background(parts, simulator) as group:
            serving = group.create_task(_part("server", server.serve(sockets=[listener])))
            await server.listening.wait()
            _announce(settings, listener)
            await stopping.wait()
            await parts.hub.drain(settings.drain_seconds)
            server.should_exit = True
            await serving


async def _simulator(stack: contextlib.AsyncExitStack, settings: Settings) -> Simulator | None:
    """None: the settings have an address for every system outside."""
    if settings.clearinghouse_url and settings.enrollment_url:
        return None
    simulator = await Simulator.start(settings.simulator_speed)
    stack.push_async_callback(simulator.close)
    return simulator


@contextlib.asynccontextmanager
async def _background(parts: Parts, simulator: Simulator | None) -> AsyncIterator[asyncio.TaskGroup]:
    """What runs beside the server. One that breaks ends the process: a supervisor starts a whole one, not half of one."""
    running = {
        "follower": parts.follower.run(),
        "groups": parts.groups.run(),
        "rights": parts.watch.run(),
        "monitor": parts.monitor.run(),
        "worker": parts.worker.run(),
        "sealer": parts.sealer.run(),
        "upkeep": parts.upkeep.run(),
        "tally": parts.tally.run(),
        "acknowledgements": _keep_acknowledgements(parts),
    }
    if simulator is not None:
        running["simulator"] = simulator.keep()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_part(name, work), name=name) for name, work in running.items()]
            yield group
            for task in tasks:
                task.cancel()
    except ExceptionGroup as broken:
        raise broken.exceptions[0] from None


async def _part(name: str, work: Coroutine[Any, Any, None]) -> None:
    """Work that is not meant to end by an error. Raises `Broken`; the log has the place, never the message: that may quote
    health data."""
    try:
        await work
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends the process in one sentence
        first: Exception = error
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        stack = traceback.extract_tb(first.__traceback__)
        _log.critical("part.broken", part=name, error=type(first).__name__, stack=stack.format())
        raise Broken(
            f"The platform ended because its {name} broke ({kind_and_place(first)}): start it again, "
            "nothing acknowledged is lost; the log above says more for a report."
        ) from None


async def _keep_acknowledgements(parts: Parts) -> None:
    while True:
        await asyncio.sleep(ACKNOWLEDGEMENTS_EVERY_S)
        with contextlib.suppress(Unavailable):
            await parts.acknowledgements.flush()


async def _close(parts: Parts) -> None:
    """Write down what was only noted, then close; a store that is away keeps nobody from ending."""
    for flush in (parts.touches.flush, parts.acknowledgements.flush, parts.sealer.close):
        with contextlib.suppress(Unavailable):
            await flush()
    await parts.clearinghouse.aclose()
    await parts.enrollment.aclose()
    await parts.store.close()
    await asyncio.to_thread(parts.tracing.close)


def _announce(settings: Settings, listener: socket.socket) -> None:
    """What a person needs next; the last line is for programs that wait for it."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    http, ws = ("http", "ws") if settings.insecure else ("https", "wss")
    lines = [
        "Digital Session Platform",
        f"  REST       {http}://{shown}/v1",
        f"  WebSocket  {ws}://{shown}/v1",
        f"  API        {http}://{shown}/openapi.json",
        f"  Ready      {http}://{shown}/readyz",
        f"  Data       {settings.data.resolve()}",
    ]
    if settings.insecure:
        lines += _next_steps(settings, f"{ws}://{shown}/v1")
    sys.stdout.write("\n".join([*lines, f"ready http://{shown}", ""]))
    sys.stdout.flush()


def _next_steps(settings: Settings, endpoint: str) -> list[str]:
    from session_platform.app.development import Subject, development_token

    token = development_token(settings, Subject(member=DEMO_MEMBER), TOKEN_FOR_S)
    command = shlex.quote(_command())
    data = shlex.quote(str(settings.data))
    minted = f'"$({command} token --member {DEMO_MEMBER} --data {data})"'
    check = f"{command} check-coverage --member {DEMO_MEMBER} --account {DEMO_ACCOUNT}"
    return [
        "  Insecure   plaintext and development tokens, on loopback only",
        "",
        f"A token of member {DEMO_MEMBER}, for an hour:",
        f"  {token}",
        "",
        "Try it, in a second terminal:",
        f"  {check} --endpoint {endpoint} --token {minted}",
        "",
    ]


def _command() -> str:
    """How the reader can call what runs here: as short as it can be from where they are."""
    path = Path(sys.argv[0]).absolute()
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
