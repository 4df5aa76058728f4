"""One connection's view of one timeline: what to send next, to which of its subscriptions.

A subscription is a position (docs/adr/0003). Laws of this module, each held by a property test:

1. A subscription gets every matching event after its start, in order, once; or a `Reset` says that it did not.
2. `CaughtUp` comes exactly once, when everything that was committed before the subscription began has been passed.
3. Live subscriptions share one position. One that began ahead of it gets nothing at or below its own start.
4. At most one `Fetch` is unanswered, and it concerns either all live subscriptions or one replay; the others go on.
5. A number that gave way to a newer one stands in ``superseded`` of the next frame to each subscription it was due to.
6. Nothing above a limit is put out, gives way or is passed.

Nothing is buffered but the rest of a page that was asked for. Whoever feeds from a timeline holds it (`Router.listen` does)
before the first `Feed.pull`: only then is a publication that it did not see noticed in the window's head.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from session_platform.contract import CATALOGUE, EventClass, SealedEphemeral, SessionEndedEvent, spec_of
from session_platform.timeline.subscription import Filter
from session_platform.timeline.window import Entry, Windows

_SESSION_ENDED: Final = spec_of(SessionEndedEvent).name
_LATEST_WINS: Final = frozenset(spec.name for spec in CATALOGUE.values() if spec.event_class is EventClass.LATEST_WINS)
_REACH_EVENTS: Final = 256
"""How far a blocked connection looks ahead for a newer event that another may give way to."""
_NO_LIMIT: Final = 2**63
"""Above every number."""
_ENDED_SESSIONS: Final = 64
"""How many ended sessions a feed remembers; an ephemeral event is never that late."""


_Newest = Mapping[tuple[str, str | None, str | None], int]
_NOTHING_NEWER: Final[_Newest] = {}


class Deliver(NamedTuple):
    """Send this event in one frame to these subscriptions; ``superseded`` are numbers that gave way before it."""

    subscription_ids: tuple[str, ...]
    entry: Entry
    superseded: tuple[int, ...]


class CaughtUp(NamedTuple):
    """The replay of this subscription ends at this cursor; what follows is live."""

    subscription_id: str
    cursor: str


class Fetch(NamedTuple):
    """The window does not reach back: read a page after this number and answer with `Feed.page`, or with `Feed.lost`."""

    after: int


class Reset(NamedTuple):
    """Continuity of these subscriptions was lost: they go on after this cursor."""

    subscription_ids: tuple[str, ...]
    cursor: str


Step = Deliver | CaughtUp | Fetch | Reset


class Passing(NamedTuple):
    """Send this unnumbered event in one frame to these subscriptions; ``cursor`` is the last durable position passed."""

    subscription_ids: tuple[str, ...]
    cursor: str
    event: SealedEphemeral


class _Subscription:
    """``after``: served up to here while it replays, started from here once it is live; ``cursor`` is that place's. ``until``:
    the store's head when it began. ``known``: the newest number whose cursor the client has from a live subscription."""

    __slots__ = ("after", "cursor", "id", "known", "matches", "superseded", "until")

    def __init__(self, subscription_id: str, matches: Callable[[str, str | None, str | None], bool]) -> None:
        self.id = subscription_id
        self.matches = matches
        self.after = self.until = self.known = 0
        self.cursor = ""
        self.superseded: list[int] = []


