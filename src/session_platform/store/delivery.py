"""Brings the answers of the store's threads to the event loop: however many there are, with one wake-up of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from session_platform.contract import SealedEphemeral

OnCommit = Callable[[Sequence[SealedEphemeral]], None]


class Answer(NamedTuple):
    """What a caller waits for: ``error`` is raised there, else ``result`` returned."""

    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class Delivery:
    """Threads `hand_over`, the loop receives. What several batches hand over before the loop comes to it arrives together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._answers: list[Answer] = []
        self._news: list[SealedEphemeral] | None = None
        self._woken = False
        self._callbacks: list[OnCommit] = []

    def on_commit(self, callback: OnCommit) -> None:
        self._callbacks.append(callback)

    def hand_over(self, answers: Sequence[Answer], news: Sequence[SealedEphemeral] | None = None) -> None:
        """From any thread. ``news`` goes to the listeners unless it is None. Once the loop is closed nobody waits any more, and
        everything goes nowhere."""
        with self._lock:
            self._answers.extend(answers)
            if news is not None:
                self._news = self._news or []
                self._news.extend(news)
            if self._woken:
                return
            self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._receive)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _receive(self) -> None:
        with self._lock:
            answers, self._answers = self._answers, []
            news, self._news = self._news, None
            self._woken = False
        for future, result, error in answers:
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                _raise_in(future, error)
        if news is not None:
            self._tell(news)

    def _tell(self, news: Sequence[SealedEphemeral]) -> None:
        for callback in self._callbacks:
            try:
                callback(news)
            except Exception as error:  # noqa: BLE001 one listener's bug must not silence the others
                self._loop.call_exception_handler({"message": "a listener to commits failed", "exception": error})


def _raise_in(future: asyncio.Future[Any], error: BaseException) -> None:
    if isinstance(error, StopIteration):
        # A future cannot carry it: it would end the generator that awaits.
        stopped = RuntimeError("the command raised StopIteration")
        stopped.__cause__ = error
        error = stopped
    future.set_exception(error)
