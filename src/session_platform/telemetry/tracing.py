"""Traces: a request's way through the parts of the platform, as OpenTelemetry tells it.

A part that works for somebody gets the W3C ``traceparent`` it works under and hands on the one it is given here. Attributes
are kinds, routes and counts: never anything that says whose it is or what it says. Without a collector the trace id still goes
on, into events and logs; only nothing is sent anywhere.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

_W3C: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def new_traceparent() -> str:
    """The beginning of a trace that nobody began for us."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id(traceparent: str) -> str | None:
    """The 32 hex digits that name the trace; None when ``traceparent`` is none."""
    match = _W3C.fullmatch(traceparent)
    return None if match is None else match[1]


class Span(Protocol):
    """A piece of work that goes on."""

    @property
    def traceparent(self) -> str:
        """What the work hands on."""
        ...

    def tell(self, **attributes: str | int) -> None:
        """What is known of it only now."""
        ...


class Tracing(Protocol):
    """Where spans go. ``traceparent`` is always that of the parent; what is not W3C begins a new trace."""

    @property
    def on(self) -> bool:
        """Whether anybody listens: what costs something to find out need not be found out otherwise."""
        ...

    def span(self, name: str, traceparent: str | None, /, **attributes: str | int) -> AbstractContextManager[Span]:
        """A span around a piece of work. An exception marks it as failed, by its
        kind and never by its message."""
        ...

    def past(self, name: str, traceparent: str, began_s: float, ended_s: float, /, **attributes: str | int) -> None:
        """A span that is over; times are seconds since 1970."""
        ...

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""
        ...


class _Untold:
    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str) -> None:
        self.traceparent: str = traceparent

    def tell(self, **_attributes: str | int) -> None:
        return


class NoTracing:
    """Nobody listens; the trace goes on all the same."""

    on: Final = False

    @contextmanager
    def span(self, _name: str, traceparent: str | None, /, **_attributes: str | int) -> Iterator[Span]:
        yield _Untold(traceparent if traceparent is not None and _W3C.fullmatch(traceparent) else new_traceparent())

    def past(self, _name: str, _traceparent: str, _began_s: float, _ended_s: float, /, **_attributes: str | int) -> None:
        return

    def close(self) -> None:
        return


UNTRACED: Final = NoTracing()
