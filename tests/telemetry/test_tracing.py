"""A trace goes on from part to part, whether anybody listens or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from session_platform.telemetry import NoTracing, Tracing, new_traceparent, trace_id
from session_platform.telemetry.otlp import OtlpTracing
from tests.telemetry.collector import collecting

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
NONE = ("", "00", CALLER.upper(), CALLER.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32), "ff" + CALLER[2:])


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Iterator[OtlpTracing]:
    made = OtlpTracing(spans)
    yield made
    made.close()


def test_a_trace_that_begins_here_is_w3c_and_new_each_time() -> None:
    first, second = new_traceparent(), new_traceparent()
    assert trace_id(first) is not None
    assert trace_id(first) != trace_id(second)


@pytest.mark.parametrize("given", NONE)
def test_what_is_not_w3c_names_no_trace(given: str) -> None:
    assert trace_id(given) is None


@pytest.mark.parametrize("given", NONE)
@pytest.mark.parametrize("kind", ["none", "otlp"])
def test_work_under_no_trace_begins_one(given: str, kind: str, tracing: OtlpTracing) -> None:
    chosen: Tracing = NoTracing() if kind == "none" else tracing
    with chosen.span("work", given) as span:
        assert trace_id(span.traceparent) not in {None, trace_id(CALLER)}


def test_without_a_listener_the_callers_trace_is_handed_on_as_it_is() -> None:
    with NoTracing().span("work", CALLER) as span:
        span.tell(status=200)
    assert span.traceparent == CALLER


def test_spans_of_a_trace_are_each_others_children(tracing: OtlpTracing, spans: InMemorySpanExporter) -> None:
    with tracing.span("outer", CALLER, route="/v1/sessions") as outer, tracing.span("inner", outer.traceparent) as inner:
        outer.tell(status=200)
    tracing.past("later", inner.traceparent, 10.0, 10.5)
    tracing.close()
    found = {span.name: span for span in spans.get_finished_spans()}
    assert {f"{span.context.trace_id:032x}" for span in found.values()} == {trace_id(CALLER)}
    outer_span, inner_span, later = found["outer"], found["inner"], found["later"]
    assert outer_span.parent is not None
    assert f"{outer_span.parent.span_id:016x}" == CALLER.split("-")[2]
    assert inner_span.parent is not None
    assert inner_span.parent.span_id == outer_span.context.span_id
    assert later.parent is not None
    assert later.parent.span_id == inner_span.context.span_id
    assert (later.start_time, later.end_time) == (10_000_000_000, 10_500_000_000)
    assert dict(outer_span.attributes or {}) == {"route": "/v1/sessions", "status": 200}


def test_a_caller_who_does_not_sample_is_not_sampled(tracing: OtlpTracing, spans: InMemorySpanExporter) -> None:
    with tracing.span("work", UNSAMPLED) as span:
        assert span.traceparent.endswith("-00")
    tracing.close()
    assert spans.get_finished_spans() == ()


def test_a_failure_is_told_by_its_kind_and_never_by_its_message(tracing: OtlpTracing, spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="diagnosis"), tracing.span("work", CALLER):
        raise ValueError("diagnosis: secret")
    tracing.close()
    [span] = spans.get_finished_spans()
    assert span.status.description == "ValueError"
    assert "secret" not in span.to_json()


def test_spans_reach_a_collector_over_http() -> None:
    with collecting() as collector:
        tracing = OtlpTracing.to(collector.endpoint + "/", 1.0)
        with tracing.span("work", CALLER):
            pass
        tracing.close()
    assert collector.paths == {"/v1/traces"}
    assert [span.name for span in collector.spans()] == ["work"]
    [resource] = ExportTraceServiceRequest.FromString(collector.sent[0]).resource_spans
    assert "session-platform" in {each.value.string_value for each in resource.resource.attributes}
