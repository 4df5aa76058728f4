"""How long a reader of the log rests between two looks. Pure."""

from __future__ import annotations


class Pace:
    """From ``busy_s`` behind a look that found something, or was asked for, doubling up to ``idle_s``: for one reader.

    Where one process owns the store its commits wake the readers, and ``busy_s`` is left out: they rest ``idle_s`` and make up
    for a wake that was lost. Where several share it (`shared`), nothing tells of the others' commits, and behind a wake the
    event may still wait for a transaction that began earlier.
    """

    def __init__(self, idle_s: float, busy_s: float | None = None) -> None:
        self._idle_s = idle_s
        self._busy_s = idle_s if busy_s is None else busy_s
        self._next_s = self._busy_s

    @classmethod
    def shared(cls) -> Pace:
        """5 ms busy, 100 ms idle: ten empty looks a second and reader cost a database nothing that shows."""
        return cls(idle_s=0.1, busy_s=0.005)

    def rest_s(self, *, busy: bool) -> float:
        """Seconds to rest now; ``busy``: something was found, or somebody asked."""
        rest_s = self._busy_s if busy else self._next_s
        self._next_s = min(rest_s * 2, self._idle_s)
        return rest_s
