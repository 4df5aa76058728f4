"""What ``/metrics`` says of the API: how many requests, how they ended, how long they took; by route, never by anybody's id."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"})
UNMATCHED: Final = "unmatched"
_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Figures:
    """The API's figures in ``registry``; one of them a registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "session_platform_http_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "session_platform_http_request_seconds",
            "Time from the request's head to the end of its answer.",
            ("route",),
            buckets=_BUCKETS_S,
            registry=registry,
        )

    def count(self, method: str, route: str | None, status: int, took_s: float) -> None:
        """One request was answered. ``route`` is the template, None when there was none; other methods count as one."""
        template = route or UNMATCHED
        self._requests.labels(method if method in METHODS else "OTHER", template, str(status)).inc()
        self._seconds.labels(template).observe(took_s)
