"""Staff's streams on a real socket and a real store: what ends a right ends the stream, exactly there, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection

from session_platform.access import disconnect, revoke_issued_before, revoke_token, rights_changed
from session_platform.clock import ManualClock
from session_platform.gateway import Limits
from session_platform.store import Store, Tx
from tests.gateway.stage import (
    MEMBER,
    MEMBER_SCOPE,
    OTHER,
    SESSION,
    WITHOUT_ACCOUNT,
    Stage,
    closed_with,
    hear,
    pass_time,
    processing,
    say,
    staff_token,
    token,
    until,
)

ENDED = {"type": "unsubscribed", "reason": "right_ended"}


async def subscribed(socket: ClientConnection, **fields: Any) -> str:
    """Subscribe to the member's timeline and be caught up with nothing."""
    await say(socket, type="subscribe", **{"subscription": MEMBER_SCOPE, **fields})
    answer = await hear(socket)
    assert answer["type"] == "subscribed", answer
    subscription_id: str = answer["subscription_id"]
    return subscription_id


async def live(socket: ClientConnection, **fields: Any) -> str:
    subscription_id = await subscribed(socket, **fields)
    assert (await hear(socket))["type"] == "caught_up"
    return subscription_id


async def percents(socket: ClientConnection, count: int) -> list[int]:
    """Of the next events."""
    frames = [await hear(socket) for _ in range(count)]
    assert {frame["type"] for frame in frames} <= {"event"}, frames
    return [frame["event"]["data"]["percent_complete"] for frame in frames]


