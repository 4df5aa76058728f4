"""The relay: a thin shell that carries out the rounds of `_round` with an engine and a producer."""

from __future__ import annotations

import contextlib
import logging
import random
import secrets
import threading
import time
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from digital_session_producer._publication import Retry
from digital_session_producer.errors import ProducerError
from digital_session_producer.outbox._round import Forward, Limits, Rounds, SetAside, Step, Transact
from digital_session_producer.outbox.table import Outbox, Rows, utc_now
from digital_session_producer.producer import SyncProducer

POLL_S: Final = 0.2
BACK_OFF: Final = Retry(base_s=0.5, cap_s=30.0)

_log = logging.getLogger("digital_session_producer")


class Relay:
    """Sends an outbox's rows. Several may run side by side: one works, the others wait for its end.

    ``run`` it in a program or a thread of its own until ``stop``; an asynchronous backend does ``asyncio.to_thread(relay.run)``
    with an engine that is not asynchronous. ``limits`` says how much is sent at once.
    """

    def __init__(self, engine: Engine, outbox: Outbox, producer: SyncProducer, *, limits: Limits | None = None) -> None:
        self._engine = engine
        self._producer = producer
        self._rounds = Rounds(Rows(outbox, utc_now), secrets.token_hex(8), limits or Limits())
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let `run` end after what it is doing; may be called from a signal handler or another thread."""
        self._stopping.set()

    def run(self, poll_s: float = POLL_S) -> None:
        """Send what is there and what comes, until `stop`. A platform or a database that is away is waited for."""
        failures = 0
        while not self._stopping.is_set():
            try:
                handled = self.run_once()
            except (ProducerError, SQLAlchemyError) as error:
                self._stopping.wait(_back_off_s(failures, error))
                failures += 1
                continue
            failures = 0
            if not handled:
                self._stopping.wait(poll_s)
        with contextlib.suppress(SQLAlchemyError):
            self._carry_out(self._rounds.let_go())

    def run_once(self) -> int:
        """Send the first rows that wait; how many were dealt with, 0 also while another relay is at work.

        Raises a `ProducerError` or SQLAlchemy's; what was not marked then is sent the next time.
        """
        steps = self._rounds.one(time.monotonic())
        reply: object = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                return int(done.value)
            reply = self._carry_out(step)

    def _carry_out(self, step: Step) -> object:
        match step:
            case Transact():
                with self._engine.begin() as connection:
                    return step.work(connection)
            case Forward():
                try:
                    self._producer.forward(step.envelopes)
                except ProducerError as error:
                    return error
            case SetAside():
                _log.error("The platform refused event %s, its member's later events wait: %s", step.event_id, step.reason)
        return None


def _back_off_s(failures: int, error: ProducerError | SQLAlchemyError) -> float:
    """How long to wait after so many failures in a row; says so in the log, without anything that was sent."""
    code = error.code if isinstance(error, ProducerError) else type(error).__name__
    _log.warning("The outbox could not be sent (%s); it will be tried again.", code)
    asked_s: float = getattr(error, "retry_after_s", None) or 0.0
    return max(asked_s, BACK_OFF.pause_s(failures, random.random()))  # noqa: S311 (jitter)
