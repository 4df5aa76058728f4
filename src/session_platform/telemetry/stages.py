"""Where the time of an event's way goes: one histogram, a label a stage.

A stage is observed once a batch with the number of those it stands for, since asking the clock for every event of a loop turn
would cost more than some of the stages. What a batch counts is the time until its last one was through: never less than true.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

BUCKETS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Stage(StrEnum):
    """COMMIT: from the call to the durable commit. FOLLOW: from the commit until this process has read the event from the log.
    ROUTE: from there to the turn of the loop that serves its listeners. WRITE: until the last of them has it in its socket."""

    COMMIT = "commit"
    FOLLOW = "follow"
    ROUTE = "route"
    WRITE = "write"


class _Histogram:
    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0


class Stages(Collector):
    """The histogram in ``registry``. Each stage is observed from one thread only."""

    NAME: Final = "session_platform_event_stage_seconds"
    HELP: Final = "Time that events spend in each stage of their way, from the command to the socket."

    def __init__(self, registry: CollectorRegistry) -> None:
        self._histograms = {stage: _Histogram() for stage in Stage}
        registry.register(self)

    def observe(self, stage: Stage, seconds: float, count: int = 1) -> None:
        """``count`` of them took ``seconds`` (a clock that was set back counts as none)."""
        taken_s = max(seconds, 0.0)
        histogram = self._histograms[stage]
        histogram.counts[bisect_left(BUCKETS_S, taken_s)] += count
        histogram.sum_s += taken_s * count

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """What Prometheus reads."""
        family = HistogramMetricFamily(self.NAME, self.HELP, labels=("stage",))
        bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
        for stage, histogram in self._histograms.items():
            family.add_metric((stage.value,), list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.sum_s)
        yield family