def types(frames: Sequence[dict[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames]


async def test_the_event_that_ends_the_right_is_delivered_and_nothing_after_it_and_the_connection_stays(stage: Stage) -> None:
    await stage.care()
    async with stage.client(staff_token()) as socket:
        subscription = await live(socket)
        await stage.emit(processing(1))
        await stage.care_ends(processing(2))
        await stage.emit(processing(3))
        assert await percents(socket, 2) == [1, 2]
        assert await hear(socket) == {**ENDED, "subscription_id": subscription}
        await stage.emit(processing(4))
        await stage.pass_by()
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE)
        assert (await hear(socket))["code"] == "forbidden_or_missing"
    assert not stage.router._listeners


async def test_without_any_event_the_next_poll_ends_the_stream(stage: Stage) -> None:
    await stage.care()
    async with stage.client(staff_token()) as socket:
        await live(socket)
        await stage.care_ends()
        await stage.watch.round()
        assert (await hear(socket)).items() >= ENDED.items()


async def test_a_right_that_another_relationship_still_gives_leaves_the_stream_as_it_is(stage: Stage) -> None:
    await stage.care()
    async with stage.client(staff_token()) as socket:
        await live(socket)
        for number in range(5):
            await stage.store.run(lambda tx: rights_changed(tx, MEMBER), MEMBER)
            await stage.emit(processing(number))
        await stage.care_is_renewed()
        await stage.emit(processing(5))
        assert await percents(socket, 6) == list(range(6))


async def test_members_and_other_staff_never_notice(stage: Stage) -> None:
    await stage.care()
    await stage.care(staff="C2")
    async with (
        stage.client(token()) as member,
        stage.client(staff_token(staff="C2")) as colleague,
        stage.client(staff_token()) as socket,
    ):
        await live(member)
        await live(colleague)
        await live(socket)
        await stage.care_ends(processing(1))
        await stage.emit(processing(2))
        assert await percents(socket, 1) == [1]
        assert (await hear(socket)).items() >= ENDED.items()
        assert await percents(member, 2) == [1, 2]
        assert await percents(colleague, 2) == [1, 2]


async def test_other_members_streams_on_the_same_connection_go_on(stage: Stage) -> None:
    await stage.care()
    await stage.care(member=OTHER)
    async with stage.client(staff_token()) as socket:
        first = await live(socket)
        await live(socket, subscription={"type": "member", "member_id": OTHER})
        await stage.care_ends()
        await stage.emit(processing(7, member=OTHER))
        frames = [await hear(socket), await hear(socket)]
        assert sorted(types(frames)) == ["event", "unsubscribed"]
        assert next(frame for frame in frames if frame["type"] == "unsubscribed")["subscription_id"] == first


async def test_every_subscription_that_stood_on_the_right_ends_and_one_through_the_glass_goes_on(stage: Stage) -> None:
    await stage.care()
    async with stage.client(staff_token("clinician")) as socket:
        narrow = await live(socket, subscription={**MEMBER_SCOPE, "events": ["service_request.*"]})
        wide = await live(socket, subscription={"type": "session", "session_id": SESSION})
        glass = await live(socket, break_glass="found unconscious")
        await stage.care_ends(processing(1))
        await stage.emit(processing(2))
        one, *ends, two = [await hear(socket) for _ in range(4)]
        assert (one["type"], set(one["subscription_ids"])) == ("event", {narrow, wide, glass})
        assert [(end["type"], end["reason"]) for end in ends] == [("unsubscribed", "right_ended")] * 2
        assert {end["subscription_id"] for end in ends} == {narrow, wide}
        assert (two["type"], two["subscription_ids"]) == ("event", [glass])


async def test_a_right_taken_from_every_member_of_a_panel_ends_all_streams_of_that_staff_member(stage: Stage) -> None:
    await stage.care()
    await stage.care(member=OTHER)
    async with stage.client(staff_token()) as socket:
        both = {await live(socket), await live(socket, subscription={"type": "member", "member_id": OTHER})}

        def command(tx: Tx) -> None:
            tx.execute("DELETE FROM panel")
            rights_changed(tx, "*", "C1")

        await stage.store.run(command)
        await stage.watch.round()
        ends = [await hear(socket), await hear(socket)]
        assert {end["subscription_id"] for end in ends} == both
        assert all(end.items() >= ENDED.items() for end in ends)


async def test_a_replay_far_behind_goes_on_to_the_ending_event_if_it_gets_there_in_time(
    store: Store, clock: ManualClock
) -> None:
    stage = Stage(store, clock, Limits(page_events=3), events_in_window=2)
    await stage.care()
    await stage.emit(*[processing(number) for number in range(20)])
    async with stage.serving(), stage.client(staff_token()) as socket:
        gate = stage.hold_pages()
        await subscribed(socket, since="beginning")
        await stage.care_ends(processing(20))
        await stage.emit(processing(21))
        gate.set()
        assert await percents(socket, 20) == list(range(20))
        frames = [await hear(socket), await hear(socket)]
        while frames[-1]["type"] != "unsubscribed":
            frames.append(await hear(socket))
        events = [frame["event"]["data"]["percent_complete"] for frame in frames if frame["type"] == "event"]
        assert events == [20]
        assert frames[-1].items() >= ENDED.items()


async def test_a_replay_that_is_still_behind_after_the_grace_ends_where_it_stands(store: Store, clock: ManualClock) -> None:
    stage = Stage(store, clock, Limits(page_events=3), events_in_window=2)
    await stage.care()
    await stage.emit(*[processing(number) for number in range(20)])
    async with stage.serving(), stage.client(staff_token()) as socket:
        gate = stage.hold_pages()
        await subscribed(socket, since="beginning")
        await stage.care_ends(processing(20))
        await stage.watch.round()
        await until(lambda: next(iter(stage.hub._links)).connection.next_at <= clock.monotonic() + 0.5)
        await pass_time(stage, clock, 0.6)
        assert (await hear(socket)).items() >= ENDED.items()
        gate.set()
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"


async def test_a_right_that_ends_while_its_subscribe_is_under_way_is_noticed(stage: Stage) -> None:
    await stage.care()
    async with stage.client(staff_token()) as socket:
        gate = stage.hold_starts()
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE)
        await until(lambda: gate.waiting > 0)
        await stage.care_ends(processing(1))
        await stage.emit(processing(2))
        await stage.watch.round()
        gate.set()
        frames = [await hear(socket)]
        while frames[-1]["type"] != "unsubscribed":
            frames.append(await hear(socket))
        assert frames[0]["type"] == "subscribed"
        assert frames[-1].items() >= ENDED.items()
        assert 2 not in [frame["event"]["data"]["percent_complete"] for frame in frames if frame["type"] == "event"]


