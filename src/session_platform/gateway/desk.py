"""What a connection asks of the world, done: tokens, rights, audit, the history. Built by the wiring from typed functions.

Every method raises the `PlatformError` that refuses what was asked; `Unavailable` while the store is away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, assert_never

from session_platform.access import Identity, Rights, RightsWatch, StaffIdentity, TokenVerifier, audit
from session_platform.access.glass import ACTION as BREAK_GLASS
from session_platform.access.glass import reason_of
from session_platform.access.policy import Deed, Standing, may, role_of
from session_platform.access.relations import last_change, newest_change
from session_platform.clock import Clock
from session_platform.errors import Conflict, DisabledByFlag, ForbiddenOrMissing, Unavailable
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
    Recheck,
    Rechecked,
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


def nobody_counts(_: bool | None) -> None:
    """In the place of who counts resumes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """``touch`` notes that somebody is there in a session (identity, session id, whether the person did something); ``flags``
    are those that hold for somebody, and a flag not named has its default; ``located`` is told what became of every cursor, as
    `Located.recovered` says it."""

    store: Store
    history: History
    router: Router
    windows: Windows
    codec: CursorCodec
    verifier: TokenVerifier
    rights: Rights
    watch: RightsWatch
    acknowledgements: Acknowledgements
    session_owner: Owner
    request_owner: Owner
    touch: Callable[[Identity, str, bool], Awaitable[None]]
    flags: Callable[[Identity], Mapping[str, bool]]
    clock: Clock
    ids: IdMint
    located: Callable[[bool | None], None] = nobody_counts

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
        """Raises `Unauthenticated`, `Revoked`, and `DisabledByFlag` where WebSockets are switched off."""
        identity = await self.verifier.authenticate(token, self.clock.now())
        flags = dict(self.flags(identity))
        if not flags.get(_PUSH, True) or flags.get(_POLLING, False):
            raise DisabledByFlag
        expires_in_s = (identity.expires_at - self.clock.now()).total_seconds()
        return Welcome(identity, expires_in_s, identity.expires_at, flags)

    async def permit(self, asked: Permit) -> Permitted:
        """Raises `ForbiddenOrMissing`, `BadRequest` for an unacceptable break-glass reason, `BadCursor` for a cursor that is
        not of what was asked for, and to staff `Unavailable` while changes of rights cannot be read."""
        if not self.flags(asked.identity).get(_EVENTS, True):
            raise DisabledByFlag
        if isinstance(asked.identity, StaffIdentity) and not self.watch.fresh:
            raise Unavailable
        reason = None if asked.break_glass is None else reason_of(asked.break_glass)
        permitted = await self.store.run(lambda tx: self._permitted(tx, asked, reason))
        if permitted is None:
            raise ForbiddenOrMissing
        return permitted

    def _permitted(self, tx: Tx, asked: Permit, reason: str | None) -> Permitted | None:
        # Before anything is looked at: what is committed from here on counts as a doubt.
        as_of = last_change(tx)
        timeline = self._owner(tx, asked.scope)
        session_id = asked.scope.session_id if isinstance(asked.scope, SessionScope) else None
        note = partial(audit.record, tx, actor=asked.identity.subject, session_id=session_id)
        standing = self._standing(tx, asked.identity, timeline, reason)
        if timeline is None or not may(role_of(asked.identity), standing, Deed.FOLLOW):
            named = asked.scope.member_id if isinstance(asked.scope, MemberScope) else None
            if reason is not None:
                note(action=BREAK_GLASS, outcome="refused", member_id=named, reason=reason)
            note(action=_SUBSCRIBE, outcome="refused", member_id=named, reason=ForbiddenOrMissing.code)
            return None
        if asked.cursor is not None:
            self.codec.decode(asked.cursor, timeline)
        if reason is not None:
            note(action=BREAK_GLASS, outcome="allowed", member_id=timeline, reason=reason)
        note(action=_SUBSCRIBE, outcome="allowed", member_id=timeline, reason=reason)
        return Permitted(timeline, standing, as_of)

    def _standing(self, reader: Reader, identity: Identity, member_id: str | None, reason: str | None) -> Standing:
        """Who gives a reason means to break the glass, whatever else may hold: the subscription then lasts as that does."""
        if member_id is None or (reason is not None and not self.rights.knows(reader, member_id)):
            return Standing.NONE
        return self.rights.standing(reader, identity, member_id) if reason is None else Standing.BREAK_GLASS

    async def recheck(self, asked: Sequence[Recheck]) -> list[Rechecked]:
        """Which care relationships still hold, and where those that do not have ended: one snapshot for all of them."""
        return await self.store.read(lambda reader: [self._rechecked(reader, each) for each in asked])

    def _rechecked(self, reader: Reader, asked: Recheck) -> Rechecked:
        as_of = last_change(reader)
        if self.rights.may_act(reader, asked.identity, asked.timeline):
            return Rechecked(asked.timeline, as_of, holds=True, through=None)
        ended = newest_change(reader, asked.identity.staff_id, asked.timeline, asked.as_of)
        return Rechecked(asked.timeline, as_of, holds=False, through=None if ended is None else ended.seq)

    def _owner(self, reader: Reader, scope: Scope) -> str | None:
        match scope:
            case SessionScope():
                return self.session_owner(reader, scope.session_id)
            case MemberScope():
                return scope.member_id
            case ServiceRequestScope():
                owners = {self.request_owner(reader, each) for each in scope.service_request_ids}
                return owners.pop() if len(owners) == 1 else None

    async def locate(self, asked: Locate) -> Located:
        """Raises `BadCursor`."""
        start = await self.history.start(asked.timeline, cursor=asked.cursor, since_beginning=asked.since_beginning)
        self.located(start.recovered)
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
            await self.store.run(
                lambda tx: audit.record(
                    tx,
                    actor=asked.identity.subject,
                    action=_HEARTBEAT,
                    outcome="refused",
                    session_id=asked.session_id,
                    reason=ForbiddenOrMissing.code,
                )
            )
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
