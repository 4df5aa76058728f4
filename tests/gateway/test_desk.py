"""What connections ask of the world, on a real store: rights, the record of every subscribe and refusal, heartbeats, acks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from session_platform.access import AdminIdentity, Identity, MemberIdentity, ServiceIdentity, StaffIdentity, StaffRole, Standing
from session_platform.clock import ManualClock
from session_platform.errors import BadCursor, DisabledByFlag, ForbiddenOrMissing, Unauthenticated, Unavailable
from session_platform.gateway.effects import Acknowledge, Done, FetchPage, KeepAlive, Locate, Permit, Permitted
from session_platform.gateway.frames import MemberScope, Scope, ServiceRequestScope, SessionScope
from session_platform.store import Position, Store
from tests.gateway.stage import (
    CODEC,
    ENDED_SESSION,
    FOREIGN_REQUEST,
    FOREIGN_SESSION,
    MEMBER,
    OTHER,
    REQUEST,
    SECOND_REQUEST,
    SESSION,
    Stage,
    created,
    token,
)

NOW = ManualClock().now()
LATER = NOW + timedelta(hours=1)
WHO = MemberIdentity(subject="user-M1", issued_at=NOW, expires_at=LATER, member_id=MEMBER, account_ids=("A1",))
SERVICE = ServiceIdentity(subject="backend", issued_at=NOW, expires_at=LATER)
ADMIN = AdminIdentity(subject="operator", issued_at=NOW, expires_at=LATER)
STAFF = StaffIdentity(
    subject="staff", issued_at=NOW, expires_at=LATER, staff_id="C9", name="Nobody's", roles=frozenset({StaffRole.CARE_TEAM})
)


@pytest.fixture
async def stage(store: Store, clock: ManualClock) -> Stage:
    stage = Stage(store, clock)
    await stage.watch.look()
    return stage


@pytest.mark.parametrize(
    ("scope", "session_id"),
    [
        (SessionScope(session_id=SESSION), SESSION),
        (SessionScope(session_id=ENDED_SESSION), ENDED_SESSION),
        (MemberScope(member_id=MEMBER), None),
        (ServiceRequestScope(service_request_ids=(REQUEST, SECOND_REQUEST, REQUEST)), None),
    ],
)
async def test_a_granted_subscribe_is_on_the_record(stage: Stage, scope: Scope, session_id: str | None) -> None:
    assert await stage.desk.answer(Permit(WHO, scope, None)) == Permitted(MEMBER, Standing.OWN, 0)
    assert await stage.audit() == [("user-M1", "timeline.subscribe", MEMBER, session_id, "allowed", None)]


@pytest.mark.parametrize(
    ("identity", "scope", "asked_for"),
    [
        (WHO, SessionScope(session_id=FOREIGN_SESSION), (None, FOREIGN_SESSION)),
        (WHO, SessionScope(session_id="sess_nobody"), (None, "sess_nobody")),
        (WHO, MemberScope(member_id=OTHER), (OTHER, None)),
        (WHO, ServiceRequestScope(service_request_ids=(REQUEST, FOREIGN_REQUEST)), (None, None)),
        (WHO, ServiceRequestScope(service_request_ids=(FOREIGN_REQUEST,)), (None, None)),
        (WHO, ServiceRequestScope(service_request_ids=(REQUEST, "sr_nobody")), (None, None)),
        (SERVICE, MemberScope(member_id=MEMBER), (MEMBER, None)),
        (ADMIN, SessionScope(session_id=SESSION), (None, SESSION)),
        (STAFF, MemberScope(member_id=MEMBER), (MEMBER, None)),
    ],
)
async def test_a_refused_subscribe_is_on_the_record_whether_foreign_or_missing(
    stage: Stage, identity: Identity, scope: Scope, asked_for: tuple[str | None, str | None]
) -> None:
    with pytest.raises(ForbiddenOrMissing):
        await stage.desk.answer(Permit(identity, scope, None))
    assert await stage.audit() == [
        (identity.subject, "timeline.subscribe", *asked_for, "refused", "forbidden_or_missing"),
    ]


async def test_rights_are_judged_before_the_cursor_and_a_bad_one_leaves_no_grant_on_the_record(stage: Stage) -> None:
    foreign = CODEC.encode(OTHER, Position(1, 1, 1))
    with pytest.raises(BadCursor):
        await stage.desk.answer(Permit(WHO, MemberScope(member_id=MEMBER), foreign))
    assert await stage.audit() == []
    with pytest.raises(ForbiddenOrMissing):
        await stage.desk.answer(Permit(WHO, MemberScope(member_id=OTHER), "garbage"))


async def test_a_subscription_is_located_with_an_id_of_its_own_and_a_label_that_hides_the_member(stage: Stage) -> None:
    await stage.emit(created(), created())
    first = await stage.desk.locate(Locate(MEMBER, None, since_beginning=False))
    second = await stage.desk.locate(Locate(MEMBER, None, since_beginning=True))
    assert (first.after, first.head, first.recovered) == (2, 2, None)
    assert (second.after, second.head, second.recovered) == (0, 2, None)
    assert first.subscription_id != second.subscription_id
    assert first.label == second.label
    assert MEMBER not in first.label
    third = await stage.desk.locate(Locate(MEMBER, first.cursor, since_beginning=False))
    assert (third.after, third.recovered) == (2, True)


async def test_a_page_of_the_history_is_bounded(stage: Stage) -> None:
    await stage.emit(*(created() for _ in range(5)))
    assert [entry.seq for entry in await stage.desk.page(FetchPage(MEMBER, 1), 3)] == [2, 3, 4]


async def test_a_heartbeat_touches_its_session_and_one_in_an_ended_session_is_ignored(stage: Stage) -> None:
    assert await stage.desk.answer(KeepAlive(WHO, SESSION, active=True)) == Done()
    assert await stage.desk.answer(KeepAlive(WHO, ENDED_SESSION, active=True)) == Done()
    assert await stage.desk.answer(KeepAlive(SERVICE, FOREIGN_SESSION, active=False)) == Done()
    assert stage.touched == [(SESSION, True), (FOREIGN_SESSION, False)]
    assert await stage.audit() == []


@pytest.mark.parametrize("session_id", [FOREIGN_SESSION, "sess_nobody"])
async def test_a_heartbeat_in_a_session_of_somebody_else_is_refused_and_on_the_record(stage: Stage, session_id: str) -> None:
    with pytest.raises(ForbiddenOrMissing):
        await stage.desk.answer(KeepAlive(WHO, session_id, active=True))
    assert stage.touched == []
    assert await stage.audit() == [("user-M1", "session.heartbeat", None, session_id, "refused", "forbidden_or_missing")]


async def test_an_acknowledgement_is_kept_for_the_device(stage: Stage) -> None:
    stage.desk.acknowledge(Acknowledge("user-M1", "phone", MEMBER, Position(1, 5, 9)))
    stage.desk.acknowledge(Acknowledge("user-M1", "phone", MEMBER, Position(1, 3, 9)))
    await stage.acknowledgements.flush()
    latest = await stage.store.read(lambda reader: stage.acknowledgements.latest(reader, "user-M1", "phone", MEMBER))
    assert latest == Position(1, 5, 9)


async def test_a_token_says_who_it_is_and_for_how_long(stage: Stage) -> None:
    welcome = await stage.desk.authenticate(token(for_s=90))
    assert welcome.identity.subject == "user-M1"
    assert welcome.expires_in_s == 90
    assert welcome.expires_at == NOW + timedelta(seconds=90)
    with pytest.raises(Unauthenticated):
        await stage.desk.authenticate("forged")


@pytest.mark.parametrize("flags", [{"enable-websocket-push": False}, {"fallback-to-polling": True}])
async def test_where_websockets_are_switched_off_nobody_connects(stage: Stage, flags: dict[str, bool]) -> None:
    stage.flags = flags
    with pytest.raises(DisabledByFlag):
        await stage.desk.authenticate(token())
    with pytest.raises(Unauthenticated):
        await stage.desk.authenticate("forged")


async def test_where_session_events_are_switched_off_nobody_subscribes(stage: Stage) -> None:
    stage.flags = {"enable-session-events": False}
    with pytest.raises(DisabledByFlag):
        await stage.desk.answer(Permit(WHO, MemberScope(member_id=MEMBER), None))


async def test_without_the_store_everything_that_needs_it_is_unavailable(stage: Stage) -> None:
    await stage.store.close()
    for asked in (
        Permit(WHO, MemberScope(member_id=MEMBER), None),
        Locate(MEMBER, None, since_beginning=False),
        KeepAlive(WHO, SESSION, active=True),
    ):
        with pytest.raises(Unavailable):
            await stage.desk.answer(asked)
