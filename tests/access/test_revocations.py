"""What was taken back: which tokens and connections a row means, for how long it is kept, and how soon it is known."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from session_platform.access import (
    RightsWatch,
    TokenVerifier,
    disconnect,
    forget_past,
    mint_development_token,
    revoke_issued_before,
    revoke_token,
    rights_changed,
)
from session_platform.access.glass import break_glass, is_open
from session_platform.access.relations import KEPT_FOR, changes_after, last_change, newest_change
from session_platform.access.revocations import DISCONNECT_KEPT_FOR, Revoked, revocations_after
from session_platform.clock import ManualClock
from session_platform.contract import SessionCreatedEvent
from session_platform.errors import BadRequest, ForbiddenOrMissing, Unavailable
from session_platform.errors import Revoked as RevokedError
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore
from tests.access.test_policy import WHO
from tests.gateway.stage import Moody

SECRET = b"s" * 32


def token(clock: ManualClock, role: str = "member", **claims: Any) -> str:
    whose = {"member_id": "M1", "account_ids": ["A1"]} if role == "member" else {"staff_id": "C1", "name": "Dana"}
    return mint_development_token(
        SECRET, subject="s1", roles=[role], now=clock.now(), expires_in_s=86_400, claims={**whose, **claims}
    )


def verifier(store: SqliteStore, clock: ManualClock) -> TokenVerifier:
    return TokenVerifier(development_secret=SECRET, watch=RightsWatch(store, clock))


async def refused(checked: TokenVerifier, text: str, clock: ManualClock) -> bool:
    try:
        await checked.authenticate(text, clock.now())
    except RevokedError:
        return True
    return False


async def test_a_revoked_token_is_refused_at_once_after_a_look_and_elsewhere_within_two_seconds(
    store: SqliteStore, clock: ManualClock
) -> None:
    here, elsewhere = verifier(store, clock), verifier(store, clock)
    taken, kept = token(clock, jti="t1"), token(clock, jti="t2")
    assert not await refused(here, taken, clock)
    assert not await refused(elsewhere, taken, clock)
    await store.run(lambda tx: revoke_token(tx, "t1"))
    await here.look()
    assert await refused(here, taken, clock)
    clock.advance(2)
    assert await refused(elsewhere, taken, clock)
    assert not await refused(here, kept, clock)
    assert not await refused(elsewhere, token(clock), clock)


async def test_a_process_that_starts_later_knows_what_was_revoked_before(store: SqliteStore, clock: ManualClock) -> None:
    await store.run(lambda tx: revoke_token(tx, "t1"))
    assert await refused(verifier(store, clock), token(clock, jti="t1"), clock)


async def test_of_a_subjects_moments_the_latest_counts_and_no_row_too_many_is_kept(
    store: SqliteStore, clock: ManualClock
) -> None:
    early, middle = token(clock), clock.now() + timedelta(seconds=10)
    for moment in (middle, middle + timedelta(seconds=10), middle):
        await store.run(partial(revoke_issued_before, sub="s1", moment=moment))
    rows = await store.read(lambda reader: revocations_after(reader, 0))
    assert [row.issued_before for row in rows] == [middle + timedelta(seconds=10)]
    checked = verifier(store, clock)
    assert await refused(checked, early, clock)
    clock.advance(15)
    assert await refused(checked, token(clock), clock)
    clock.advance(5)
    assert not await refused(checked, token(clock), clock)  # issued at the very moment


async def test_revoking_twice_is_one_row(store: SqliteStore) -> None:
    for _ in range(2):
        await store.run(lambda tx: revoke_token(tx, "t1"))
    assert len(await store.read(lambda reader: revocations_after(reader, 0))) == 1


async def test_a_disconnect_closes_what_is_open_and_refuses_no_token(store: SqliteStore, clock: ManualClock) -> None:
    await store.run(lambda tx: disconnect(tx, "M1"))
    revoked = Revoked(await store.read(lambda reader: revocations_after(reader, 0)))
    assert {name for name, identity in WHO.items() if revoked.closes(identity)} == {"owner"}
    assert not any(revoked.covers(identity) for identity in WHO.values())
    assert not await refused(verifier(store, clock), token(clock), clock)


# ------------------------------------------------------------------------------------------------------------- fail closed


async def test_staff_are_not_let_in_while_nobody_can_read_what_was_revoked_and_members_are(
    store: SqliteStore, clock: ManualClock
) -> None:
    moody = Moody(store)
    moody.away = True
    watch = RightsWatch(moody, clock)
    checked = TokenVerifier(development_secret=SECRET, watch=watch)
    assert (await checked.authenticate(token(clock), clock.now())).subject == "s1"
    with pytest.raises(Unavailable):
        await checked.authenticate(token(clock, "care_team"), clock.now())
    assert watch.trouble() is not None
    moody.away = False
    await checked.authenticate(token(clock, "care_team"), clock.now())
    assert watch.trouble() is None


async def test_what_was_read_less_than_ten_seconds_ago_still_counts(store: SqliteStore, clock: ManualClock) -> None:
    moody = Moody(store)
    watch = RightsWatch(moody, clock)
    await watch.look()
    moody.away = True
    clock.advance(9.9)
    await watch.renew()
    assert watch.fresh
    clock.advance(0.1)
    assert not watch.fresh


# --------------------------------------------------------------------------------------------------------- changes of rights


async def test_a_change_names_the_number_of_the_event_it_comes_with(store: SqliteStore) -> None:
    def command(tx: Tx) -> None:
        tx.emit(SessionCreatedEvent(session_id="sess_1", member_id="M1"))
        rights_changed(tx, "M1", "C1")
        tx.emit(SessionCreatedEvent(session_id="sess_2", member_id="M1"))
        rights_changed(tx, "M1")
        rights_changed(tx, "*", "C2")

    await store.run(command, "M1")
    changes = await store.read(lambda reader: changes_after(reader, 0))
    assert [tuple(change) for change in changes] == [(1, "M1", "C1", 1), (2, "M1", None, 2), (3, "*", "C2", None)]
    assert [change.concerns("C1", "M1") for change in changes] == [True, True, False]
    assert [change.concerns("C2", "M1") for change in changes] == [False, True, True]
    assert [change.concerns("C1", "M2") for change in changes] == [False, False, False]
    newest = await store.read(lambda reader: newest_change(reader, "C1", "M1", 0))
    assert newest == changes[1]
    assert await store.read(lambda reader: newest_change(reader, "C1", "M1", 2)) is None


async def test_each_change_is_told_once_whoever_read_it_first(store: SqliteStore, clock: ManualClock) -> None:
    told: list[int] = []

    class Listener:
        def rights_changed(self, changes: Any) -> None:
            told.extend(change.number for change in changes.changes)

        def rights_unknown(self) -> None:
            raise AssertionError

    await store.run(lambda tx: rights_changed(tx, "M1"), "M1")
    watch = RightsWatch(store, clock)
    watch.listen(Listener())
    await watch.round()  # what was before the start concerns nobody here
    await store.run(lambda tx: rights_changed(tx, "M1"), "M1")
    early = await store.read(watch.read)
    await store.run(lambda tx: rights_changed(tx, "M1"), "M1")
    await watch.look()
    watch.take(early)
    await watch.round()
    assert told == [2, 3]


# --------------------------------------------------------------------------------------------------------------- break-glass


async def test_the_glass_is_broken_for_an_hour_from_the_last_time_and_for_that_member_alone(
    store: SqliteStore, clock: ManualClock
) -> None:
    clinician = WHO["clinician"]

    async def opened(member_id: str = "M1") -> bool:
        return await store.read(lambda reader: is_open(reader, clinician, member_id, clock.now()))

    assert not await opened()
    await store.run(lambda tx: break_glass(tx, clinician, "M1", " emergency "))
    clock.advance(1800)
    await store.run(lambda tx: break_glass(tx, clinician, "M1", "still"))
    clock.advance(3599)
    assert await opened()
    assert not await opened("M2")
    clock.advance(1)
    assert not await opened()
    rows = await store.read(lambda reader: reader.all("SELECT actor, action, member_id, outcome, reason FROM audit"))
    assert rows == [
        ("s", "break_glass", "M1", "allowed", "emergency"),
        ("s", "break_glass", "M1", "allowed", "still"),
    ]


@pytest.mark.parametrize("who", ["owner", "care_team", "service", "admin"])
async def test_nobody_but_a_clinician_breaks_the_glass(store: SqliteStore, clock: ManualClock, who: str) -> None:
    with pytest.raises(ForbiddenOrMissing):
        await store.run(lambda tx: break_glass(tx, WHO[who], "M1", "emergency"))
    await store.run(lambda tx: break_glass(tx, WHO["clinician"], "M1", "emergency"))
    assert not await store.read(lambda reader: is_open(reader, WHO[who], "M1", clock.now()))


@pytest.mark.parametrize("reason", ["", " \t", "x" * 1001], ids=["empty", "blank", "long"])
async def test_a_reason_that_says_nothing_breaks_nothing(store: SqliteStore, reason: str) -> None:
    with pytest.raises(BadRequest):
        await store.run(lambda tx: break_glass(tx, WHO["clinician"], "M1", reason))


# ----------------------------------------------------------------------------------------------------------------- forgetting


async def test_what_is_past_is_forgotten_and_what_may_still_count_is_not(store: SqliteStore, clock: ManualClock) -> None:
    def command(tx: Tx) -> None:
        for _ in range(3):
            rights_changed(tx, "M1")
        revoke_token(tx, "for good")
        revoke_token(tx, "ends", tx.now + timedelta(minutes=30))
        revoke_issued_before(tx, "s1", tx.now)
        disconnect(tx, "M1")
        break_glass(tx, WHO["clinician"], "M1", "emergency")

    await store.run(command, "M1")
    assert await store.run(forget_past) == 0
    clock.advance(DISCONNECT_KEPT_FOR.total_seconds() + 1)
    assert await store.run(forget_past) == 1
    clock.advance(KEPT_FOR.total_seconds())
    assert await store.run(forget_past) == 4  # two changes, a token that ended, the opening
    assert await store.run(forget_past) == 0
    kept = await store.read(lambda reader: revocations_after(reader, 0))
    assert {row.key for row in kept} == {"for good", "s1"}
    assert await store.read(last_change) == 3, "the highest number is still known"
