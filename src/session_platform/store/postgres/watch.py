"""A server that takes what it is sent and says nothing more: its connections are cut, so that whoever waits learns of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final

from session_platform.store.postgres.link import Link

LOOK_EVERY_S: Final = 1.0
ANSWER_MAX_S: Final = 12.0
"""The server ends a statement by itself after ten seconds (`address.LIMITS`): one that is silent for longer stands still."""


class Watch:
    """Looks after ``links`` from a thread of its own, from `start` until `stop`."""

    def __init__(self, links: Sequence[Link], answer_max_s: float = ANSWER_MAX_S) -> None:
        self._links = links
        self._answer_max_s = answer_max_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(min(LOOK_EVERY_S, self._answer_max_s)):
            now = time.monotonic()
            for link in self._links:
                since = link.waiting_since
                if since is not None and now - since > self._answer_max_s:
                    link.interrupt()
