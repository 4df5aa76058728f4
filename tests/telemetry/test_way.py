"""What an event's way through the process is measured as."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from session_platform.telemetry import NoTracing, Stages, Tracing, Way
from session_platform.telemetry.otlp import OtlpTracing

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BODY = b'{"id":"evt_1","traceparent":"' + TRACEPARENT.encode() + b'","data":{"traceparent":"no"}}'


class Measured:
    """A way whose clock the test moves; publishing takes ``publish_takes_s``."""

    def __init__(self, tracing: Tracing) -> None:
        self.registry = CollectorRegistry()
        self.at_s = 100.0
        self.publish_takes_s = 0.0
        self.published: list[bytes] = []
        self.way: Way[bytes] = Way(
            self._publish, bytes, Stages(self.registry), tracing, now=lambda: self.at_s, monotonic=lambda: self.at_s
        )

    def _publish(self, events: Sequence[bytes]) -> None:
        self.published.extend(events)
        self.at_s += self.publish_takes_s

    def stage(self, name: str) -> tuple[float | None, float | None]:
        """(how many, seconds in all)."""
        of = self.registry.get_sample_value
        return tuple(  # type: ignore[return-value]
            of(f"session_platform_event_stage_seconds_{what}", {"stage": name}) for what in ("count", "sum")
        )


@pytest.fixture
def measured() -> Measured:
    return Measured(NoTracing())


def test_an_event_is_measured_from_its_commit_to_the_socket(measured: Measured) -> None:
    measured.way.committed(())
    measured.at_s += 2
    measured.publish_takes_s = 1
    measured.way.publish([BODY, BODY])
    assert measured.published == [BODY, BODY]
    measured.at_s += 4
    measured.way.turn_begins(10)
    measured.at_s += 8
    measured.way.turn_ends(10)
    assert measured.stage("follow") == (2, 6)
    assert measured.stage("route") == (10, 40)
    assert measured.stage("write") == (10, 80)


def test_commits_before_a_publish_count_from_the_first_of_them(measured: Measured) -> None:
    measured.way.committed(())
    measured.at_s += 1
    measured.way.committed(())
    measured.at_s += 1
    measured.way.publish([BODY])
    assert measured.stage("follow") == (1, 2)


def test_a_publish_that_no_commit_of_this_process_woke_is_not_guessed_at(measured: Measured) -> None:
    measured.way.publish([BODY])
    assert measured.stage("follow") == (0, 0)


def test_a_turn_that_nothing_was_published_for_is_no_stage_of_an_event(measured: Measured) -> None:
    measured.way.turn_begins(3)
    measured.way.turn_ends(3)
    assert measured.stage("route") == (0, 0)
    assert measured.stage("write") == (0, 0)


def test_each_publish_and_each_frame_is_a_span_of_the_events_trace() -> None:
    spans = InMemorySpanExporter()
    tracing = OtlpTracing(spans)
    measured = Measured(tracing)
    measured.way.committed(())
    measured.at_s += 2
    measured.way.publish([BODY])
    measured.way.turn_begins(1)
    measured.at_s += 1
    assert measured.way.traced
    measured.way.wrote([b"\x81\x05", b'{"type":"event","event":' + BODY + b"}", b'{"type":"pong"}'])
    measured.way.turn_ends(1)
    tracing.close()
    found = [
        (span.name, f"{span.context.trace_id:032x}", span.start_time, span.end_time) for span in spans.get_finished_spans()
    ]
    trace = TRACEPARENT.split("-")[1]
    assert found == [
        ("timeline.publish", trace, 100_000_000_000, 102_000_000_000),
        ("gateway.frame", trace, 102_000_000_000, 103_000_000_000),
    ]


def test_without_a_listener_no_frame_is_looked_at(measured: Measured) -> None:
    assert not measured.way.traced