async def test_what_is_in_doubt_is_held_until_the_store_can_be_asked_again(stage: Stage, clock: ManualClock) -> None:
    await stage.care()
    async with stage.client(staff_token()) as socket:
        await live(socket)
        await stage.store.run(lambda tx: rights_changed(tx, MEMBER), MEMBER)
        found = await stage.store.read(stage.watch.read)
        stage.moody.away = True
        stage.watch.take(found)
        await until(lambda: next(iter(stage.hub._links)).connection.next_at <= clock.monotonic() + 1)
        stage.moody.away = False
        await stage.emit(processing(1))
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"
        await pass_time(stage, clock, 1.1)
        assert await percents(socket, 1) == [1]


async def test_a_connection_whose_rights_cannot_be_judged_ends_and_the_others_go_on(stage: Stage) -> None:
    await stage.care()
    async with stage.client(token()) as member, stage.client(staff_token()) as socket:
        await live(member)
        await live(socket)
        stage.relations_fail = True
        await stage.store.run(lambda tx: rights_changed(tx, MEMBER), MEMBER)
        await stage.emit(processing(1))
        frames, code = await closed_with(socket)
        assert (frames, code) == ([], 1011)
        assert await percents(member, 1) == [1]


# -------------------------------------------------------------------------------------------------------------- break-glass


async def audit_of(stage: Stage) -> list[tuple[Any, ...]]:
    return [(action, member, outcome, reason) for _, action, member, _, outcome, reason in await stage.audit()]


async def test_a_clinician_follows_through_the_glass_and_the_reason_is_on_record(stage: Stage) -> None:
    async with stage.client(staff_token("clinician")) as socket:
        await live(socket, break_glass="  found unconscious ")
        await stage.emit(processing(1))
        assert await percents(socket, 1) == [1]
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE)
        assert (await hear(socket))["code"] == "forbidden_or_missing"  # it held for that subscription alone
    assert await audit_of(stage) == [
        ("break_glass", MEMBER, "allowed", "found unconscious"),
        ("timeline.subscribe", MEMBER, "allowed", "found unconscious"),
        ("timeline.subscribe", MEMBER, "refused", "forbidden_or_missing"),
    ]


@pytest.mark.parametrize("auth", [staff_token("care_team"), token()], ids=["care team", "member"])
async def test_others_are_refused_the_glass_and_that_is_on_record(stage: Stage, auth: str) -> None:
    await stage.care()
    async with stage.client(auth) as socket:
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE, break_glass="curious")
        assert (await hear(socket)).items() >= {"code": "forbidden_or_missing", "fatal": False}.items()
    assert await audit_of(stage) == [
        ("break_glass", MEMBER, "refused", "curious"),
        ("timeline.subscribe", MEMBER, "refused", "forbidden_or_missing"),
    ]


@pytest.mark.parametrize(
    "reason", ["", "  \n", "x" * 1001, "a\0b", "a\nb"], ids=["empty", "blank", "too long", "NUL", "two lines"]
)
async def test_a_reason_that_is_none_is_a_bad_request(stage: Stage, reason: str) -> None:
    async with stage.client(staff_token("clinician")) as socket:
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE, break_glass=reason)
        assert (await hear(socket)).items() >= {"code": "bad_request", "fatal": False}.items()


async def test_the_glass_of_a_member_without_accounts_can_be_broken(stage: Stage) -> None:
    async with stage.client(staff_token("clinician")) as socket:
        await live(socket, subscription={"type": "member", "member_id": WITHOUT_ACCOUNT}, break_glass="emergency")


async def test_no_glass_opens_what_does_not_exist(stage: Stage) -> None:
    async with stage.client(staff_token("clinician")) as socket:
        for scope in ({"type": "member", "member_id": "M999"}, {"type": "session", "session_id": "sess_nobody"}):
            await say(socket, type="subscribe", subscription=scope, break_glass="emergency")
            assert (await hear(socket))["code"] == "forbidden_or_missing"


async def test_a_refresh_to_a_token_without_the_role_ends_what_was_seen_through_the_glass_and_nothing_else(
    stage: Stage,
) -> None:
    await stage.care()
    async with stage.client(staff_token("clinician")) as socket:
        by_right = await live(socket)
        glass = await live(socket, break_glass="emergency")
        await say(socket, type="refresh", token=staff_token("care_team", "clinician"))
        assert (await hear(socket))["type"] == "refreshed"
        await say(socket, type="refresh", token=staff_token("care_team"))
        assert (await hear(socket))["type"] == "refreshed"
        assert await hear(socket) == {"type": "unsubscribed", "subscription_id": glass, "reason": "break_glass_ended"}
        await stage.emit(processing(1))
        assert (await hear(socket))["subscription_ids"] == [by_right]


