"""Submitting a service request and following it to its end in a terminal, whatever it is and however it is shown."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import digital_session as sdk
from session_platform.app import terminal
from session_platform.app.steps import Step, Steps

# After so many failed attempts in a row, some minutes, a person would rather be told.
ATTEMPTS_MAX = 20


class View(Protocol):
    """How a request is shown; ``step`` is told each that is new or has changed."""

    def submitted(self, service_request_id: str) -> None: ...

    def progress(self, now: sdk.Progress) -> None: ...

    def step(self, changed: Step) -> None: ...

    def connection(self, state: str) -> None: ...

    def completed(self, result: Mapping[str, Any]) -> None: ...

    def failed(self, code: str, message: str) -> None: ...


class Farewell:
    """What to say to who ends the command with Ctrl-C: what becomes of the request, as far as that is known by then."""

    def __init__(self, goes_on: str) -> None:
        self._goes_on = goes_on
        self._now = "Nothing was submitted."

    def __str__(self) -> str:
        return self._now

    def submitting(self) -> None:
        self._now = "It may have been submitted or not; `session-platform tail --from beginning` shows its events if it was."

    def submitted(self) -> None:
        self._now = self._goes_on


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked for, by whom, and where. ``what_to_do`` says by an error's code what its message leaves out."""

    member: str | None
    endpoint: str
    token: str
    intent: str
    fields: Mapping[str, Any]
    what_to_do: Mapping[str, str] = field(default_factory=dict)


async def ask(view: contextlib.AbstractContextManager[View], asking: Asking, farewell: Farewell) -> int:
    """Submit, follow, and end the session; the exit status. Raises CommandError and the SDK's errors."""
    terminal.member_of(asking.token, asking.member)
    reconnect = sdk.Reconnect(max_attempts=ATTEMPTS_MAX)
    with view as show:
        async with sdk.DigitalSessionClient(asking.endpoint, token=asking.token, reconnect=reconnect) as client:
            client.on("state", terminal.Reachability(asking.endpoint, show.connection).changed)
            client.on("error", lambda _: None)
            session = await client.create_session(intent=asking.intent)
            farewell.submitting()
            try:
                request = await session.submit_service_request(**asking.fields)
            except sdk.ValidationError as error:
                raise _refused(error, asking.token) from error
            farewell.submitted()
            show.submitted(request.id)
            status = await _follow(request, show, asking.what_to_do)
            with contextlib.suppress(sdk.DigitalSessionError):
                await session.end()
            return status


def _refused(error: sdk.ValidationError, token: str) -> Exception:
    """The account is not one of the token's, or something else is not acceptable."""
    if not any(problem.get("pointer") == "/subject" for problem in error.errors):
        return error
    accounts = ", ".join(map(str, sdk.read_claims(token).get("account_ids", ())))
    return terminal.CommandError(f"This token cannot ask about that account: choose --account among {accounts}.")


async def _follow(request: sdk.ServiceRequest, show: View, what_to_do: Mapping[str, str]) -> int:
    """Show everything until the end, and the end after all of it was shown."""
    shown, steps = asyncio.Event(), Steps()

    def step(task: sdk.Record, envelope: sdk.Envelope) -> None:
        if (changed := steps.heard(envelope.name, task)) is not None:
            show.step(changed)

    def progress(now: sdk.Progress) -> None:
        for new in steps.foretold(now.tasks):
            show.step(new)
        show.progress(now)

    request.on("task.*", step)
    request.on("progress", progress)
    for end in ("completed", "failed", "canceled"):
        request.on(end, lambda _end: shown.set())
    try:
        result = await request.result()
    except (sdk.ServiceRequestFailedError, sdk.ServiceRequestCanceledError) as error:
        await shown.wait()
        show.failed(error.code, f"{error.message} {what_to_do.get(error.code, '')}".strip())
        return 1
    await shown.wait()
    show.completed(result)
    return 0


class PlainView:
    """Stable lines for a pipe: the first word says what a line is. ``tell`` writes the lines of a result."""

    def __init__(self, tell: Callable[[Mapping[str, Any]], None], *, with_steps: bool) -> None:
        self._tell = tell
        self._with_steps = with_steps
        self._told: dict[str, str] = {}

    def submitted(self, service_request_id: str) -> None:
        line("submitted", service_request_id)

    def progress(self, now: sdk.Progress) -> None:
        left = f"about {now.estimated_seconds} s left" if now.estimated_seconds else ""
        line("progress", f"{now.percent_complete}%", now.stage or "", left)

    def step(self, changed: Step) -> None:
        if self._with_steps and self._told.get(changed.task_id) != changed.words:
            self._told[changed.task_id] = changed.words
            line("step", changed.task_type, changed.words)

    def connection(self, state: str) -> None:
        terminal.say(state)

    def completed(self, result: Mapping[str, Any]) -> None:
        self._tell(result)

    def failed(self, code: str, message: str) -> None:
        line("failed", code)
        terminal.say(message)


class JsonView:
    """One JSON object a line; the last one, whose type is ``kind``, is the result, or why there is none."""

    def __init__(self, kind: str, *, with_steps: bool) -> None:
        self._kind = kind
        self._with_steps = with_steps
        self._told: dict[str, dict[str, Any]] = {}

    def submitted(self, service_request_id: str) -> None:
        _object("submitted", service_request_id=service_request_id)

    def progress(self, now: sdk.Progress) -> None:
        _object(
            "progress",
            percent_complete=now.percent_complete,
            stage=now.stage,
            estimated_seconds=now.estimated_seconds,
            tasks=list(now.tasks),
        )

    def step(self, changed: Step) -> None:
        step = {
            "task_id": changed.task_id,
            "task_type": changed.task_type,
            "state": changed.state,
            "tries": changed.tries,
            "waits_for": changed.waits_for or None,
        }
        if self._with_steps and self._told.get(changed.task_id) != step:
            self._told[changed.task_id] = step
            _object("step", **step)

    def connection(self, state: str) -> None:
        _object("connection", message=state)

    def completed(self, result: Mapping[str, Any]) -> None:
        _object(self._kind, **{name: value for name, value in result.items() if name != "type"})

    def failed(self, code: str, message: str) -> None:
        _object("failed", code=code, message=message)
        terminal.say(message)


def line(*words: str) -> None:
    """One line for a pipe, which is told each at once."""
    print(" ".join(word for word in words if word), flush=True)  # noqa: T201


def _object(kind: str, **fields: Any) -> None:
    print(json.dumps({"type": kind, **fields}, ensure_ascii=False), flush=True)  # noqa: T201 - as above
