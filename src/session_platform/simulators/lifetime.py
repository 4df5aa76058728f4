"""A simulator lives no longer than the process that started it, however that one ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from contextlib import suppress
from typing import Final

STDIN: Final = 0
LOOK_AT_PARENT_S: Final = 1.0


class Lifetime:
    """Watches from its creation on; on the running loop.

    A parent that means to be watched gives us a pipe; its end of the pipe closes with it, kill -9 included. An inherited
    terminal, file or /dev/null says nothing of the parent and is not read; then, and should a third process hold the pipe
    open, the parent's end shows in our parent changing.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._parent = os.getppid()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._ended.set)
        if _is_pipe(STDIN):
            self._loop.add_reader(STDIN, self._drain)

    async def over(self) -> None:
        """Return when the parent closed our standard input, when it is gone, or on SIGTERM or SIGINT."""
        while not self._ended.is_set() and os.getppid() == self._parent:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AT_PARENT_S):
                    await self._ended.wait()
        self._loop.remove_reader(STDIN)

    def _drain(self) -> None:
        """What comes in means nothing; the end of it does."""
        try:
            ended = not os.read(STDIN, 65536)
        except BlockingIOError:
            return
        except OSError:
            ended = True
        if ended:
            self._loop.remove_reader(STDIN)
            self._ended.set()


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