# --------------------------------------------------------------------------------------------------------------- revocation


async def test_a_revoked_token_closes_its_connection_with_4403_and_no_other_of_the_subject(stage: Stage) -> None:
    async with stage.client(token(jti="t1")) as socket, stage.client(token(jti="t2")) as other:
        await live(socket)
        await stage.store.run(lambda tx: revoke_token(tx, "t1"))
        await stage.watch.round()
        frames, code = await closed_with(socket)
        assert (frames[-1]["code"], frames[-1]["fatal"], code) == ("revoked", True, 4403)
        await say(other, type="ping")
        assert (await hear(other))["type"] == "pong"
        async with stage.client() as again:
            await say(again, type="connect", token=token(jti="t1"))
            assert (await closed_with(again))[1] == 4403
        await say(other, type="refresh", token=token(jti="t1"))
        assert (await hear(other)).items() >= {"code": "unauthenticated", "fatal": False}.items()
        await say(other, type="ping")
        assert (await hear(other))["type"] == "pong"


async def test_what_a_refresh_replaced_may_be_revoked_without_harm(stage: Stage) -> None:
    async with stage.client(token(jti="old")) as socket:
        await say(socket, type="refresh", token=token(jti="new"))
        assert (await hear(socket))["type"] == "refreshed"
        await stage.store.run(lambda tx: revoke_token(tx, "old"))
        await stage.watch.round()
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"


async def test_a_subjects_earlier_tokens_are_revoked_and_a_later_one_is_let_in(stage: Stage, clock: ManualClock) -> None:
    async with stage.client(token()) as socket:
        clock.advance(5)
        moment = clock.now()
        await stage.store.run(lambda tx: revoke_issued_before(tx, f"user-{MEMBER}", moment))
        await stage.watch.round()
        assert (await closed_with(socket))[1] == 4403
    async with stage.client(token()) as later:
        await say(later, type="ping")
        assert (await hear(later))["type"] == "pong"


async def test_a_disconnected_members_connections_close_and_nobody_elses(stage: Stage) -> None:
    await stage.care()
    async with stage.client(token()) as socket, stage.client(token(OTHER)) as other, stage.client(staff_token()) as carer:
        await stage.store.run(lambda tx: disconnect(tx, MEMBER))
        await stage.watch.round()
        frames, code = await closed_with(socket)
        assert (types(frames), code) == (["error"], 4403)
        for socket_of in (other, carer):
            await say(socket_of, type="ping")
            assert (await hear(socket_of))["type"] == "pong"


async def test_a_token_revoked_while_its_connect_is_under_way_is_refused(stage: Stage) -> None:
    async with stage.client() as socket:
        stage.tokens.gate.clear()
        await say(socket, type="connect", token=token(jti="t1"))
        await until(lambda: stage.tokens.checked > 0)
        await stage.store.run(lambda tx: revoke_token(tx, "t1"))
        await stage.watch.round()
        stage.tokens.gate.set()
        assert (await closed_with(socket))[1] == 4403


# -------------------------------------------------------------------------------------------------------------- fail closed


async def test_rights_that_cannot_be_read_for_ten_seconds_end_staffs_streams_and_only_those(
    stage: Stage, clock: ManualClock
) -> None:
    await stage.care()
    async with stage.client(token()) as member, stage.client(staff_token("clinician")) as socket:
        await live(member)
        ends = {await live(socket), await live(socket, break_glass="emergency")}
        stage.moody.away = True
        clock.advance(9)
        await stage.watch.round()
        await say(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"
        clock.advance(1)
        await stage.watch.round()
        frames = [await hear(socket), await hear(socket)]
        assert {(frame["subscription_id"], frame["reason"]) for frame in frames} == {(end, "rights_unknown") for end in ends}
        assert stage.watch.trouble() is not None
        await say(socket, type="subscribe", subscription=MEMBER_SCOPE)
        assert (await hear(socket)).items() >= {"code": "unavailable", "retryable": True, "fatal": False}.items()
        await say(member, type="ping")
        assert (await hear(member))["type"] == "pong"
        stage.moody.away = False
        await stage.watch.round()
        await live(socket)
        assert stage.watch.trouble() is None
