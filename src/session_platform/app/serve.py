"""One port: uvicorn speaks HTTP on it and hands every WebSocket upgrade to the gateway's protocol class."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

from session_platform.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

# Slow readers hide in the kernel: with the default buffer megabytes leave before the transport shows any back-pressure.
SEND_BUFFER_BYTES = 16 * 1024
BACKLOG = 4096
GRACE_S = 5


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises `StartError` when the address is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise StartError(f"Port {port} on {host} is taken: stop the other program or choose another with --port.") from None
        raise StartError(f"Cannot listen on {host} port {port}: {error.strerror or error}.") from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: the platform decides how it ends. ``listening`` is set once it serves."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http_server(app: Any, websocket: type[asyncio.Protocol]) -> Server:
    """A server for `app` whose upgrades become `websocket` connections."""
    return Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws=websocket,
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def on_stop_signals(callback: Callable[[], None]) -> None:
    """Call back once for SIGTERM or SIGINT; a second signal ends the process the hard way."""
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
        signal.signal(number, signal.SIG_DFL)
        callback()

    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop, each)