class Feed:
    """``sent``: the highest number in an event frame to this connection so far, 0 before the first."""

    __slots__ = (
        "_at",
        "_cursor",
        "_ended",
        "_fetching",
        "_limit",
        "_live",
        "_page",
        "_reader",
        "_replays",
        "_resets",
        "_store_end",
        "_windows",
        "sent",
        "timeline",
    )

    def __init__(self, timeline: str, windows: Windows) -> None:
        self.timeline = timeline
        self.sent = 0
        self._windows = windows
        self._live: dict[str, _Subscription] = {}
        self._at = 0  # the position of the live subscriptions, and its cursor
        self._cursor = ""
        self._replays: dict[str, _Subscription] = {}  # in order of subscribing; only the first one reads
        self._fetching: int | None = None
        self._reader: _Subscription | None = None  # whom the unanswered Fetch is for; None: the live ones
        self._page: Sequence[Entry] = ()
        self._store_end: int | None = None  # where the store ended when it was last asked
        self._resets: list[Reset] = []
        self._limit = _NO_LIMIT
        self._ended: dict[str, None] = {}

    def subscribe(self, subscription_id: str, wanted: Filter, after: int, start_cursor: str, head: int) -> None:
        """Begin a subscription behind number ``after``; ``head`` is the store's head at that moment (both from
        `history.Start`): its `CaughtUp` comes when it has passed both that and whatever the live ones have passed."""
        subscription = _Subscription(subscription_id, wanted.matches)
        subscription.after, subscription.cursor, subscription.until = after, start_cursor, head
        self._replays[subscription_id] = subscription

    def unsubscribe(self, subscription_id: str) -> None:
        """Nothing more comes for this subscription. An unanswered `Fetch` may still be answered, and is to be."""
        self._replays.pop(subscription_id, None)
        self._live.pop(subscription_id, None)
        if not self._live:
            self._store_end = None  # whoever has nothing to feed may stop holding the timeline
            return
        hindmost = self._hindmost()
        if hindmost.after > self._at:
            self._at, self._cursor = hindmost.after, hindmost.cursor

    def limit(self, through: int | None) -> None:
        """From now on put out nothing above number ``through``, and no unnumbered event; None: no limit any more. Where a
        subscription stands already above it, it stays."""
        self._limit = _NO_LIMIT if through is None else through

    def position(self, subscription_id: str) -> int:
        """The number up to which this subscription has had everything that it matches."""
        replay = self._replays.get(subscription_id)
        return max(self._at, self._live[subscription_id].after) if replay is None else replay.after

    def pull(self, limit: int, *, conflate: bool) -> list[Step]:
        """The next steps, at most ``limit`` (and any resets before them); empty: nothing to do until woken or answered.

        ``conflate``: the connection was blocked, so events whose class is latest-wins may give way to newer ones in reach.
        A replay takes at most half the room while there are live ones.
        """
        steps: list[Step] = []
        if self._resets:
            steps += self._remaining_resets()
        while len(steps) < limit and self._advance(steps, limit, conflate):
            pass
        if not self._page_is_of_use():
            self._page = ()
        return steps

    def page(self, after: int, entries: Sequence[Entry]) -> None:
        """Answer the `Fetch` after this number with what follows it in the store; empty: the store ends there."""
        if after != self._fetching:
            return
        self._fetching = self._reader = None
        if entries:
            self._page = entries
        else:
            self._store_end = after

    def lost(self, head_seq: int, head_cursor: str) -> None:
        """Answer the unanswered `Fetch`: what it asked for is gone. Those concerned go on after the head given."""
        after, reader = self._fetching, self._reader
        self._fetching = self._reader = None
        if reader is not None:
            if self._replays.get(reader.id) is reader and after == reader.after:
                self._restart([reader], head_seq, head_cursor)
        elif self._live and after == self._at:
            self._restart([each for each in self._live.values() if each.after <= self._at], head_seq, head_cursor)
            hindmost = self._hindmost()  # perhaps one that began ahead of the others, and lost nothing
            self._at, self._cursor = hindmost.after, hindmost.cursor

    def passing(self, event: SealedEphemeral) -> Passing | None:
        """The frame for an unnumbered event, if somebody live wants it. Dropped (None) while this feed is behind, and once the
        event's session has ended here."""
        if not self._live or self._resets or event.session_id in self._ended:
            return None
        if self._limit != _NO_LIMIT or self._live_are_behind():
            return None
        wanting = [
            each
            for each in self._live.values()
            if each.after <= self._at and each.matches(event.name, event.session_id, event.service_request_id)
        ]
        for each in wanting:
            each.known = self._at
        return Passing(tuple([each.id for each in wanting]), self._cursor, event) if wanting else None

    def positions(self) -> list[tuple[str, str]]:
        """Live subscriptions whose cursor moved, by events that their filter left out, since the client last learnt of it; each
        with its cursor. Reported once."""
        moved = [each for each in self._live.values() if each.known < self._at and not each.superseded]
        for each in moved:
            each.known = self._at
        return [(each.id, self._cursor) for each in moved]

    @property
    def idle(self) -> bool:
        """Whether a pull would find nothing to do."""
        moves = self._live and self._at < self._limit and self._live_are_behind() and self._can_read(self._at)
        if self._resets or moves:
            return False
        replay = next(iter(self._replays.values()), None)
        if replay is None:
            return True
        return replay.after < self._goal(replay) and (replay.after >= self._limit or not self._can_read(replay.after))

    # ------------------------------------------------------------------------------------------------------------- moving on

    def _advance(self, steps: list[Step], limit: int, conflate: bool) -> bool:
        """Move the first replay, then the live ones, so that one that catches up is with them at once; whether there may be
        more to move."""
        room = limit - len(steps)
        more = False
        if self._replays:
            replay = next(iter(self._replays.values()))
            more = self._advance_replay(replay, steps, room - room // 2 if self._live else room)
        if self._live and len(steps) < limit:
            more |= self._advance_live(steps, limit - len(steps), conflate)
        return more

    def _advance_live(self, steps: list[Step], room: int, conflate: bool) -> bool:
        ahead = self._limit - self._at
        room = min(room, ahead)
        if room <= 0:
            return False
        entries = self._read(self._at, min(room + _REACH_EVENTS, ahead) if conflate else room)
        if entries is None:
            return self._fetch(self._at, None, steps)
        if not entries:
            return False
        if conflate:
            self._serve(steps, entries[:room], _newest(entries))
        else:
            self._serve(steps, entries, _NOTHING_NEWER)
        return len(entries) >= room or bool(self._page)

    def _serve(self, steps: list[Step], entries: Sequence[Entry], newest: _Newest) -> None:
        """Pass these entries: each is due to some of the live subscriptions, or gives way to a newer one."""
        for entry in entries:
            due = self._due(entry)
            if newest and newest.get((entry.name, entry.service_request_id, entry.session_id), 0) > entry.seq:
                for each in due:
                    each.superseded.append(entry.seq)
            elif due:
                steps.append(self._deliver(due, entry))
            if entry.name == _SESSION_ENDED:
                self._note_end(entry)
        self._at, self._cursor = entries[-1].seq, entries[-1].cursor

    def _advance_replay(self, replay: _Subscription, steps: list[Step], room: int) -> bool:
        goal = self._goal(replay)
        missing = min(goal, self._limit) - replay.after
        if missing > 0:
            entries = self._read(replay.after, min(room, missing))
            if not entries:
                return self._fetch(replay.after, replay, steps)
            self._replay(steps, replay, entries)
            if len(entries) == room or len(entries) < missing:
                return True
        if replay.after < goal:
            return False
        steps.append(CaughtUp(replay.id, replay.cursor))
        self._join(replay)
        return True

    def _replay(self, steps: list[Step], replay: _Subscription, entries: Sequence[Entry]) -> None:
        """Pass these entries with one replay alone."""
        for entry in entries:
            if replay.matches(entry.name, entry.session_id, entry.service_request_id):
                steps.append(Deliver((replay.id,), entry, ()))
                self.sent = max(self.sent, entry.seq)
            if entry.name == _SESSION_ENDED:
                self._note_end(entry)
        replay.after, replay.cursor = entries[-1].seq, entries[-1].cursor

    def _goal(self, replay: _Subscription) -> int:
        return max(replay.until, self._at) if self._live else replay.until

    def _join(self, replay: _Subscription) -> None:
        """From here on it is live: with the others, or ahead of them for a while."""
        del self._replays[replay.id]
        if not self._live:
            self._at, self._cursor = replay.after, replay.cursor
        replay.known = replay.after
        self._live[replay.id] = replay

    def _due(self, entry: Entry) -> list[_Subscription]:
        seq, _, name, session_id, service_request_id, _, _ = entry
        return [each for each in self._live.values() if each.after < seq and each.matches(name, session_id, service_request_id)]

    def _deliver(self, due: list[_Subscription], entry: Entry) -> Deliver:
        seq = entry.seq
        superseded: list[int] = []
        for each in due:
            each.known = seq
            if each.superseded:
                superseded += each.superseded
                each.superseded = []
        self.sent = max(self.sent, seq)
        return Deliver(tuple([each.id for each in due]), entry, tuple(sorted(set(superseded))) if superseded else ())

    def _note_end(self, entry: Entry) -> None:
        if entry.session_id is not None:
            self._ended[entry.session_id] = None
            if len(self._ended) > _ENDED_SESSIONS:
                del self._ended[next(iter(self._ended))]

    # --------------------------------------------------------------------------------------------------------------- reading

    def _read(self, after: int, limit: int) -> Sequence[Entry] | None:
        """What follows, from the page or the window. Empty: nothing was published since. None: only the store knows."""
        if self._page:
            index = after + 1 - self._page[0].seq
            if 0 <= index < len(self._page):
                return self._page[index : index + limit]
        entries = self._windows.after(self.timeline, after, limit)
        if entries is None and after == self._store_end and self._windows.head(self.timeline) is None:
            return ()
        return entries

    def _fetch(self, after: int, reader: _Subscription | None, steps: list[Step]) -> bool:
        if self._fetching is not None or self._page_is_of_use():
            return False
        self._fetching, self._reader = after, reader
        steps.append(Fetch(after))
        return True

    def _live_are_behind(self) -> bool:
        entries = self._read(self._at, 1)
        return entries is None or len(entries) > 0

    def _can_read(self, after: int) -> bool:
        return bool(self._read(after, 1)) or self._fetching is None

    def _hindmost(self) -> _Subscription:
        return min(self._live.values(), key=lambda each: each.after)

    def _page_is_of_use(self) -> bool:
        """Whether somebody who reads now stands in the page; until nobody does, no other is fetched."""
        if not self._page:
            return False
        readers = [each.after for each in itertools.islice(self._replays.values(), 1)]
        if self._live:
            readers.append(self._at)
        return any(self._page[0].seq <= after + 1 <= self._page[-1].seq for after in readers)

    def _restart(self, subscriptions: list[_Subscription], head_seq: int, head_cursor: str) -> None:
        for each in subscriptions:
            each.after = each.until = each.known = head_seq
            each.cursor = head_cursor
            each.superseded = []
        if subscriptions:
            self._resets.append(Reset(tuple([each.id for each in subscriptions]), head_cursor))

    def _remaining_resets(self) -> list[Reset]:
        """The resets due, without the subscriptions that ended meanwhile."""
        resets, self._resets = self._resets, []
        named = [
            Reset(tuple([each for each in reset.subscription_ids if each in self._live or each in self._replays]), reset.cursor)
            for reset in resets
        ]
        return [reset for reset in named if reset.subscription_ids]


def _newest(entries: Sequence[Entry]) -> _Newest:
    """The highest number of each latest-wins event about one request; what has the same key matches the same filters."""
    return {
        (entry.name, entry.service_request_id, entry.session_id): entry.seq for entry in entries if entry.name in _LATEST_WINS
    }
