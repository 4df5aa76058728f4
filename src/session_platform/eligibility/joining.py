"""One question at a time: whoever asks the same while it runs waits for that answer instead of asking the payer again.

A failure to get an answer is nobody's answer: then one of those who wait asks for itself. Nothing depends on the asker's life:
see `checks` for how its row is freed. A waiter in the asker's process is woken; elsewhere it looks again every
``look_again_s``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from session_platform.clock import Clock, from_micros, to_micros
from session_platform.eligibility import checks
from session_platform.eligibility.checks import Question
from session_platform.eligibility.clearinghouse import Answered, Unanswered
from session_platform.eligibility.failures import PAYER_TIMEOUT
from session_platform.errors import Unavailable
from session_platform.store.port import Store

ABANDONED_MARGIN_S: Final = 15.0
"""How long after the end of its attempt a check may still be about to be written down."""

Ask = Callable[[float], Awaitable[Answered | Unanswered]]
"""Ask the payer, within so many seconds."""


class Settled(NamedTuple):
    """The payer's answer (a body) as the check ``check_id`` got it at ``at``; ``joined``: another asked for it."""

    check_id: str
    body: bytes
    at: datetime
    joined: bool


class Joining:
    """``attempt_timeout_s``: how long an attempt may take, waiting for others included."""

    def __init__(self, store: Store, clock: Clock, *, attempt_timeout_s: float, look_again_s: float) -> None:
        self._store = store
        self._clock = clock
        self._attempt_timeout_s = attempt_timeout_s
        self._look_again_s = look_again_s
        self._abandoned_after_us = int((attempt_timeout_s + ABANDONED_MARGIN_S) * 1_000_000)
        self._asking: dict[str, asyncio.Event] = {}

    async def settle(self, question: Question, ask: Ask) -> Settled | Unanswered:
        """The answer to ``question``: by ``ask``, or by joining whoever is asking. Raises `Unavailable` (the store)."""
        deadline = self._clock.monotonic() + self._attempt_timeout_s
        begin = partial(checks.begin, question=question, abandoned_after_us=self._abandoned_after_us)
        while (left_s := deadline - self._clock.monotonic()) > 0:
            place = await self._store.run(begin)
            if place is None:
                continue
            if place.mine:
                return await self._ask(place.check_id, ask, left_s)
            answer = await self._await(place.check_id, deadline)
            if answer is not None:
                return answer
        return Unanswered(PAYER_TIMEOUT)

    async def _ask(self, check_id: str, ask: Ask, within_s: float) -> Settled | Unanswered:
        asking = self._asking[check_id] = asyncio.Event()
        try:
            reply = await ask(within_s)
            match reply:
                case Answered(body):
                    at = await self._store.run(partial(checks.end, check_id=check_id, answer=body))
                    return Settled(check_id, body, from_micros(at), joined=False)
                case Unanswered(code):
                    await self._store.run(partial(checks.end, check_id=check_id, failure=code))
                    return reply
        except BaseException:
            # Cancelled, or the store is away: those who wait must not wait for us.
            with suppress(Unavailable):
                await self._store.run(partial(checks.end, check_id=check_id, failure=checks.ABANDONED))
            raise
        finally:
            del self._asking[check_id]
            asking.set()

    async def _await(self, check_id: str, deadline: float) -> Settled | None:
        """The answer of another's check; None: it ended without one, nobody works on it any more, or the time is over."""
        while True:
            asking = self._asking.get(check_id)
            row = await self._store.read(partial(checks.look, check_id=check_id))
            if row.ended_at is not None:
                return None if row.answer is None else Settled(check_id, row.answer, from_micros(row.ended_at), joined=True)
            if to_micros(self._clock.now()) - row.started_at > self._abandoned_after_us:
                return None
            left_s = deadline - self._clock.monotonic()
            if left_s <= 0:
                return None
            with suppress(TimeoutError):
                async with asyncio.timeout(min(self._look_again_s, left_s)):
                    await (asking or asyncio.Event()).wait()
