"""A service request: its progress, its end and its result, whoever listens however late."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Any

from digital_session._effects import CaughtUp
from digital_session._engine import Engine
from digital_session._handlers import Handler, Registration, Remove
from digital_session._stream import Item, Observer, Stream
from digital_session._track import Track
from digital_session.errors import (
    ClientClosedError,
    DigitalSessionError,
    NotFoundError,
    ServiceRequestCanceledError,
    ServiceRequestFailedError,
)
from digital_session.events import Envelope, Progress, Record, Reset, matches

NAMES = ("progress", "completed", "failed", "canceled", "task.assigned", "task.in_progress", "task.completed")
# Events of a request's tasks kept for handlers that come late; a request has a few tasks.
PAST_MAX = 256

_COMPLETED = "service_request.completed"
_END_OF = {"SUCCESS": ("COMPLETED", "completed"), "FAILED": ("FAILED", "failed"), "CANCELED": ("CANCELED", "canceled")}


@dataclass(frozen=True, slots=True)
class _Notice:
    """Something a handler is told; ``number`` orders them."""

    number: int
    name: str
    value: Any
    envelope: Envelope | None


class _Listener:
    """One handler and what it has yet to be told."""

    def __init__(self, name: str, handler: Handler, missed: list[_Notice]) -> None:
        self.registration = Registration(name, handler)
        self.waiting = deque(notice for notice in missed if matches(name, notice.name))


class ServiceRequest:
    """Made by `Session.submit_service_request`.

    It listens from the position just before the request's first event, so nothing falls between submitting and `on`; a handler
    added later hears the newest progress, the tasks so far and the end.
    """

    def __init__(self, engine: Engine, accepted: Record) -> None:
        self.id: str = accepted["service_request_id"]
        self._engine = engine
        self._status: str = accepted["status"]
        self._end: Record | None = None
        self._result: Record | None = None
        self._error: DigitalSessionError | None = None
        self._settled = asyncio.Event()
        self._delivering = asyncio.Lock()
        self._listeners: list[_Listener] = []
        self._past: deque[_Notice] = deque(maxlen=PAST_MAX)
        self._progress: _Notice | None = None
        self._numbers = count()
        selection = {"type": "service_request", "service_request_ids": [self.id]}
        observer = Observer(self._observe, self._ended)
        self._stream = Stream(engine, Track(selection, cursor=accepted["cursor"]), observer=observer)
        self._stream.on("*", self._dispatch)

    @property
    def status(self) -> str:
        """SUBMITTED, PROCESSING, COMPLETED, FAILED or CANCELED, as last heard."""
        return self._status

    def on(self, name: str, handler: Handler) -> Remove:
        """Call ``handler(value, envelope)``; it may take the value alone, and may be a coroutine function.

        ``progress`` gives a `Progress`; ``task.assigned``, ``task.in_progress``, ``task.completed`` (or ``task.*``) the task's
        event; ``completed`` the result; ``failed`` a record with ``error``; ``canceled`` a record. ``envelope`` is None where
        the state was read instead of heard. Raises ValueError for another name.
        """
        if name not in NAMES and name not in {"*", "task.*"}:
            raise ValueError(f"A service request tells of {', '.join(NAMES)}.")
        listener = _Listener(name, handler, self._so_far())
        self._listeners.append(listener)
        if listener.waiting and not self._engine.closed:
            self._engine.tasks.spawn(self._drain())

        def remove() -> None:
            listener.registration.active = False
            if listener in self._listeners:
                self._listeners.remove(listener)

        return remove

    async def result(self) -> Record:
        """Wait for the end and return the result.

        Raises ServiceRequestFailedError, ServiceRequestCanceledError, NotFoundError (the result is not yours to see any more),
        or what ended the client.
        """
        await self._settled.wait()
        if self._end is None:
            raise self._error or ClientClosedError("The client was closed before the request ended.")
        outcome = self._end.get("outcome")
        if outcome == "FAILED":
            error = self._end.get("error") or Record()
            message = error.get("message", "The service request failed.")
            raise ServiceRequestFailedError(message, code=error.get("code"), retryable=error.get("retryable"))
        if outcome == "CANCELED":
            raise ServiceRequestCanceledError("The service request was canceled.")
        return await self._fetched()

    async def cancel(self) -> None:
        """Ask to cancel it; the end is heard as ``canceled``. Raises ConflictError when it has ended otherwise."""
        await self._engine.rest.post(f"/v1/service-requests/{self.id}/cancel")

    # What its subscription tells it, at once.

    def _observe(self, item: Item) -> None:
        """Keep up with what happened; handlers hear of it in their turn."""
        match item:
            case Envelope():
                self._fold(item)
            case Reset():
                self._engine.tasks.spawn(self._read_state())
            case CaughtUp():
                pass

    def _ended(self, error: DigitalSessionError | None) -> None:
        """Nothing more is heard."""
        self._error = error
        self._settled.set()

    def _fold(self, envelope: Envelope) -> None:
        data = envelope.get("data", Record())
        if envelope.name == "service_request.processing":
            self._note_progress(data.get("stage"), data, data.get("task_statuses", []), envelope)
        elif envelope.name == _COMPLETED:
            self._conclude(data, envelope)
        elif envelope.name in NAMES:
            self._past.append(self._notice(envelope.name, data, envelope))

    def _note_progress(self, stage: str | None, data: Record, tasks: list[Record], envelope: Envelope | None) -> None:
        if self._end is not None:
            return
        self._status = "PROCESSING"
        known = Progress(
            stage=stage,
            estimated_seconds=data.get("estimated_completion_seconds"),
            percent_complete=data.get("percent_complete") or 0,
            tasks=tuple(tasks),
        )
        # What was read may be older than what was heard while it was read.
        if envelope is not None or self._progress is None or known.percent_complete >= self._progress.value.percent_complete:
            self._progress = self._notice("progress", known, envelope)

    def _conclude(self, end: Record, envelope: Envelope | None) -> None:
        if self._end is not None:
            return
        self._end = end
        self._status, name = _END_OF.get(str(end.get("outcome")), ("FAILED", "failed"))
        value = Record({"error": end.get("error") or Record()}) if name == "failed" else end
        self._past.append(self._notice(name, value, envelope))
        self._settled.set()

    def _notice(self, name: str, value: Any, envelope: Envelope | None) -> _Notice:
        notice = _Notice(next(self._numbers), name, value, envelope)
        for listener in self._listeners:
            if matches(listener.registration.pattern, name):
                listener.waiting.append(notice)
        return notice

    def _so_far(self) -> list[_Notice]:
        known = [*self._past, *([self._progress] if self._progress else [])]
        return sorted(known, key=lambda notice: notice.number)

    # Telling the handlers.

    async def _dispatch(self, _event: Record, envelope: Envelope) -> None:
        await self._drain()
        if envelope.name == _COMPLETED:
            # Not before this event counts as handled, so that it is acknowledged.
            asyncio.get_running_loop().call_soon(self._stream.leave)

    async def _drain(self) -> None:
        async with self._delivering:
            while (turn := self._turn()) is not None:
                notice = turn.waiting.popleft()
                value, envelope = await self._content(notice)
                await self._engine.call(turn.registration, value, envelope)

    def _turn(self) -> _Listener | None:
        """The listener whose next notice is the oldest."""
        waiting = [listener for listener in self._listeners if listener.waiting]
        return min(waiting, key=lambda listener: listener.waiting[0].number, default=None)

    async def _content(self, notice: _Notice) -> tuple[Any, Envelope | None]:
        if notice.name == "completed":
            try:
                return await self._fetched(), notice.envelope
            except NotFoundError:
                return Record(), notice.envelope
            except DigitalSessionError as error:
                self._engine.report(error)
                return Record(), notice.envelope
        if notice.envelope is None or not notice.name.startswith("task."):
            return notice.value, notice.envelope
        whole = await self._engine.hydrator.whole(notice.envelope)
        return whole["data"], whole

    async def _fetched(self) -> Record:
        if self._result is None:
            end = self._end or Record()
            ref = end.get("result_ref") or f"/v1/service-requests/{self.id}/result"
            self._result = await self._engine.hydrator.result(ref)
        return self._result

    async def _read_state(self) -> None:
        """Continuity was lost: what events would have told is read instead."""
        try:
            state = await self._engine.rest.get(f"/v1/service-requests/{self.id}", tries=None)
        except DigitalSessionError as error:
            self._engine.report(error)
            return
        if state.get("outcome") is not None:
            self._conclude(state, None)
            await self._drain()
            self._stream.leave()
        elif state["status"] == "PROCESSING":
            self._note_progress(state.get("stage"), state, state.get("tasks") or [], None)
            await self._drain()
