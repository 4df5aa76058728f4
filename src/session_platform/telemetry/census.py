"""How many there are of what: gauges whose values are asked for when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Sample(NamedTuple):
    """One gauge. ``read`` gives its value, or by the value of ``label`` several; it must be quick and must not raise."""

    name: str
    help: str
    read: Callable[[], float | Mapping[str, float]]
    label: str = ""


class Census(Collector):
    """The gauges in ``registry``."""

    def __init__(self, registry: CollectorRegistry, *samples: Sample) -> None:
        self._samples = samples
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What Prometheus reads."""
        for sample in self._samples:
            value = sample.read()
            if isinstance(value, Mapping):
                family = GaugeMetricFamily(sample.name, sample.help, labels=(sample.label,))
                for key, each in value.items():
                    family.add_metric((key,), each)
            else:
                family = GaugeMetricFamily(sample.name, sample.help, value=value)
            yield family

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names only: nothing is asked when the registry is put together."""
        for sample in self._samples:
            yield GaugeMetricFamily(sample.name, sample.help)
