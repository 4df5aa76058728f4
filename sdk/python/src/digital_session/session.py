"""A session: what a member does in one go, and everything that happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Unpack, overload
from urllib.parse import quote

from digital_session._engine import Engine
from digital_session._generated import SessionEndReason, SessionOutcome
from digital_session._handlers import Handler, Remove, Where, name_of
from digital_session._rest import having
from digital_session._stream import Stream
from digital_session._track import Track
from digital_session.errors import ConflictError, DigitalSessionError
from digital_session.events import Envelope, Record
from digital_session.member_context import MemberContext, member_context
from digital_session.options import ServiceRequestFields
from digital_session.service_request import ServiceRequest
from digital_session.subscription import EventT
from digital_session.task import Task

# What a session hears of the member's other sessions.
_MEMBERS_OWN = ("task.", "coverage.updated", "care_plan.updated")


class Start(NamedTuple):
    """Where a session is heard from: after ``cursor``, else from the beginning or, ``live``, from now on."""

    cursor: str | None = None
    live: bool = False


class Session:
    """Made by the client. While it is held, heartbeats keep it open; `in_use` says whether the person is doing something.

    ``async with`` ends it and hears nothing more of it.
    """

    def __init__(self, engine: Engine, details: Record, start: Start, *, members_client: bool, held: bool = True) -> None:
        self.id: str = details["session_id"]
        self.member_id: str = details["member_id"]
        self.details = details
        self._engine = engine
        self._members_client = members_client
        self._start = start
        self._stream: Stream | None = None
        self._known: int | None = None
        self._in_use = True
        self._held = held
        if held:
            engine.beat(self.id, active=True)

    @property
    def in_use(self) -> bool:
        """True: heartbeats count as activity and put off the session's expiry; False: they only show presence."""
        return self._in_use

    @in_use.setter
    def in_use(self, value: bool) -> None:
        self._in_use = value
        if self._held:
            self._engine.beat(self.id, active=value)

    @overload
    def on(self, event: str, handler: Handler) -> Remove: ...

    @overload
    def on(self, event: type[EventT], handler: Callable[[EventT], Any] | Callable[[EventT, Envelope], Any]) -> Remove: ...

    def on(self, event: str | type, handler: Handler) -> Remove:
        """Call ``handler(event, envelope)`` for the session's events and the member's tasks, coverage and care plan, each once.

        As `Subscription.on`. The first handler hears the session from its beginning. In a member's client ``task.*`` and its
        kind mean tasks for the member; ``*`` also hears the tasks that systems do in this session.
        """
        first = self._stream is None
        stream = self._listening()
        if first and self._held:
            stream.on("session.ended", self._rest, self._is_own)
        return stream.on(event, handler, self._hears(event if isinstance(event, str) else name_of(event)))

    async def submit_service_request(self, **fields: Unpack[ServiceRequestFields]) -> ServiceRequest:
        """Ask for a service; returns when it is accepted, at once. It is submitted once, whatever has to be repeated.

        Without a connection it waits its turn, for up to a day, and so does the caller. Raises ValidationError, ConflictError
        (the session has ended), UnavailableError and the other typed errors.
        """
        self._engine.ensure_open()
        body = {name: value for name, value in fields.items() if value is not None}
        accepted = await self._engine.submissions.submit(self.id, body)
        return ServiceRequest(self._engine, having(accepted, "service_request_id", "status", "cursor"))

    async def get_active_tasks(self) -> list[Task]:
        """The member's tasks that have not ended; in a member's client those for the member: the To-Do list."""
        self._engine.ensure_open()
        tasks = await self._engine.rest.items(f"/v1/members/{quote(self.member_id, safe='')}/tasks?status=active")
        return [Task(self._engine.rest, task) for task in tasks if not self._members_client or _for_the_member(task)]

    async def get_member_context(self) -> MemberContext:
        """What is known of the member. From then on this session's handlers are called for what comes after it only."""
        self._engine.ensure_open()
        answer = await self._engine.rest.get(f"/v1/members/{quote(self.member_id, safe='')}/context")
        context = member_context(self._engine.rest, having(answer, "cursor", "timelineseq"))
        if self._stream is not None:
            self._stream.known_through(context.timelineseq)
        elif context.timelineseq >= (self._known or 0):
            self._start, self._known = Start(context.cursor), context.timelineseq
        return context

    async def end(self, *, reason: str = SessionEndReason.USER_CLOSED, outcome: str = SessionOutcome.SUCCESS) -> Record:
        """End the session; open requests go on. The session as it then is."""
        path = f"/v1/sessions/{quote(self.id, safe='')}/end"
        try:
            ended: Record = await self._engine.rest.post(path, {"reason": reason, "outcome": outcome})
        except ConflictError:
            self._rest()
            raise
        self._rest()
        return ended

    async def leave(self) -> None:
        """Hear nothing more of it and keep it alive no longer; it stays as it is. A later handler goes on from here."""
        self._rest()
        stream, self._stream = self._stream, None
        if stream is not None:
            self._start, self._known = Start(stream.cursor, self._start.live), stream.known
            stream.leave()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.end()
                return
            # What went wrong inside is what the caller is to be told.
            with suppress(DigitalSessionError):
                await self.end(reason=SessionEndReason.ERROR, outcome=SessionOutcome.FAILED)
        finally:
            await self.leave()

    async def listen(self) -> None:
        """Be subscribed now instead of with the first handler; what happens waits for one. Raises what refuses it."""
        stream = self._listening()
        try:
            await stream.confirmed()
        except asyncio.CancelledError:
            if not stream.heard:
                self._stream = None
            raise

    def _listening(self) -> Stream:
        if self._stream is None:
            cursor, live = self._start
            selection = {"type": "member", "member_id": self.member_id, "events": ["*"]}
            since = None if cursor or live else "beginning"
            track = Track(selection, cursor=cursor, since=since, kept=cursor is not None)
            self._stream = Stream(self._engine, track, keep=self._keep)
            if self._known is not None:
                self._stream.known_through(self._known)
        return self._stream

    def _keep(self, cursor: str) -> None:
        self._engine.memory.keep_cursor(self._engine.tokens.subject, self.id, cursor)

    def _rest(self) -> None:
        """It has ended: nothing is to be kept alive."""
        self._held = False
        self._engine.core.rest(self.id)

    def _is_own(self, envelope: Envelope) -> bool:
        return bool((envelope.get("data") or Record()).get("session_id") == self.id)

    def _hears(self, pattern: str) -> Where:
        def hears(envelope: Envelope) -> bool:
            data = envelope.get("data") or Record()
            own = self._is_own(envelope)
            if not envelope.name.startswith("task.") or not self._members_client:
                return own or envelope.name.startswith(_MEMBERS_OWN)
            return _for_the_member(data) or (own and not pattern.startswith("task."))

        return hears


def _for_the_member(task: Record) -> bool:
    return bool(task.get("assignee_role") == "MEMBER")
