"""What goes into a check and what comes out of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from session_platform.store.port import Tx


class Insured(Protocol):
    """Whose insurance, and what its payer needs to know to find them; ``date_of_birth`` is YYYY-MM-DD."""

    @property
    def account_id(self) -> str: ...
    @property
    def payer_id(self) -> str: ...
    @property
    def payer_name(self) -> str: ...
    @property
    def member_id_at_payer(self) -> str: ...
    @property
    def first_name(self) -> str: ...
    @property
    def last_name(self) -> str: ...
    @property
    def date_of_birth(self) -> str: ...


class CheckRun(NamedTuple):
    """One attempt of a task that is to check an account's coverage. ``attempt`` rises with every claim of the task,
    ``try_number`` only after a definite answer: with the task's id it makes the idempotency key."""

    task_id: str
    attempt: int
    try_number: int
    service_request_id: str
    session_id: str | None
    member_id: str
    account_id: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The payer answered. ``result`` is the request's result as JSON; ``apply`` stores the coverage and emits its events, in
    the transaction that completes the task, under the heads of ``timelines``."""

    result: bytes
    apply: Callable[[Tx], None]
    timelines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckFailed:
    """There is no coverage to tell. ``code`` is a key of `FAILURES`; ``retryable`` is for this very failure. ``payer_errors``
    is the payer's own list as JSON, byte for byte. ``apply`` is for the end of the task: not for an attempt that another
    follows. ``joined``: it was another's attempt that failed, this one had only waited for its answer."""

    code: str
    retryable: bool
    payer_errors: bytes | None
    apply: Callable[[Tx], None]
    timelines: tuple[str, ...]
    joined: bool = False
