"""Requests that nobody can finish any more: their service was taken out of the declarations, or changed under them.

Declarations are read once, at the start, and may have changed since a request was taken up. Who forgot to name the directory of
the services should not lose everything that people wait for: it is said at once, and done after `WITHDRAW_AFTER_S`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import structlog

from session_platform.careflow import queue
from session_platform.careflow.commands import Careflow
from session_platform.clock import Clock
from session_platform.errors import Unavailable, kind_and_place
from session_platform.store.port import Store

WITHDRAW_AFTER_S: Final = 600.0
LOOK_EVERY_S: Final = 60.0
AT_ONCE: Final = 200
"""A look ends no more of a kind; the next one goes on."""

_log = structlog.get_logger(__name__)


class Withdrawal:
    """Looks now and then at what kinds of tasks are open, and ends the requests of those that stay undeclared."""

    def __init__(self, store: Store, careflow: Careflow, clock: Clock) -> None:
        self._store = store
        self._careflow = careflow
        self._clock = clock
        self._look_at_s = clock.monotonic()
        self._undeclared_since_s: dict[queue.Kind, float] = {}

    def notes(self) -> list[str]:
        """What an operator should know, in sentences."""
        return [
            f"{kind.task_type} of the service {kind.service} is no longer declared: start with it, or its open requests end."
            for kind in self._undeclared_since_s
        ]

    async def tick(self) -> None:
        """Look, when it is time to. Raises `Unavailable`."""
        now_s = self._clock.monotonic()
        if now_s < self._look_at_s:
            return
        kinds = await self._store.read(queue.open_kinds)
        undeclared = [kind for kind in kinds if not self._careflow.declares(*kind)]
        for kind in [each for each in undeclared if each not in self._undeclared_since_s]:
            _log.warning("service.undeclared", service=kind.service, task_type=kind.task_type, ends_in_s=WITHDRAW_AFTER_S)
        self._undeclared_since_s = {kind: self._undeclared_since_s.get(kind, now_s) for kind in undeclared}
        for kind, since_s in self._undeclared_since_s.items():
            if now_s - since_s >= WITHDRAW_AFTER_S:
                await self._withdraw(kind)
        self._look_at_s = now_s + LOOK_EVERY_S

    async def _withdraw(self, kind: queue.Kind) -> None:
        for service_request_id, member_id in await self._store.read(partial(queue.open_of_kind, kind=kind, limit=AT_ONCE)):
            try:
                command = partial(self._careflow.withdraw, service_request_id=service_request_id)
                await self._store.run(command, member_id)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one request that cannot be ended must not stop the others
                _log.error("service_request.stuck", service_request_id=service_request_id, error=kind_and_place(error))
