"""Chains made by hand: the sealer's work without a store, and what a tamperer may do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from session_platform.access.audit.chain import GENESIS_LINK, Entry, Linked, Seal, Verification, link_of


def entry(number: int, **fields: str | None) -> Entry:
    """A record; number 1, 2, 3 …"""
    made = Entry(
        audit_id=f"aud_{number:04d}",
        at=f"2026-01-15T10:00:00.{number:06d}Z",
        actor=f"user-{number % 3}",
        action="context.read",
        member_id="M123456",
        session_id=None,
        outcome="allowed",
        reason=None,
    )
    return made._replace(**fields)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Chain:
    """Records and seals in the order in which a reader meets them: each seal behind the record that it repeats."""

    items: tuple[Linked | Seal, ...]
    unsealed: tuple[Entry, ...] = ()

    @property
    def links(self) -> list[Linked]:
        return [each for each in self.items if isinstance(each, Linked)]

    @property
    def seals(self) -> list[Seal]:
        return [each for each in self.items if isinstance(each, Seal)]

    def replaced(self, old: Linked | Seal, *new: Linked | Seal) -> Chain:
        """With ``new`` where ``old`` was."""
        at = self.items.index(old)
        return replace(self, items=(*self.items[:at], *new, *self.items[at + 1 :]))

    def inserted(self, at: int, new: Linked) -> Chain:
        return replace(self, items=(*self.items[:at], new, *self.items[at:]))

    def in_order(self) -> Chain:
        """As a store reads it: by place."""
        return replace(self, items=tuple(sorted(self.items, key=lambda each: (each.place, isinstance(each, Seal)))))


def sealed(entries: Sequence[Entry], batches: Sequence[int], unsealed: Sequence[Entry] = ()) -> Chain:
    """``entries`` sealed in batches that end behind the given counts, and behind the last."""
    items: list[Linked | Seal] = []
    link, number = GENESIS_LINK, 0
    for place, each in enumerate(entries, start=1):
        link = link_of(link, place, each)
        items.append(Linked(place, link, each))
        if place in batches or place == len(entries):
            number += 1
            items.append(Seal(number, place, link, each.at))
    return Chain(tuple(items), tuple(unsealed))


def verified(chain: Chain, wanted: bytes | None = None) -> Verification:
    found = Verification(wanted=wanted)
    for each in chain.items:
        if isinstance(each, Linked):
            found.linked(each)
        else:
            found.seal(each)
    found.tail(len(chain.unsealed))
    found.finish()
    return found
