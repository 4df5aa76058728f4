"""What one connection is being sent: its subscriptions and the feeds they read from. Pure.

Nothing is kept here that could overflow: a wake-up is a note that a timeline may have something, `pull` reads it when the
connection can take it. What a feed wants from the store is asked for once and tried again when the store was away.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Final, assert_never

from msgspec import UNSET

from session_platform.access.policy import Standing
from session_platform.contract import SealedEphemeral
from session_platform.errors import BadCursor, ForbiddenOrMissing
from session_platform.gateway import frames
from session_platform.gateway.effects import FetchPage, Listen, Located, Output, Permitted, Recheck, Rechecked, Unlisten
from session_platform.gateway.limits import Limits
from session_platform.gateway.tenure import Tenure
from session_platform.store.port import Position
from session_platform.timeline.cursor import CursorCodec, claimed_label
from session_platform.timeline.feed import CaughtUp, Deliver, Feed, Fetch, Reset, Step
from session_platform.timeline.subscription import Filter
from session_platform.timeline.window import Entry, Windows

CONTINUITY_LOST: Final = "continuity_lost"
_PULLED_AT_ONCE: Final = 8
"""Events asked of a feed at a time: few, because one may have half a megabyte and the room left is looked at in between."""
_FRAME_BYTES: Final = 200
"""About what a frame weighs besides its event."""


class _Timeline:
    """One timeline as this connection knows it; kept when its last subscription goes, because what was sent was sent.
    ``awaited``: another subscription is about to begin. ``tenure`` only of somebody else's timeline."""

    __slots__ = ("awaited", "feed", "label", "sent", "subscriptions", "tenure")

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.label = ""
        self.sent: Position | None = None
        self.subscriptions = 0
        self.awaited = False
        self.tenure: Tenure | None = None

    @property
    def used(self) -> bool:
        return self.subscriptions > 0 or self.awaited


