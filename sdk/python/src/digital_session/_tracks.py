"""All subscriptions of one client, and what may be acknowledged of them. Pure.

Acknowledging says "handled" of everything up to a place in a timeline, whoever of this connection it was for; so the
subscription that is furthest behind decides. One that is still replaying stands where its last handled event is; one that is
live and has nothing waiting stands at the head and holds nobody back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from digital_session import errors
from digital_session._effects import Acknowledged, Deliver, Effect, Ended, Send, Started, Trouble
from digital_session._track import Handled, Phase, Track
from digital_session.events import Key, Reset

# A subscribe that the server could not take right now is repeated after this long, doubling up to the bound.
RETRY_S = 1.0
RETRY_MAX_S = 30.0
_BEFORE_ALL = Key(0, 0)


class Tracks:
    """Subscriptions by the client's own number; what the server calls them lasts only as long as a connection."""

    def __init__(self) -> None:
        self._tracks: dict[int, Track] = {}
        self._by_server_id: dict[str, int] = {}
        self._by_request_id: dict[str, int] = {}
        self._retries: dict[int, float] = {}
        self._acknowledged: dict[str, Key] = {}
        self._locals = count(1)
        self._requests = count(1)

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._tracks))

    def __getitem__(self, local: int) -> Track:
        return self._tracks[local]

    def __contains__(self, local: int) -> bool:
        return local in self._tracks

    def add(self, track: Track) -> int:
        """Take up a subscription; its number."""
        local = next(self._locals)
        self._tracks[local] = track
        return local

    def remove(self, local: int) -> list[Effect]:
        """Forget a subscription; the frame that tells the server."""
        track = self._tracks.pop(local)
        self._retries.pop(local, None)
        return self._leave(track)

    def connected(self) -> list[Effect]:
        """Subscribe to everything that is wanted, on a new connection."""
        return [self._ask(local) for local, track in self._tracks.items() if track.phase is Phase.WANTED]

    def disconnected(self) -> None:
        """Nothing that the server named is valid any more."""
        self._by_server_id.clear()
        self._by_request_id.clear()
        self._retries.clear()
        for track in self._tracks.values():
            track.disconnected()

    def ask(self, local: int) -> list[Effect]:
        """Subscribe now."""
        return [self._ask(local)]

    def due(self, now: float) -> list[Effect]:
        """Repeat what the server could not take before."""
        due = [local for local, at in self._retries.items() if at <= now]
        for local in due:
            del self._retries[local]
        return [self._ask(local) for local in due]

    @property
    def retry_at(self) -> float | None:
        """When `due` has something to do."""
        return min(self._retries.values(), default=None)

    def subscribed(self, frame: Mapping[str, Any]) -> list[Effect]:
        """An answer to subscribe; one that nobody waits for any more is given back."""
        local = self._by_request_id.pop(str(frame.get("id")), None)
        if local is None or local not in self._tracks:
            return [_unsubscribe(frame["subscription_id"])]
        lost = self._tracks[local].subscribed(frame)
        self._by_server_id[frame["subscription_id"]] = local
        if lost is not None:
            self._acknowledged.pop(frame["timeline"], None)
        return [Started(local), *([Deliver(local, lost)] if lost else [])]

    def refused(self, frame: Mapping[str, Any], now: float) -> list[Effect] | None:
        """An error that answers a subscribe; None when it answers something else."""
        local = self._by_request_id.pop(str(frame.get("id")), None)
        if local is None:
            return None
        if local not in self._tracks:
            return []
        track = self._tracks[local]
        if frame["code"] == "bad_cursor" and track.confirmed:
            track.forget_position()
            self._acknowledged.pop(str(track.timeline), None)
            return [Deliver(local, Reset("bad_cursor", track.selection)), self._ask(local)]
        if frame["code"] == "forbidden_or_missing" and track.confirmed:
            del self._tracks[local]
            return [Ended(local, _right_ended("forbidden_or_missing"))]
        if frame.get("retryable"):
            self._retry_later(local, frame, now)
            return [Trouble(errors.from_frame(frame))]
        del self._tracks[local]
        return [Ended(local, errors.from_frame(frame))]

    def event(self, frame: Mapping[str, Any]) -> list[Effect]:
        """One event frame, for each subscription that it names and that has not had the event."""
        effects: list[Effect] = []
        for server_id in frame["subscription_ids"]:
            local = self._by_server_id.get(server_id)
            if local is None:
                continue
            track = self._tracks[local]
            arrived = track.event(frame)
            if arrived is not None:
                effects.append(Deliver(local, arrived))
            if track.overflowing:
                effects += self._leave(track)
                track.pause()
        return effects

    def caught_up(self, frame: Mapping[str, Any]) -> list[Effect]:
        """The end of one replay."""
        local = self._by_server_id.get(frame["subscription_id"])
        return [] if local is None else [Deliver(local, self._tracks[local].caught_up(frame["cursor"]))]

    def position(self, frame: Mapping[str, Any]) -> list[Effect]:
        """Filtered-out events moved cursors."""
        for moved in frame["positions"]:
            local = self._by_server_id.get(moved["subscription_id"])
            if local is not None:
                self._tracks[local].position(moved["cursor"])
        return []

    def reset(self, frame: Mapping[str, Any]) -> list[Effect]:
        """Continuity was lost for these subscriptions; they stay."""
        named = [self._by_server_id[server_id] for server_id in frame["subscription_ids"] if server_id in self._by_server_id]
        return [Deliver(local, self._tracks[local].reset(frame["cursor"], str(frame["reason"]))) for local in named]

    def unsubscribed(self, frame: Mapping[str, Any]) -> list[Effect]:
        """Unasked: the right to one subscription has ended."""
        local = self._by_server_id.pop(frame["subscription_id"], None)
        if local is None:
            return []
        del self._tracks[local]
        return [Ended(local, _right_ended(str(frame.get("reason"))))]

    def handled(self, local: int, *, connected: bool) -> list[Effect]:
        """The oldest envelope of a subscription was handled; a paused one may go on, now or once connected."""
        track = self._tracks[local]
        track.handled()
        if track.phase is not Phase.PAUSED or not track.drained:
            return []
        if connected:
            return [self._ask(local)]
        track.phase = Phase.WANTED
        return []

    def acknowledgements(self) -> list[Acknowledged]:
        """For each timeline of which more was handled than was acknowledged; counts as acknowledged from now on."""
        reached_now = []
        for timeline in sorted({track.timeline for track in self._tracks.values() if track.timeline}):
            reached = _reached([track for track in self._tracks.values() if track.timeline == timeline])
            if reached is not None and reached.key > self._acknowledged.get(timeline, _BEFORE_ALL):
                self._acknowledged[timeline] = reached.key
                reached_now.append(Acknowledged(timeline, reached.cursor))
        return reached_now

    def _ask(self, local: int) -> Effect:
        request_id = f"s{next(self._requests)}"
        self._by_request_id[request_id] = local
        return Send(self._tracks[local].ask(request_id))

    def _leave(self, track: Track) -> list[Effect]:
        if track.server_id is None:
            return []
        del self._by_server_id[track.server_id]
        return [_unsubscribe(track.server_id)]

    def _retry_later(self, local: int, frame: Mapping[str, Any], now: float) -> None:
        track = self._tracks[local]
        doubled = min(RETRY_MAX_S, RETRY_S * 2**track.failures)
        track.failures += 1
        track.disconnected()
        self._retries[local] = now + max(doubled, (frame.get("retry_after_ms") or 0) / 1000)


def _right_ended(reason: str) -> errors.ForbiddenError:
    return errors.ForbiddenError(f"The right to this subscription has ended: {reason}.", reason=reason)


def _unsubscribe(server_id: str) -> Effect:
    return Send({"type": "unsubscribe", "subscription_id": server_id})


def _reached(tracks: list[Track]) -> Handled | None:
    """The furthest place up to which everything is handled by all ``tracks`` of one timeline."""
    bound: Key | None = None
    for track in tracks:
        if track.phase is not Phase.LIVE:
            behind = track.last.key if track.last else _BEFORE_ALL
            bound = min(bound, _after(behind)) if bound else _after(behind)
        if track.first_waiting is not None:
            bound = min(bound, track.first_waiting) if bound else track.first_waiting
    candidates = [track.last for track in tracks if track.last is not None and (bound is None or track.last.key < bound)]
    return max(candidates, default=None)


def _after(key: Key) -> Key:
    return Key(key.epoch, key.seq + 1)
