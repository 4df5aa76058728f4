"""What an attempt at a task is given, and what it comes to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from session_platform.store.port import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One attempt at a system task. ``attempt`` is the fencing token: it rises with every claim, and an older one commits
    nothing. ``try_number`` rises only after a definite answer and belongs into the idempotency key of side effects. ``subject``
    is an account id; ``data`` the request's, decoded; ``found`` what its earlier tasks found, decoded, by their type. The
    attempt may take ``timeout_s`` seconds. ``traceparent`` is the trace of the request."""

    task_id: str
    task_type: str
    attempt: int
    try_number: int
    service_request_id: str
    session_id: str | None
    member_id: str
    subject: str | None
    data: Any
    timeout_s: float
    found: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str | None = None


def nothing(_: Tx) -> None:
    """The effect of an outcome that has none."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """``result`` is a JSON object. ``apply`` runs in the transaction that completes the task; ``timelines`` are the members
    beside the request's own to whom it emits."""

    result: bytes
    apply: Callable[[Tx], None] = nothing
    timelines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """``code`` is one that the catalogue declares, ``retryable`` overrules it this once; ``payer_errors`` is JSON, kept as it
    is. ``apply`` runs only when the task ends with this failure, not when another attempt follows. ``counted`` False: it was
    the failure of somebody else's attempt, which this one had only joined, so that it uses up none of its own."""

    code: str
    payer_errors: bytes | None = None
    apply: Callable[[Tx], None] = nothing
    timelines: tuple[str, ...] = ()
    retryable: bool | None = None
    counted: bool = True


Outcome = Succeeded | Failed
Executor = Callable[[TaskRun], Awaitable[Outcome]]
"""Does one kind of task. It may be stopped at any await, and it may run again for the same task: whatever it does outside must
be idempotent by task id and try number."""