class Delivery:
    """The subscriptions of one connection. Methods that cause something append to ``out``."""

    __slots__ = ("_conflate", "_limits", "_ready", "_retries", "_subscriptions", "_timelines", "_windows", "next_at")

    def __init__(self, limits: Limits, windows: Windows) -> None:
        self._limits = limits
        self._windows = windows
        self._timelines: dict[str, _Timeline] = {}
        self._subscriptions: dict[str, _Timeline] = {}
        self._ready: list[_Timeline] = []
        self._retries: list[tuple[float, FetchPage | Recheck]] = []
        self._conflate = False
        self.next_at = inf  # when `tick` has something to do

    def __len__(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    # ---------------------------------------------------------------------------------------------------------- subscriptions

    def listen(self, permitted: Permitted, out: list[Output]) -> int | None:
        """Before it is asked where a subscription starts: from then on nothing published goes unnoticed. As `doubt`."""
        timeline = permitted.timeline
        if timeline not in self._timelines:
            self._forget_one()
            self._timelines[timeline] = _Timeline(Feed(timeline, self._windows))
        known = self._timelines[timeline]
        if not known.used:
            known.tenure = None if permitted.standing is Standing.OWN else Tenure()
            out.append(Listen(timeline))
        known.awaited = True
        if known.tenure is None:
            return None
        asks = known.tenure.permitted(permitted)
        self._limit(known, known.tenure)
        return known.tenure.as_of if asks else None

    def subscribe(self, permitted: Permitted, wanted: Filter, start: Located, now: float) -> None:
        """Begin a subscription of a timeline that is listened to; its events come with the next `pull`."""
        known = self._timelines[permitted.timeline]
        known.label = start.label
        known.awaited = False
        known.subscriptions += 1
        self._subscriptions[start.subscription_id] = known
        known.feed.subscribe(start.subscription_id, wanted, start.after, start.cursor, start.head)
        if known.tenure is not None:
            known.tenure.begin(start.subscription_id, permitted, now)
            self._limit(known, known.tenure)
        self.wake(permitted.timeline)

    def not_subscribed(self, timeline: str, out: list[Output]) -> None:
        """After `listen`, when the subscription did not come about."""
        known = self._timelines[timeline]
        known.awaited = False
        if not known.used:
            out.append(Unlisten(timeline))

    def unsubscribe(self, subscription_id: str, out: list[Output]) -> None:
        """End a subscription: nothing more of it comes. Raises `ForbiddenOrMissing`."""
        known = self._subscriptions.pop(subscription_id, None)
        if known is None:
            raise ForbiddenOrMissing
        known.feed.unsubscribe(subscription_id)
        known.subscriptions -= 1
        if known.tenure is not None:
            known.tenure.over(subscription_id)
            self._limit(known, known.tenure)
        if not known.used:
            out.append(Unlisten(known.feed.timeline))

    def _forget_one(self) -> None:
        """Make room where more timelines are known than there can be subscriptions: the oldest without one is forgotten."""
        if len(self._timelines) > self._limits.subscriptions:
            idle = [timeline for timeline, known in self._timelines.items() if not known.used]
            del self._timelines[idle[0]]

    def acknowledged(self, cursor: str, codec: CursorCodec, own: str | None) -> tuple[str, Position] | None:
        """The timeline of a cursor, and the position up to which its events were both sent here and handled; None when none
        were. Raises `BadCursor` for one that is neither of a timeline subscribed to here nor of the client's ``own``."""
        label = claimed_label(cursor)
        for timeline, known in self._timelines.items():
            if known.label and known.label == label:
                position = codec.decode(cursor, timeline)
                return None if known.sent is None else (timeline, min(position, known.sent))
        if own is None:
            raise BadCursor
        codec.decode(cursor, own)
        return None

    # ------------------------------------------------------------------------------------------------------- rights that end

    def doubt(self, timeline: str, number: int, seq: int | None) -> int | None:
        """Change ``number`` may have ended the right to this timeline behind its number ``seq``: hold it there. As of which
        number the right is known, if somebody is to look into it."""
        known = self._timelines.get(timeline)
        if known is None or known.tenure is None or not known.used:
            return None
        asks = known.tenure.doubt(number, seq)
        self._limit(known, known.tenure)
        return known.tenure.as_of if asks else None

    def rechecked(self, answer: Rechecked, now: float) -> int | None:
        """What looking into it brought; as `doubt`, where it is to be looked into once more."""
        known = self._timelines.get(answer.timeline)
        if known is None or known.tenure is None or not known.used:
            return None
        asks = known.tenure.rechecked(answer, now)
        self._limit(known, known.tenure)
        self.wake(answer.timeline)
        return known.tenure.as_of if asks else None

    def end(self, reason: str, standings: frozenset[Standing], out: list[Output], now: float) -> None:
        """The subscriptions that stand on one of ``standings`` end, where they stand."""
        for known in self._timelines.values():
            if known.tenure is not None and known.subscriptions:
                known.tenure.end(reason, standings, now)
                self._settle(known, known.tenure, out, now)

    def _limit(self, known: _Timeline, tenure: Tenure) -> None:
        known.feed.limit(tenure.limit)
        self.next_at = min(self.next_at, tenure.due_at)

    def _settle(self, known: _Timeline, tenure: Tenure, out: list[Output], now: float) -> None:
        """End the subscriptions that have had what they were still to have."""
        for subscription_id in tenure.ending:
            reason = tenure.ended(subscription_id, known.feed.position(subscription_id), now)
            if reason is not None:
                self.unsubscribe(subscription_id, out)
                out.append(frames.encode(frames.Unsubscribed(id=UNSET, subscription_id=subscription_id, reason=reason)))
                self.wake(known.feed.timeline)

    # ----------------------------------------------------------------------------------------------------------------- events

    def wake(self, timeline: str) -> None:
        """There may be something new."""
        known = self._timelines.get(timeline)
        if known is not None and known.subscriptions and known not in self._ready:
            self._ready.append(known)

    def passing(self, timeline: str, event: SealedEphemeral, out: list[Output], now: float) -> None:
        """Let an unnumbered event through behind everything that is ready; dropped when there is too much of that."""
        known = self._timelines.get(timeline)
        if known is None or not known.subscriptions or self.pull(out, now):
            return
        frame = known.feed.passing(event)
        if frame is not None:
            out.append(frames.event(frame.subscription_ids, frame.cursor, frame.event.body))

    def blocked(self) -> None:
        """The connection could not be written to: until it has caught up, newer progress may stand for older."""
        self._conflate = True

    def pull(self, out: list[Output], now: float) -> bool:
        """What is ready, about `Limits.turn_bytes` of it; whether there is more."""
        room = self._limits.turn_bytes
        while self._ready and room > 0:
            known = self._ready.pop(0)
            steps = known.feed.pull(_PULLED_AT_ONCE, conflate=self._conflate)
            if len(steps) >= _PULLED_AT_ONCE:
                self._ready.append(known)
            for step in steps:
                room -= self._take(known, step, out)
            if known.tenure is not None:
                self._settle(known, known.tenure, out, now)
        if not self._ready:
            self._conflate = False
        return bool(self._ready)

    def positions(self) -> tuple[frames.At, ...]:
        """Where subscriptions stand that moved without an event."""
        return tuple(
            frames.At(subscription_id, cursor)
            for known in self._timelines.values()
            if known.subscriptions
            for subscription_id, cursor in known.feed.positions()
        )

    def _take(self, known: _Timeline, step: Step, out: list[Output]) -> int:
        """Put a step out; about how many bytes it weighs."""
        match step:
            case Deliver(subscription_ids, entry, superseded):
                if known.sent is None or known.sent < entry.position:
                    known.sent = entry.position
                out.append(frames.event(subscription_ids, entry.cursor, entry.body, superseded))
                return _FRAME_BYTES + len(entry.body)
            case CaughtUp(subscription_id, cursor):
                out.append(frames.encode(frames.CaughtUp(subscription_id=subscription_id, cursor=cursor)))
            case Fetch(after):
                out.append(FetchPage(known.feed.timeline, after))
            case Reset(subscription_ids, cursor):
                out.append(
                    frames.encode(frames.Reset(subscription_ids=subscription_ids, cursor=cursor, reason=CONTINUITY_LOST))
                )
            case _:
                assert_never(step)
        return _FRAME_BYTES

    # ------------------------------------------------------------------------------------------------------------ the history

    def page(self, fetch: FetchPage, entries: Sequence[Entry]) -> None:
        """What the history has behind that number."""
        known = self._timelines.get(fetch.timeline)
        if known is not None:
            known.feed.page(fetch.after, entries)
            self.wake(fetch.timeline)

    def lost(self, fetch: FetchPage, head_seq: int, head_cursor: str) -> None:
        """The history no longer reaches back to that number; it goes on after the head."""
        known = self._timelines.get(fetch.timeline)
        if known is not None:
            known.feed.lost(head_seq, head_cursor)
            self.wake(fetch.timeline)

    def failed(self, asked: FetchPage | Recheck, now: float) -> None:
        """The store could not be read: later again."""
        self._retries.append((now + self._limits.retry_s, asked))
        self.next_at = min(self.next_at, now + self._limits.retry_s)

    def tick(self, now: float, out: list[Output]) -> None:
        """Ask again for what could not be read, and end what should have ended by now."""
        if now < self.next_at:
            return
        out.extend(asked for at, asked in self._retries if at <= now)
        self._retries = [each for each in self._retries if each[0] > now]
        tenures = [(known, known.tenure) for known in self._timelines.values() if known.tenure is not None]
        for known, tenure in tenures:
            self._settle(known, tenure, out, now)
        self.next_at = min([at for at, _ in self._retries] + [tenure.due_at for _, tenure in tenures], default=inf)

    @property
    def timelines(self) -> tuple[str, ...]:
        """Every timeline that may be listened to."""
        return tuple(self._timelines)
