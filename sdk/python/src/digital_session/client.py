"""The client: one connection, any number of sessions and subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Unpack
from urllib.parse import quote

from digital_session._effects import State
from digital_session._engine import Engine
from digital_session._handlers import Handler, Remove
from digital_session._rest import having
from digital_session._stream import Stream
from digital_session._track import Track
from digital_session.errors import NoActiveSessionError, NotFoundError
from digital_session.options import ClientOptions, Selection, SessionDefaults, Whose
from digital_session.session import Session, Start
from digital_session.subscription import Subscription

_ID_OF = {"session": "session_id", "member": "member_id", "service_request": "service_request_ids"}


class DigitalSessionClient:
    """Connects on first use, reconnects by itself, resumes where handlers stopped. ``async with`` closes it.

    ``endpoint`` is the one address, such as ``wss://sessions.example.org/v1``; the options are those of `ClientOptions`. Raises
    ValueError for an endpoint or options that cannot work.
    """

    def __init__(self, endpoint: str, **options: Unpack[ClientOptions]) -> None:
        self._engine = Engine(endpoint, options)
        self._defaults = options.get("session", SessionDefaults())

    @property
    def device_id(self) -> str | None:
        """What names this device: what was given, or what the storage keeps."""
        return self._engine.memory.device_id

    @property
    def online(self) -> bool:
        """Whether there is a network. Where the operating system tells, say so here: while it is False no connection is tried,
        or counted as tried, and when it is True again one is at once."""
        return self._engine.online

    @online.setter
    def online(self, value: bool) -> None:
        self._engine.online = value

    @property
    def state(self) -> State:
        """``idle``, ``connecting``, ``connected``, ``reconnecting``, ``suspended``, ``closed`` or ``failed``."""
        return self._engine.core.state

    def on(self, name: str, handler: Handler) -> Remove:
        """Call ``handler`` for ``state`` (the state, the error that led to it or None), ``reset`` (a `Reset`), ``flags`` (a
        mapping of booleans) or ``error`` (an exception: of a handler, or one that ended nothing).

        Returns the function that takes the handler back.
        """
        return self._engine.notices.on(name, handler)

    async def create_session(
        self,
        type: str | None = None,
        channel: str | None = None,
        *,
        intent: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **whose: Unpack[Whose],
    ) -> Session:
        """Open a session; what is not given comes from the client's ``session`` defaults.

        Staff say whose it is: ``member_id``, and ``participants``, a list of staff ids.
        """
        self._engine.ensure_open()
        body: dict[str, Any] = {
            "type": type or self._defaults.type,
            "channel": channel or self._defaults.channel,
            "intent": intent or self._defaults.intent,
            "metadata": metadata,
            "device_id": self.device_id,
            **whose,
        }
        answer = await self._engine.rest.post(
            "/v1/sessions", {name: value for name, value in body.items() if value is not None}
        )
        details = having(answer, "session_id", "member_id", "cursor")
        return Session(self._engine, details, Start(details["cursor"]), members_client=await self._is_members())

    async def get_active_session(self, *, cursor: str | None = None) -> Session:
        """This device's most recently active open session, heard from ``cursor``, else from where the ``storage`` says that it
        was handled, else from the beginning.

        A member without one gets a new one of the client's ``session`` defaults; a member of staff NoActiveSessionError.
        """
        self._engine.ensure_open()
        device = f"?device_id={quote(self.device_id, safe='')}" if self.device_id else ""
        try:
            details = having(await self._engine.rest.get(f"/v1/sessions/active{device}"), "session_id", "member_id")
        except NotFoundError as error:
            if not await self._is_members():
                raise NoActiveSessionError("There is no open session.", cause=error) from error
            return await self.create_session()
        members_client = await self._is_members()
        kept = self._engine.memory.cursor(self._engine.tokens.subject, details["session_id"])
        return Session(self._engine, details, Start(cursor or kept), members_client=members_client)

    async def get_active_member_session(self, member_id: str) -> Session:
        """For staff: the member's most recently active session, its events heard from now on.

        It is the member's to keep open: no heartbeats are sent. Raises NoActiveSessionError.
        """
        self._engine.ensure_open()
        try:
            answer = await self._engine.rest.get(f"/v1/members/{quote(member_id, safe='')}/sessions/active")
        except NotFoundError as error:
            raise NoActiveSessionError("The member has no open session, or is not yours to see.", cause=error) from error
        details = having(answer, "session_id", "member_id")
        session = Session(self._engine, details, Start(live=True), members_client=await self._is_members(), held=False)
        await session.listen()
        return session

    async def subscribe(self, **selection: Unpack[Selection]) -> Subscription:
        """Subscribe to a session, a member or service requests; returns once the platform has accepted it.

        Raises ValueError for a selection that names none or several, NotFoundError, ValidationError (``bad_cursor``) and the
        other typed errors.
        """
        wanted, cursor, since = _chosen(selection)
        stream = Stream(self._engine, Track(wanted, cursor=cursor, since=since, break_glass=selection.get("break_glass")))
        await stream.confirmed()
        return Subscription(stream)

    async def caught_up(self) -> None:
        """Wait until everything that somebody listens to has handled its replay: what follows is live."""
        await self._engine.caught_up()

    async def close(self) -> None:
        """Acknowledge, hang up, end everything: iterations stop, what waits raises ClientClosedError. Sessions stay open."""
        await self._engine.close()

    async def __aenter__(self) -> DigitalSessionClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _is_members(self) -> bool:
        await self._engine.tokens.current()
        return "member_id" in self._engine.tokens.claims


def _chosen(selection: Selection) -> tuple[dict[str, Any], str | None, str | None]:
    """The wire's ``subscription``, and where it starts."""
    kinds = [kind for kind, name in _ID_OF.items() if selection.get(name) is not None]
    if len(kinds) != 1 or selection.get("type", kinds[0]) != kinds[0]:
        raise ValueError("Subscribe to exactly one of session_id, member_id and service_request_ids.")
    kind, cursor, since = kinds[0], selection.get("cursor"), selection.get("since")
    ids = selection[_ID_OF[kind]]  # type: ignore[literal-required]
    wanted = {"type": kind, _ID_OF[kind]: ids if isinstance(ids, str) else list(ids)}
    if selection.get("events"):
        wanted["events"] = list(selection["events"])
    if kind == "service_request" and cursor is None and since is None:
        since = "beginning"
    return wanted, cursor, since
