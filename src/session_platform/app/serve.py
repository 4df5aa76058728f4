"""One port: uvicorn speaks HTTP on it and hands every WebSocket upgrade to the gateway's protocol class."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
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
CUT_OFF_EARLIER_S = 1


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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends by itself within `GRACE_S`: a client that does not finish its request by then is cut off."""
        cutting = asyncio.get_running_loop().call_later(GRACE_S - CUT_OFF_EARLIER_S, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()

    def _cut_off(self) -> None:
        for connection in self.server_state.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _is_news(record: logging.LogRecord) -> bool:
    """uvicorn reports a request that the end of the process cancelled with a traceback, as if the application had failed."""
    return record.exc_info is None or not isinstance(record.exc_info[1], asyncio.CancelledError)


def http_server(app: Any, websocket: type[asyncio.Protocol]) -> Server:
    """A server for `app` whose upgrades become `websocket` connections."""
    logging.getLogger("uvicorn.error").addFilter(_is_news)
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
