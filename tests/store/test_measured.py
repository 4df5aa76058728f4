"""A watched store is a store, and says how its commands ended."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from session_platform.errors import Conflict, Unavailable
from session_platform.store import Store, Tx
from session_platform.store.measured import MeasuredStore
from session_platform.store.sqlite import SqliteStore
from session_platform.telemetry import NoTracing, Stages, Tracing
from session_platform.telemetry.otlp import OtlpTracing

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def watched(store: Store, tracing: Tracing) -> tuple[MeasuredStore, CollectorRegistry]:
    registry = CollectorRegistry()
    return MeasuredStore(store, Stages(registry), tracing, registry), registry


def raising(error: Exception) -> object:
    def command(_: Tx) -> None:
        raise error

    return command


async def test_commands_are_counted_by_how_they_ended(store: SqliteStore) -> None:
    measured, registry = watched(store, NoTracing())
    assert await measured.run(lambda tx: 7, "M1") == 7
    for error in (Conflict(), Unavailable(), KeyError("x")):
        with pytest.raises(type(error)):
            await measured.run(raising(error), "M1")  # type: ignore[arg-type]
    counted = {
        outcome: registry.get_sample_value("session_platform_commands_total", {"outcome": outcome})
        for outcome in ("done", "refused", "unavailable", "failed")
    }
    assert counted == {"done": 1, "refused": 1, "unavailable": 1, "failed": 1}
    assert registry.get_sample_value("session_platform_event_stage_seconds_count", {"stage": "commit"}) == 1


async def test_it_reads_and_tells_of_commits_as_the_store_does(store: SqliteStore) -> None:
    measured, _ = watched(store, NoTracing())
    assert await measured.read(lambda reader: reader.one("SELECT 1")) == (1,)
    assert measured.trouble() is None
    await measured.close()
    with pytest.raises(Unavailable):
        await store.read(lambda reader: None)


async def test_a_command_is_a_span_of_its_callers_trace_and_its_events_carry_on_from_there(store: SqliteStore) -> None:
    spans = InMemorySpanExporter()
    tracing = OtlpTracing(spans)
    measured, _ = watched(store, tracing)
    carried = await measured.run(lambda tx: tx.traceparent, "M1", traceparent=TRACEPARENT)
    tracing.close()
    [span] = spans.get_finished_spans()
    assert span.name == "store.command"
    assert carried == f"00-{TRACEPARENT.split('-')[1]}-{span.context.span_id:016x}-01"
