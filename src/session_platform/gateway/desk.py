"""What a connection asks of the world, done: tokens, rights, audit, the history. Built by the wiring from typed functions.

Every method raises the `PlatformError` that refuses what was asked; `Unavailable` while the store is away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from session_platform.access import Identity, Rights, TokenVerifier, audit
from session_platform.clock import Clock
from session_platform.errors import Conflict, DisabledByFlag, ForbiddenOrMissing
from session_platform.gateway.effects import (
    Acknowledge,
    Authenticate,
    Done,
    FetchPage,
    KeepAlive,
    Locate,
    Located,
    Permit,
    Permitted,
    Welcome,
)
from session_platform.gateway.frames import MemberScope, Scope, ServiceRequestScope, SessionScope
from session_platform.ids import IdMint
from session_platform.store.port import Reader, Store, Tx
from session_platform.timeline.acknowledgements import Acknowledgements
from session_platform.timeline.cursor import CursorCodec
from session_platform.timeline.history import History
from session_platform.timeline.router import Router
from session_platform.timeline.window import Entry, Windows

Owner = Callable[[Reader, str], str | None]
"""(reader, id) → the member whose it is; None when there is no such thing."""

_SUBSCRIBE: Final = "timeline.subscribe"
_HEARTBEAT: Final = "session.heartbeat"
_PUSH: Final = "enable-websocket-push"
_EVENTS: Final = "enable-session-events"
_POLLING: Final = "fallback-to-polling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """``touch`` notes that somebody is there in a session (identity, session id, whether the person did something); ``flags``
    are those that hold for somebody, and a flag not named has its default."""

    store: Store
    history: History
    router: Router
    windows: Windows
    codec: CursorCodec
    verifier: TokenVerifier
    rights: Rights
    acknowledgements: Acknowledgements
    session_owner: Owner
    request_owner: Owner
    touch: Callable[[Identity, str, bool], Awaitable[None]]
    flags: Callable[[Identity], Mapping[str, bool]]
    clock: Clock
    ids: IdMint

    async def answer(self, asked: Authenticate | Permit | Locate | KeepAlive) -> Welcome | Permitted | Located | Done:
        """Do what was asked for."""
        match asked:
            case Authenticate():
                return await self.authenticate(asked.token)
            case Permit():
                return await self.permit(asked)
            case Locate():
                return await self.locate(asked)
            case KeepAlive():
                return await self.keep_alive(asked)
            case _:
                assert_never(asked)

    async def authenticate(self, token: str) -> Welcome:
        """Raises `Unauthenticated`, and `DisabledByFlag` where WebSockets are switched off."""
        identity = await self.verifier.authenticate(token, self.clock.now())
        flags = dict(self.flags(identity))
        if not flags.get(_PUSH, True) or flags.get(_POLLING, False):
            raise DisabledByFlag
        expires_in_s = (identity.expires_at - self.clock.now()).total_seconds()
        return Welcome(identity, expires_in_s, identity.expires_at, flags)

    async def permit(self, asked: Permit) -> Permitted:
        """Raises `ForbiddenOrMissing`, and `BadCursor` for a cursor that is not of what was asked for."""
        if not self.flags(asked.identity).get(_EVENTS, True):
            raise DisabledByFlag
        timeline = await self.store.run(lambda tx: self._permitted(tx, asked))
        if timeline is None:
            raise ForbiddenOrMissing
        return Permitted(timeline)

    def _permitted(self, tx: Tx, asked: Permit) -> str | None:
        timeline = self._owner(tx, asked.scope)
        session_id = asked.scope.session_id if isinstance(asked.scope, SessionScope) else None
        if timeline is None or not self.rights.may_reach(tx, asked.identity, timeline):
            member_id = asked.scope.member_id if isinstance(asked.scope, MemberScope) else None
            self._refused(tx, asked.identity, _SUBSCRIBE, member_id, session_id)
            return None
        if asked.cursor is not None:
            self.codec.decode(asked.cursor, timeline)
        audit.record(
            tx, actor=asked.identity.subject, action=_SUBSCRIBE, outcome="allowed", member_id=timeline, session_id=session_id
        )
        return timeline

    def _owner(self, reader: Reader, scope: Scope) -> str | None:
        match scope:
            case SessionScope():
                return self.session_owner(reader, scope.session_id)
            case MemberScope():
                return scope.member_id
            case ServiceRequestScope():
                owners = {self.request_owner(reader, each) for each in scope.service_request_ids}
                return owners.pop() if len(owners) == 1 else None

    def _refused(self, tx: Tx, identity: Identity, action: str, member_id: str | None, session_id: str | None) -> None:
        audit.record(
            tx,
            actor=identity.subject,
            action=action,
            outcome="refused",
            member_id=member_id,
            session_id=session_id,
            reason=ForbiddenOrMissing.code,
        )

    async def locate(self, asked: Locate) -> Located:
        """Raises `BadCursor`."""
        start = await self.history.start(asked.timeline, cursor=asked.cursor, since_beginning=asked.since_beginning)
        return Located(
            subscription_id=self.ids.mint("sub", self.clock.now()),
            label=self.codec.label(asked.timeline),
            after=start.after,
            cursor=start.cursor,
            head=start.head,
            recovered=start.recovered,
        )

    async def keep_alive(self, asked: KeepAlive) -> Done:
        """Raises `ForbiddenOrMissing`; a session that has ended is left as it is."""
        if not await self.store.read(lambda reader: self._keeps(reader, asked)):
            await self.store.run(lambda tx: self._refused(tx, asked.identity, _HEARTBEAT, None, asked.session_id))
            raise ForbiddenOrMissing
        try:
            await self.touch(asked.identity, asked.session_id, asked.active)
        except Conflict:
            return Done()
        return Done()

    def _keeps(self, reader: Reader, asked: KeepAlive) -> bool:
        try:
            self.rights.require_keeper(reader, asked.identity, self.session_owner(reader, asked.session_id))
        except ForbiddenOrMissing:
            return False
        return True

    async def page(self, fetch: FetchPage, limit: int) -> list[Entry]:
        """At most ``limit`` entries. Raises `ContinuityLost`."""
        return await self.history.page(fetch.timeline, fetch.after, limit)

    def acknowledge(self, done: Acknowledge) -> None:
        """Durable a little later."""
        self.acknowledgements.note(done.subject, done.device_id, done.timeline, done.position)
