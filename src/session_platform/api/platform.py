"""What the API is built on: every part it calls, handed over by the wiring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry

from session_platform.access import Identity, OriginPolicy, Rights, TokenVerifier, TransportPolicy
from session_platform.careflow import Careflow
from session_platform.clock import Clock
from session_platform.contract import CoverageDetails
from session_platform.ingest import Ingest
from session_platform.sessions import Sessions, Touches
from session_platform.store import Reader, Store
from session_platform.telemetry import UNTRACED, Tracing
from session_platform.timeline import CursorCodec
from session_platform.twin import Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """``coverage_of`` gives what is known of accounts, in their order; ``coverage_at`` one answer of a payer by its id, with
    the account that it is about; ``twin`` what a member's events add up to, at a moment; ``ingest`` takes what backends
    publish. ``flags`` are the booleans that hold for somebody. ``troubles`` says in sentences what is not ready, ``notes`` what
    is ready and yet needs an operator. ``registry`` is what ``/metrics`` shows; the API adds its own figures to it. ``tracing``
    gets a span a request."""

    store: Store
    clock: Clock
    verifier: TokenVerifier
    rights: Rights
    origins: OriginPolicy
    transport: TransportPolicy
    codec: CursorCodec
    sessions: Sessions
    touches: Touches
    careflow: Careflow
    coverage_of: Callable[[Reader, Sequence[str]], Sequence[CoverageDetails]]
    coverage_at: Callable[[Reader, str], tuple[str, CoverageDetails] | None]
    twin: Callable[[Reader, str, datetime], Known]
    ingest: Ingest
    flags: Callable[[Identity], Mapping[str, bool]]
    troubles: Callable[[], Sequence[str]]
    notes: Callable[[], Sequence[str]]
    registry: CollectorRegistry
    tracing: Tracing = UNTRACED
