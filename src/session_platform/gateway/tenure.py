"""How long the subscriptions of a staff member to one timeline may go on. Pure; a member's own need none of this.

A change of rights puts the right *in doubt*: nothing above the number that the change names is put out until somebody has
looked whether the right still holds. If it does, the stream goes on where it was held. If not, the subscriptions that stood on
it get what is numbered up to where it ended, and then end. Break-glass subscriptions stand on nothing that a change could end;
one on the same timeline is only held for as long as the others are in doubt or ending.

A right is known *as of* a number of changes: an answer, or a change, that is older than what is known says nothing.
"""

from __future__ import annotations

from math import inf
from typing import Final, NamedTuple

from session_platform.access.policy import Standing
from session_platform.gateway.effects import Permitted, Rechecked

GRACE_S: Final = 0.5
"""How long a subscription whose right has ended may take for what was committed before: with the second in which the end is
noticed that stays below the two of the contract. A replay that is far behind ends where it stands."""


class Reason:
    """Why a subscription ends unasked: ``reason`` in `unsubscribed`."""

    RIGHT_ENDED: Final = "right_ended"
    BREAK_GLASS_ENDED: Final = "break_glass_ended"
    RIGHTS_UNKNOWN: Final = "rights_unknown"


class Ending(NamedTuple):
    """The subscription ends once it has passed number ``through`` (None: where it stands), at the latest at ``by``."""

    through: int | None
    by: float
    reason: str


class Tenure:
    """The subscriptions to one timeline, by what gives the right to them. ``asked``: the doubt is being looked into."""

    __slots__ = ("_as_of", "_awaited", "_endings", "_heard", "_held_at", "_lost", "_standing", "asked")

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}
        self._awaited = Standing.NONE
        self._as_of = 0
        self._heard = 0
        self._held_at: int | None = None
        self._lost: Rechecked | None = None
        self._endings: dict[str, Ending] = {}
        self.asked = False

    @property
    def as_of(self) -> int:
        """How many changes had been made when the relationship was last seen to hold."""
        return self._as_of

    @property
    def in_doubt(self) -> bool:
        return self._heard > self._as_of

    @property
    def limit(self) -> int | None:
        """What nothing may pass now; None: there is no limit."""
        limits = [ending.through or 0 for ending in self._endings.values()]
        if self._held_at is not None:
            limits.append(self._held_at)
        return min(limits) if limits else None

    @property
    def due_at(self) -> float:
        """When the next ending is due at the latest."""
        return min((ending.by for ending in self._endings.values()), default=inf)

    def permitted(self, permitted: Permitted) -> bool:
        """A subscription was permitted, which shows that the relationship holds as of then; `begin` follows, or nothing.
        Whether to look into it, because it has been put in doubt since."""
        self._awaited = permitted.standing
        if permitted.standing is Standing.CARE and permitted.as_of >= self._as_of:
            self._known(permitted.as_of)
        return self.in_doubt and self._hold(0)

    def begin(self, subscription_id: str, permitted: Permitted, now: float) -> None:
        """The subscription that was `permitted` begins. If the right to it was seen to have ended meanwhile, it ends too."""
        self._standing[subscription_id] = permitted.standing
        self._awaited = Standing.NONE
        lost = self._lost
        if permitted.standing is Standing.CARE and lost is not None and permitted.as_of < lost.as_of:
            self._endings[subscription_id] = Ending(lost.through, now + GRACE_S, Reason.RIGHT_ENDED)

    def over(self, subscription_id: str) -> None:
        """The subscription has ended."""
        self._standing.pop(subscription_id, None)
        self._endings.pop(subscription_id, None)

    def doubt(self, number: int, seq: int | None) -> bool:
        """Change ``number`` may have ended the relationship behind number ``seq`` of the timeline; whether to look into it."""
        self._heard = max(self._heard, number)
        return number > self._as_of and self._hold(seq or 0)

    def rechecked(self, answer: Rechecked, now: float) -> bool:
        """What was found; whether to look again, because more has changed since."""
        self.asked = False
        if answer.as_of >= self._as_of:
            self._judge(answer, now)
        return self.in_doubt and self._hold(self._held_at or 0)

    def _judge(self, answer: Rechecked, now: float) -> None:
        if not answer.holds:
            self._lost = answer
            for subscription_id, standing in self._standing.items():
                if standing is Standing.CARE and subscription_id not in self._endings:
                    self._endings[subscription_id] = Ending(answer.through, now + GRACE_S, Reason.RIGHT_ENDED)
        self._known(answer.as_of)

    def end(self, reason: str, standings: frozenset[Standing], now: float) -> None:
        """Those that stand on one of ``standings`` end where they stand."""
        for subscription_id, standing in self._standing.items():
            if standing in standings:
                self._endings[subscription_id] = Ending(None, now, reason)

    def ended(self, subscription_id: str, position: int, now: float) -> str | None:
        """Why this subscription, which stands at ``position``, ends now; None: it does not."""
        ending = self._endings.get(subscription_id)
        if ending is None or (ending.through is not None and position < ending.through and now < ending.by):
            return None
        return ending.reason

    @property
    def ending(self) -> tuple[str, ...]:
        """Subscriptions that end."""
        return tuple(self._endings)

    def _known(self, as_of: int) -> None:
        self._as_of = as_of
        if not self.in_doubt:
            self._held_at = None

    def _hold(self, through: int) -> bool:
        """Put out nothing above ``through``, if there is something that stands on the relationship; whether to look into it."""
        if self._awaited is not Standing.CARE and Standing.CARE not in self._standing.values():
            return False
        self._held_at = through if self._held_at is None else min(through, self._held_at)
        return self._ask()

    def _ask(self) -> bool:
        ask, self.asked = not self.asked, True
        return ask
