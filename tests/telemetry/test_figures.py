"""Figures as Prometheus reads them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from session_platform.telemetry import Census, Sample, Stage, Stages

SECONDS = "session_platform_event_stage_seconds"


def of(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_a_batch_counts_as_many_as_it_stands_for() -> None:
    registry = CollectorRegistry()
    stages = Stages(registry)
    stages.observe(Stage.ROUTE, 0.003, 5)
    stages.observe(Stage.ROUTE, 0.0002)
    assert of(registry, f"{SECONDS}_count", stage="route") == 6
    assert of(registry, f"{SECONDS}_sum", stage="route") == pytest.approx(5 * 0.003 + 0.0002)
    assert of(registry, f"{SECONDS}_bucket", stage="route", le="0.00025") == 1
    assert of(registry, f"{SECONDS}_bucket", stage="route", le="0.0025") == 1
    assert of(registry, f"{SECONDS}_bucket", stage="route", le="0.005") == 6
    assert of(registry, f"{SECONDS}_bucket", stage="route", le="+Inf") == 6
    assert of(registry, f"{SECONDS}_count", stage="commit") == 0


def test_what_took_longer_than_every_bound_is_still_counted() -> None:
    registry = CollectorRegistry()
    Stages(registry).observe(Stage.COMMIT, 99.0)
    assert of(registry, f"{SECONDS}_bucket", stage="commit", le="10.0") == 0
    assert of(registry, f"{SECONDS}_bucket", stage="commit", le="+Inf") == 1


def test_a_clock_that_was_set_back_counts_as_no_time() -> None:
    registry = CollectorRegistry()
    Stages(registry).observe(Stage.FOLLOW, -3.0)
    assert of(registry, f"{SECONDS}_sum", stage="follow") == 0
    assert of(registry, f"{SECONDS}_bucket", stage="follow", le="0.0001") == 1


def test_gauges_are_asked_for_when_somebody_looks() -> None:
    registry = CollectorRegistry()
    asked = []

    def connections() -> float:
        asked.append(True)
        return 7

    Census(
        registry,
        Sample("connections", "Open.", connections),
        Sample("tasks", "By state.", lambda: {"pending": 2, "in_progress": 1}, label="state"),
    )
    assert asked == []
    assert of(registry, "connections") == 7
    assert of(registry, "tasks", state="pending") == 2
    assert of(registry, "tasks", state="in_progress") == 1
