"""What is measured and traced, introduced to the parts that it is measured at."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from session_platform.access import audit
from session_platform.app.settings import Settings
from session_platform.careflow import Executor, Failed, Outcome, TaskRun, open_tasks
from session_platform.errors import Unavailable
from session_platform.gateway import Hub
from session_platform.sessions import open_sessions
from session_platform.store import Reader, Store, StoredEvent
from session_platform.store.measured import MeasuredStore
from session_platform.telemetry import Census, NoTracing, Sample, Stages, Tracing, Way, trace_id

COUNT_EVERY_S: Final = 5.0
_ATTEMPT_BUCKETS_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telemetry:
    """Where figures and spans go."""

    registry: CollectorRegistry
    stages: Stages
    tracing: Tracing


def telemetry(settings: Settings) -> Telemetry:
    """Traces go to a collector where one is set."""
    registry = CollectorRegistry()
    return Telemetry(registry=registry, stages=Stages(registry), tracing=_tracing(settings))


def _tracing(settings: Settings) -> Tracing:
    if not settings.otlp_endpoint:
        return NoTracing()
    from session_platform.telemetry.otlp import OtlpTracing

    return OtlpTracing.to(settings.otlp_endpoint, settings.trace_share)


def measured(store: Store, figures: Telemetry) -> Store:
    """``store``, watched."""
    return MeasuredStore(store, figures.stages, figures.tracing, figures.registry)


def watched_way(publish: Callable[[Sequence[StoredEvent]], None], store: Store, figures: Telemetry) -> Way[StoredEvent]:
    """``publish``, watched from the commit on. Make it before the follower: both hear of commits in the order they came."""
    events = Counter("session_platform_events", "Durable events published.", ("name",), registry=figures.registry)

    def counted(found: Sequence[StoredEvent]) -> None:
        for event in found:
            events.labels(event.name).inc()
        publish(found)

    way = Way(counted, lambda event: event.body, figures.stages, figures.tracing)
    store.on_commit(way.committed)
    return way


def counting_resumes(registry: CollectorRegistry) -> Callable[[bool | None], None]:
    """Counts what became of the cursors that subscriptions came with."""
    resumes = Counter(
        "session_platform_resumes", "Subscriptions by what became of their cursor.", ("outcome",), registry=registry
    )
    outcomes = {True: "recovered", False: "lost", None: "fresh"}
    return lambda recovered: resumes.labels(outcomes[recovered]).inc()


def watched_executors(executors: Mapping[str, Executor], figures: Telemetry) -> Mapping[str, Executor]:
    """The functions that do tasks: each attempt is a span of its request's trace, counted and timed, and the log lines it
    causes name the trace."""
    seconds = Histogram(
        "session_platform_task_attempt_seconds",
        "Attempts at system tasks: how long they took, and how they ended.",
        ("task_type", "outcome"),
        buckets=_ATTEMPT_BUCKETS_S,
        registry=figures.registry,
    )

    def watched(task_type: str, execute: Executor) -> Executor:
        async def attempt(run: TaskRun) -> Outcome:
            began_s, ended = time.perf_counter(), "broken"
            with (
                figures.tracing.span("careflow.attempt", run.traceparent, task_type=task_type, attempt=run.attempt) as span,
                structlog.contextvars.bound_contextvars(trace_id=trace_id(span.traceparent)),
            ):
                try:
                    outcome = await execute(replace(run, traceparent=span.traceparent))
                    ended = "failed" if isinstance(outcome, Failed) else "succeeded"
                except asyncio.CancelledError:
                    ended = "stopped"
                    raise
                finally:
                    span.tell(outcome=ended)
                    seconds.labels(task_type, ended).observe(time.perf_counter() - began_s)
            return outcome

        return attempt

    return {task_type: watched(task_type, execute) for task_type, execute in executors.items()}


class Tally:
    """What only the store can count, asked for every few seconds, so that no scrape ever waits for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.tasks: Mapping[str, float] = {}
        self.sessions = 0.0
        self.unsealed = 0.0

    async def run(self) -> None:
        """Count until cancelled; while the store is away the last figures stand."""
        while True:
            with contextlib.suppress(Unavailable):
                await self.count()
            await asyncio.sleep(COUNT_EVERY_S)

    async def count(self) -> None:
        """Raises `Unavailable`."""
        self.tasks, self.sessions, self.unsealed = await self._store.read(_counted)


def _counted(reader: Reader) -> tuple[Mapping[str, float], float, float]:
    return open_tasks(reader), open_sessions(reader), audit.waiting(reader)


def census(figures: Telemetry, hub: Hub, tally: Tally, parked: Callable[[], Mapping[str, float]]) -> Census:
    """How many there are of what."""
    return Census(
        figures.registry,
        Sample("session_platform_connections", "WebSocket connections.", lambda: hub.counts().connections),
        Sample("session_platform_subscriptions", "Subscriptions of all connections.", lambda: hub.counts().subscriptions),
        Sample("session_platform_open_sessions", "Sessions that have not ended.", lambda: tally.sessions),
        Sample("session_platform_tasks", "Open tasks by state.", lambda: tally.tasks, label="state"),
        Sample("session_platform_audit_unsealed", "Audit records that wait for their seal.", lambda: tally.unsealed),
        Sample("session_platform_parked_keys", "Timelines that a consumer group holds back.", parked, label="group"),
    )
