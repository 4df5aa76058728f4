"""Traces to an OpenTelemetry collector over OTLP/HTTP. Imported only where a collector is set up: it takes a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_CLOSE_WITHIN_MS: Final = 3_000
_NS_PER_S: Final = 1_000_000_000


class _Told:
    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span, traceparent: str) -> None:
        self._span = span
        self.traceparent: str = traceparent

    def tell(self, **attributes: str | int) -> None:
        self._span.set_attributes(attributes)


class OtlpTracing:
    """`Tracing` that sends. ``share`` of the traces that begin here are sent, 0 to 1; a caller's own decision stands."""

    on: Final = True

    def __init__(self, exporter: SpanExporter, share: float = 1.0) -> None:
        sampler = ParentBased(TraceIdRatioBased(share))
        self._provider = TracerProvider(sampler=sampler, resource=Resource.create({"service.name": "session-platform"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("session_platform")
        self._carrier = TraceContextTextMapPropagator()

    @classmethod
    def to(cls, endpoint: str, share: float) -> OtlpTracing:
        """``endpoint`` is the collector's, without ``/v1/traces``."""
        return cls(OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces"), share)

    @contextmanager
    def span(self, name: str, traceparent: str | None, /, **attributes: str | int) -> Iterator[_Told]:
        parent = self._carrier.extract({"traceparent": traceparent or ""})
        span = self._tracer.start_span(name, context=parent, attributes=attributes)
        try:
            yield _Told(span, self._handed_on(span))
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise
        finally:
            span.end()

    def past(self, name: str, traceparent: str, began_s: float, ended_s: float, /, **attributes: str | int) -> None:
        parent = self._carrier.extract({"traceparent": traceparent})
        span = self._tracer.start_span(name, context=parent, attributes=attributes, start_time=int(began_s * _NS_PER_S))
        span.end(int(ended_s * _NS_PER_S))

    def close(self) -> None:
        self._provider.force_flush(_CLOSE_WITHIN_MS)
        self._provider.shutdown()

    def _handed_on(self, span: Span) -> str:
        carrier: dict[str, str] = {}
        self._carrier.inject(carrier, trace.set_span_in_context(span))
        return carrier["traceparent"]
