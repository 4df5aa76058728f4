"""Submitting service requests, also while there is no connection: one after the other, each once. The shell of `Outbox`."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec

from digital_session._memory import Memory
from digital_session._outbox import Entry, Outbox
from digital_session._rest import Passing, Rest
from digital_session._tasks import Tasks
from digital_session._tokens import Tokens
from digital_session.errors import ClientClosedError, DigitalSessionError
from digital_session.events import Record

# Without a network nothing is tried; this often it is looked at what has grown too old meanwhile.
LOOK_S = 60.0


class Submissions:
    """``memory`` is where they are kept for the next run, None where that was not asked for."""

    def __init__(
        self, rest: Rest, tokens: Tokens, tasks: Tasks, memory: Memory | None, report: Callable[[Exception], None]
    ) -> None:
        self._rest = rest
        self._tokens = tokens
        self._tasks = tasks
        self._memory = memory
        self._report = report
        self._outbox = Outbox()
        self._waiting: dict[str, asyncio.Future[Record]] = {}
        self._running: asyncio.Task[None] | None = None
        self._nudged = asyncio.Event()
        self._restored = memory is None
        self._online = True
        self._over = False

    async def submit(self, session_id: str, body: Mapping[str, Any]) -> Record:
        """The answer that accepts it. Raises what refuses it, or UnavailableError when too many wait (``queue_full``) or
        none could be submitted for a day (``expired``). Who stops waiting takes it back, unless it is under way."""
        async with self._rest.while_open():
            await self._tokens.current()
        self._restore()
        # As it is now, whatever the caller does with it later; what is no JSON is refused here.
        snapshot = msgspec.json.decode(msgspec.json.encode(body))
        entry = Entry(str(uuid.uuid4()), self._tokens.subject, session_id, snapshot, time.time())
        self._outbox.add(entry)
        accepted: asyncio.Future[Record] = asyncio.get_running_loop().create_future()
        self._waiting[entry.key] = accepted
        try:
            await self._keep()
            self._run()
            return await accepted
        finally:
            self._waiting.pop(entry.key, None)
            if entry.key in self._outbox and (accepted.cancelled() or not accepted.done()):
                self._outbox.remove(entry.key)
                self._note()

    def nudge(self, *, online: bool) -> None:
        """The platform may be within reach now, or there is no network."""
        self._online = online
        self._nudged.set()
        if online and self._tokens.claims:
            self._restore()
            if len(self._outbox):
                self._run()

    def fail(self, error: DigitalSessionError | None) -> None:
        """The client ended, with ``error`` or because it was closed.

        What is to be kept for the next run is, unless somebody is told that it failed.
        """
        self._over = True
        for key, waiting in self._waiting.items():
            if error is not None:
                self._outbox.remove(key)
            if not waiting.done():
                waiting.set_exception(error or ClientClosedError("The client was closed before this was accepted."))
        self._note()

    def _restore(self) -> None:
        if not self._restored and self._memory is not None:
            self._restored = True
            self._outbox.restore(self._memory.submissions(self._tokens.subject))

    async def _keep(self) -> None:
        self._note()
        if self._memory is not None:
            await self._memory.saved()

    def _note(self) -> None:
        if self._memory is not None and self._restored:
            self._memory.keep_submissions(self._tokens.subject, self._outbox.saved())

    def _run(self) -> None:
        if self._running is None or self._running.done():
            self._running = self._tasks.spawn(self._work())

    async def _work(self) -> None:
        step = 0
        while (entry := await self._next()) is not None:
            try:
                path = f"/v1/sessions/{quote(entry.session_id, safe='')}/service-requests"
                answer: Record | DigitalSessionError = await self._rest.post_once(path, entry.body, entry.key, entry.subject)
            except Passing as passing:
                if self._outbox.passed(entry, answered=passing.answered):
                    await self._wait(step, passing)
                    step += 1
                    continue
                answer = passing.error
            except DigitalSessionError as error:
                answer = error
            except Exception as error:  # noqa: BLE001 - a fault of a transport must end what waits, not leave it waiting
                answer = DigitalSessionError("This could not be submitted.", code="internal", cause=error)
            step = 0
            await self._settle(entry, answer)

    async def _wait(self, step: int, passing: Passing) -> None:
        """Before the next try: as long as the platform asked for, or until it may be within reach again."""
        pause_s = self._rest.pause_s(step, passing.after_s)
        if passing.answered:
            await asyncio.sleep(pause_s)
        else:
            await self._pause(pause_s)

    async def _next(self) -> Entry | None:
        """The entry whose turn it is, once there is a network."""
        while True:
            for entry, error in self._outbox.drop(self._tokens.subject, time.time()):
                await self._settle(entry, error)
            if self._over:
                return None
            if self._online or not len(self._outbox):
                return self._outbox.first()
            await self._pause(LOOK_S)

    async def _pause(self, seconds: float) -> None:
        self._nudged.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._nudged.wait()

    async def _settle(self, entry: Entry, answer: Record | DigitalSessionError) -> None:
        self._outbox.remove(entry.key)
        await self._keep()
        waiting = self._waiting.get(entry.key)
        if isinstance(answer, DigitalSessionError):
            self._refuse(entry, waiting, answer)
        elif waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def _refuse(self, entry: Entry, waiting: asyncio.Future[Record] | None, error: DigitalSessionError) -> None:
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
        elif waiting is None and entry.restored:
            self._report(error)
