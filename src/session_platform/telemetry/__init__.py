"""Telemetry: how long things take, how many there are, and which request they belong to.

The room decides what a figure is called and how a trace goes on from one part to the next. It refuses to know what happens in
the parts: each says when something began and ended, and nothing it says may carry a token, a name or anything about health.
"""

from session_platform.telemetry.census import Census, Sample
from session_platform.telemetry.stages import Stage, Stages
from session_platform.telemetry.tracing import UNTRACED, NoTracing, Span, Tracing, new_traceparent, trace_id
from session_platform.telemetry.way import Way

__all__ = [
    "UNTRACED",
    "Census",
    "NoTracing",
    "Sample",
    "Span",
    "Stage",
    "Stages",
    "Tracing",
    "Way",
    "new_traceparent",
    "trace_id",
]
