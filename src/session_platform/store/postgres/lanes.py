"""Which work may begin: never two things at once on one timeline, and each timeline in the order of arrival. Pure.

The database's locks say the same between processes. Here it keeps a busy timeline from filling every thread with commands that
only wait for each other, while the timelines of others stand still.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar


class OnTimelines(Protocol):
    @property
    def timelines(self) -> tuple[str, ...]: ...


W = TypeVar("W", bound=OnTimelines)


class Lanes(Generic[W]):
    """A lane a timeline: work stands in all its lanes from the moment it arrives until it is done, and may begin when it is the
    first in each. All its places are taken at once, so no two can wait for each other."""

    def __init__(self) -> None:
        self._lanes: dict[str, deque[W]] = {}
        self._behind: dict[W, int] = {}
        self._ready: deque[W] = deque()

    def __len__(self) -> int:
        """How much waits, ready or not."""
        return len(self._ready) + len(self._behind)

    def add(self, work: W) -> None:
        """Hashable by identity; `take` it, then say `done`."""
        behind = 0
        for timeline in set(work.timelines):
            lane = self._lanes.setdefault(timeline, deque())
            behind += bool(lane)
            lane.append(work)
        if behind:
            self._behind[work] = behind
        else:
            self._ready.append(work)

    def take(self) -> W | None:
        """The next that may begin; None: nothing may now."""
        return self._ready.popleft() if self._ready else None

    def done(self, work: W) -> int:
        """What was taken is over: whoever stood behind it moves up. How many may begin now that could not before."""
        ready = len(self._ready)
        for timeline in set(work.timelines):
            lane = self._lanes[timeline]
            lane.popleft()
            if lane:
                self._move_up(lane[0])
            else:
                del self._lanes[timeline]
        return len(self._ready) - ready

    def _move_up(self, work: W) -> None:
        self._behind[work] -= 1
        if not self._behind[work]:
            del self._behind[work]
            self._ready.append(work)
