"""The client: one connection, any number of sessions and subscriptions."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Unpack
from urllib.parse import quote

from digital_session._effects import State
from digital_session._engine import Engine
from digital_session._handlers import Handler, Remove
from digital_session._stream import Stream
from digital_session._tokens import read_claims
from digital_session.errors import NoActiveSessionError, NotFoundError
from digital_session.options import ClientOptions, Selection, SessionDefaults
from digital_session.session import Session
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
    ) -> Session:
        """Open a session; what is not given comes from the client's ``session`` defaults."""
        self._engine.ensure_open()
        body: dict[str, Any] = {
            "type": type or self._defaults.type,
            "channel": channel or self._defaults.channel,
            "intent": intent or self._defaults.intent,
            "metadata": metadata,
            "device_id": self._engine.device_id,
        }
        details = await self._engine.rest.post(
            "/v1/sessions", {name: value for name, value in body.items() if value is not None}
        )
        return Session(self._engine, details, members_client=await self._is_members(), cursor=details["cursor"])

    async def get_active_session(self, *, cursor: str | None = None) -> Session:
        """This device's most recently active open session, heard from ``cursor`` or from the beginning.

        A member without one gets a new one; a member of staff NoActiveSessionError.
        """
        self._engine.ensure_open()
        device = f"?device_id={quote(self._engine.device_id, safe='')}" if self._engine.device_id else ""
        try:
            details = await self._engine.rest.get(f"/v1/sessions/active{device}")
        except NotFoundError as error:
            if not await self._is_members():
                raise NoActiveSessionError("There is no open session.", cause=error) from error
            return await self.create_session()
        return Session(self._engine, details, members_client=await self._is_members(), cursor=cursor)

    async def subscribe(self, **selection: Unpack[Selection]) -> Subscription:
        """Subscribe to a session, a member or service requests; returns once the platform has accepted it.

        Raises ValueError for a selection that names none or several, NotFoundError, ValidationError (``bad_cursor``) and the
        other typed errors.
        """
        wanted, cursor, since = _chosen(selection)
        stream = Stream(self._engine, wanted, cursor=cursor, since=since)
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
        return "member_id" in read_claims(await self._engine.tokens.current())


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
