"""A store, watched: how long commands take and how they end, whichever database stands behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter

from session_platform.contract import SealedEphemeral
from session_platform.errors import PlatformError, Unavailable
from session_platform.store.port import Reader, Store, Tx
from session_platform.telemetry import Stage, Stages, Tracing

R = TypeVar("R")
COMMAND: Final = "store.command"


class MeasuredStore:
    """`Store` by way of another. Every command is counted by how it ended: ``done``, ``refused`` (by a rule), ``unavailable``
    or ``failed``; and it is a span of the trace it runs under."""

    def __init__(self, store: Store, stages: Stages, tracing: Tracing, registry: CollectorRegistry) -> None:
        self._store = store
        self._stages = stages
        self._tracing = tracing
        self._commands = Counter("session_platform_commands", "Commands by how they ended.", ("outcome",), registry=registry)

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        began_s = time.perf_counter()
        try:
            if self._tracing.on and traceparent is not None:
                with self._tracing.span(COMMAND, traceparent) as span:
                    result = await self._store.run(command, *timelines, traceparent=span.traceparent)
            else:
                result = await self._store.run(command, *timelines, traceparent=traceparent)
        except BaseException as error:
            self._commands.labels(_outcome(error)).inc()
            raise
        self._stages.observe(Stage.COMMIT, time.perf_counter() - began_s)
        self._commands.labels("done").inc()
        return result

    async def read(self, query: Callable[[Reader], R], /) -> R:
        return await self._store.read(query)

    def on_commit(self, callback: Callable[[Sequence[SealedEphemeral]], None], /) -> None:
        self._store.on_commit(callback)

    def trouble(self) -> str | None:
        return self._store.trouble()

    async def close(self) -> None:
        await self._store.close()


def _outcome(error: BaseException) -> str:
    match error:
        case Unavailable():
            return "unavailable"
        case PlatformError():
            return "refused"
        case _:
            return "failed"
