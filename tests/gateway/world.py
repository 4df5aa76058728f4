"""A bench on which rights change: a staff member's connection, and each step of what it learns of that in the test's hand."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from session_platform.access import StaffIdentity, StaffRole, Standing
from session_platform.errors import ForbiddenOrMissing
from session_platform.gateway.commands import Shared
from session_platform.gateway.effects import (
    Authenticate,
    Enter,
    FetchPage,
    KeepAlive,
    Listen,
    Locate,
    Outcome,
    Permit,
    Permitted,
    Recheck,
    Rechecked,
    Unlisten,
    Welcome,
)
from session_platform.gateway.protocol import Connection
from session_platform.timeline import Entry
from tests.gateway.bench import CODEC, MEMBER, START, Bench

WHO = StaffIdentity(
    subject="user",
    issued_at=START,
    expires_at=START + timedelta(days=1),
    staff_id="C1",
    name="Dana",
    roles=frozenset({StaffRole.CLINICIAN}),
)


@dataclass
class Change:
    """A change of rights: whether the right holds behind it, and the last number before it."""

    holds: bool
    seq: int


class World(Bench):
    """A bench whose store, follower, poll and rechecks are steps of their own: what was read arrives when the test lets it."""

    def __init__(self) -> None:
        super().__init__(events_in_window=4)
        self.answering = False
        self.changes = [Change(True, 0)]  # the right holds at first
        self.outcomes: deque[Outcome] = deque()
        self.pages: deque[tuple[FetchPage, list[Entry]]] = deque()
        self.snapshots: deque[tuple[int, int]] = deque()
        self.rechecks: deque[Recheck] = deque()
        self.answers: deque[Rechecked] = deque()
        self.listening = False
        self.taken = 1
        self.published = 0
        self.connect()

    @property
    def holds(self) -> bool:
        return self.changes[-1].holds

    def connect(self, auth: str | None = None, **fields: Any) -> dict[str, Any]:
        """A new connection; the old one is gone, with what was on its way to it."""
        self.router.unlisten(MEMBER, self)
        self.listening = False
        for queue in (self.asked, self.outcomes, self.pages, self.rechecks, self.answers):
            queue.clear()
        self.fetches.clear()
        self.connection = Connection(Shared(self.limits, self.windows, CODEC), self.now)
        self.connection.receive(json.dumps({"type": "connect", "token": "t"}), self.now)
        while not self.frames or self.frames[-1]["type"] != "connected":
            self.do_outputs()
            if self.asked:
                self.connection.resolve(self._outcome(self.asked.popleft()), self.now)
        return self.frames.pop()

    def do_outputs(self) -> None:
        for output in self.connection.take():
            self._do(output)

    def _do(self, output: object) -> None:
        match output:
            case Recheck():
                self.rechecks.append(output)
            case Listen():
                super()._do(output)
                self.listening = True
                self.connection.right_changed(MEMBER, self.taken, None, self.now)
                self.do_outputs()
            case Unlisten():
                super()._do(output)
                self.listening = False
            case _:
                super()._do(output)

    def take(self, changes: int) -> None:
        """The watch: changes up to there are known in this process."""
        for number in range(self.taken + 1, changes + 1):
            self.taken = number
            if self.listening:
                self.connection.right_changed(MEMBER, number, self.changes[number - 1].seq, self.now)

    def recheck(self, asked: Recheck) -> Rechecked:
        as_of = len(self.changes)
        newest = self.changes[-1] if as_of > asked.as_of else None
        through = None if self.holds or newest is None else newest.seq
        return Rechecked(MEMBER, as_of, self.holds, through)

    def _outcome(self, asked: Authenticate | Enter | Permit | Locate | KeepAlive) -> Outcome:
        match asked:
            case Authenticate():
                return Welcome(WHO, 86_400.0, WHO.expires_at, {})
            case Permit(_, _, _, None):
                return Permitted(MEMBER, Standing.CARE, len(self.changes)) if self.holds else ForbiddenOrMissing()
            case Permit():
                return Permitted(MEMBER, Standing.BREAK_GLASS, len(self.changes))
            case _:
                return super()._outcome(asked)
