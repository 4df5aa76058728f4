"""The threads that stand between the event loop and the server: who does what next, and what is done while nothing goes."""

from __future__ import annotations

import threading
from asyncio import Future
from collections.abc import Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from session_platform.errors import Unavailable
from session_platform.store.delivery import Answer, Delivery
from session_platform.store.postgres.commands import Done
from session_platform.store.postgres.lanes import Lanes

WAITING_MAX: Final = 20_000
"""Callers wait for their own work, so only a server that stands still gets near this; then they are refused at once."""
PROBE_S: Final = 0.25


class Work(Protocol):
    @property
    def timelines(self) -> tuple[str, ...]: ...
    @property
    def future(self) -> Future[Any]: ...


W = TypeVar("W", bound=Work)
W_contra = TypeVar("W_contra", bound=Work, contravariant=True)


class Hand(Protocol[W_contra]):
    """Does one thing at a time, on a connection of its own."""

    def perform(self, work: W_contra, /) -> Done: ...

    def probe(self) -> str | None: ...

    def close(self) -> None: ...


class Crew(Generic[W]):
    """As many threads as ``hands``, fed from one set of lanes. ``trouble`` is a sentence while the server cannot do what it
    should."""

    def __init__(self, name: str, hands: Sequence[Hand[W]], delivery: Delivery) -> None:
        self._delivery = delivery
        self._lanes: Lanes[W] = Lanes()
        self._change = threading.Condition()
        self._stopping = False
        self._away = False
        self._probing = threading.Lock()
        self.trouble: str | None = None
        self._threads = [
            threading.Thread(target=self._run, args=(hand,), name=f"{name}-{number}", daemon=True)
            for number, hand in enumerate(hands, start=1)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, work: W) -> None:
        """Queue it. Raises `Unavailable` when too much waits, and while there is no server."""
        if self._away or len(self._lanes) >= WAITING_MAX:
            raise Unavailable
        with self._change:
            self._lanes.add(work)
            self._change.notify()

    def stop(self) -> None:
        """Finish what was submitted, then close the connections; blocks until that is done."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self, hand: Hand[W]) -> None:
        while True:
            with self._change:
                work = self._lanes.take()
                if work is None:
                    if self._stopping and not self._lanes:
                        break
                    self._change.wait(PROBE_S if self.trouble else None)
            if work is not None:
                self._do(hand, work)
            elif self.trouble:
                self._probe(hand)
        hand.close()

    def _do(self, hand: Hand[W], work: W) -> None:
        if work.future.cancelled() or self._away:
            done = Done(Answer(work.future, None, Unavailable()))
        else:
            done = self._perform(hand, work)
        with self._change:
            ready = self._lanes.done(work)
            if self._stopping:
                self._change.notify_all()
            elif ready > 1:
                # This thread takes one of them itself.
                self._change.notify(ready - 1)
        self._delivery.hand_over([done.answer], done.news)

    def _perform(self, hand: Hand[W], work: W) -> Done:
        try:
            done = hand.perform(work)
        except Exception as error:  # noqa: BLE001 a bug in here must not leave callers waiting for ever
            hand.close()
            return Done(Answer(work.future, None, error))
        if done.trouble is not None:
            self._away, self.trouble = done.away or self._away, done.trouble
        elif done.answer.error is None:
            self._away, self.trouble = False, None
        return done

    def _probe(self, hand: Hand[W]) -> None:
        """One thread at a time looks whether the server is back."""
        if not self._probing.acquire(blocking=False):
            return
        try:
            trouble = hand.probe()
            self._away, self.trouble = self._away and trouble is not None, trouble
        finally:
            self._probing.release()
