"""A session: what a member does in one go, and everything that happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack, overload

from digital_session._engine import Engine
from digital_session._generated import SessionEndReason, SessionOutcome
from digital_session._handlers import Handler, Remove, Where, name_of
from digital_session._stream import Stream
from digital_session.events import Envelope, Record
from digital_session.options import ServiceRequestFields
from digital_session.service_request import ServiceRequest
from digital_session.subscription import EventT

# What a session hears of the member's other sessions.
_MEMBERS_OWN = ("task.", "coverage.updated", "care_plan.updated")


class Session:
    """Made by the client. While it is held, heartbeats keep it open; `in_use` says whether the person is doing something."""

    def __init__(self, engine: Engine, details: Record, *, members_client: bool, cursor: str | None) -> None:
        self.id: str = details["session_id"]
        self.member_id: str = details["member_id"]
        self.details = details
        self._engine = engine
        self._members_client = members_client
        self._cursor = cursor
        self._stream: Stream | None = None
        self._in_use = True
        engine.beat(self.id, active=True)

    @property
    def in_use(self) -> bool:
        """True: heartbeats count as activity and put off the session's expiry; False: they only show presence."""
        return self._in_use

    @in_use.setter
    def in_use(self, value: bool) -> None:
        self._in_use = value
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
        if self._stream is None:
            selection = {"type": "member", "member_id": self.member_id, "events": ["*"]}
            since = None if self._cursor else "beginning"
            self._stream = Stream(self._engine, selection, cursor=self._cursor, since=since)
        return self._stream.on(event, handler, self._hears(event if isinstance(event, str) else name_of(event)))

    async def submit_service_request(self, **fields: Unpack[ServiceRequestFields]) -> ServiceRequest:
        """Ask for a service; returns when it is accepted, at once. It is submitted once, whatever has to be repeated.

        Raises ValidationError, ConflictError (the session has ended), UnavailableError and the other typed errors.
        """
        self._engine.ensure_open()
        body = {name: value for name, value in fields.items() if value is not None}
        accepted = await self._engine.rest.post(f"/v1/sessions/{self.id}/service-requests", body)
        return ServiceRequest(self._engine, accepted)

    async def end(self, *, reason: str = SessionEndReason.USER_CLOSED, outcome: str = SessionOutcome.SUCCESS) -> Record:
        """End the session; open requests go on. The session as it then is."""
        self._engine.core.rest(self.id)
        ended: Record = await self._engine.rest.post(f"/v1/sessions/{self.id}/end", {"reason": reason, "outcome": outcome})
        return ended

    def _hears(self, pattern: str) -> Where:
        def hears(envelope: Envelope) -> bool:
            data = envelope.get("data") or Record()
            own = data.get("session_id") == self.id
            if not envelope.name.startswith("task.") or not self._members_client:
                return own or envelope.name.startswith(_MEMBERS_OWN)
            for_the_member = data.get("assignee_role") == "MEMBER"
            return for_the_member or (own and not pattern.startswith("task."))

        return hears
