"""What a client may say in which state, and what it is answered: every frame, every refusal, every close."""

from __future__ import annotations

import json
from typing import Any

import pytest

from session_platform.errors import DisabledByFlag, PlatformError, Replaced, Revoked, TooSlow, Unavailable
from session_platform.gateway.commands import Phase
from session_platform.gateway.frames import CLOSE_CODES, KINDS
from tests.gateway.bench import CODEC, MEMBER, REQUEST, SESSION, Bench, token

GOOD: dict[str, dict[str, Any]] = {
    "connect": {"token": token()},
    "subscribe": {"subscription": {"type": "session", "session_id": SESSION}},
    "unsubscribe": {"subscription_id": "sub_nobody"},
    "ack": {"cursors": []},
    "heartbeat": {"session_id": SESSION, "active": True},
    "refresh": {"token": token()},
    "ping": {},
}

ANSWERS: dict[tuple[Phase, str], tuple[list[str], int | None]] = {
    **{(Phase.NEW, kind): (["error"], 4400) for kind in KINDS - {"connect"}},
    (Phase.NEW, "connect"): (["connected"], None),
    (Phase.OPEN, "connect"): (["error"], 4400),
    (Phase.OPEN, "subscribe"): (["subscribed", "caught_up"], None),
    (Phase.OPEN, "unsubscribe"): (["error"], None),
    (Phase.OPEN, "ack"): ([], None),
    (Phase.OPEN, "heartbeat"): ([], None),
    (Phase.OPEN, "refresh"): (["refreshed"], None),
    (Phase.OPEN, "ping"): (["pong"], None),
    **{(Phase.CLOSED, kind): ([], 4400) for kind in KINDS},
}


def in_phase(phase: Phase) -> Bench:
    bench = Bench()
    if phase is Phase.OPEN:
        bench.connect()
    if phase is Phase.CLOSED:
        bench.tell_text("{}")
    assert bench.connection.phase is phase
    return bench


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("phase", Phase)
def test_every_frame_in_every_state_has_its_answer_and_its_close(phase: Phase, kind: str) -> None:
    bench = in_phase(phase)
    answers = bench.tell(type=kind, id="7", **GOOD[kind])
    expected, close = ANSWERS[(phase, kind)]
    assert [frame["type"] for frame in answers] == expected
    assert bench.closed == close
    if answers:
        assert answers[0]["id"] == "7"
    if close is not None and phase is not Phase.CLOSED:
        assert answers[-1]["fatal"] is True


@pytest.mark.parametrize("phase", [Phase.NEW, Phase.OPEN])
@pytest.mark.parametrize(
    "text",
    [
        None, "", "nonsense", "[]", "1", "null", '"connect"', "{}", '{"type":null}', '{"type":7}', '{"type":"shout"}',
        '{"type":"connected"}', "[" * 60_000, '{"type":"ping"} {}', '{"type":"pi\\ud800ng"}',
    ],
)  # fmt: skip
def test_what_is_no_frame_ends_the_connection_with_4400(phase: Phase, text: str | None) -> None:
    bench = in_phase(phase)
    (error,) = bench.tell_text(text)
    assert error == {"type": "error", "code": "bad_request", "message": error["message"], "retryable": False, "fatal": True}
    assert bench.closed == 4400


def test_an_unknown_type_is_answered_under_the_id_of_its_frame() -> None:
    bench = in_phase(Phase.OPEN)
    (error,) = bench.tell(type="shout", id="7")
    assert error.items() >= {"id": "7", "code": "bad_request", "fatal": True}.items()
    assert bench.closed == 4400


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("subscribe", {}),
        ("subscribe", {"subscription": "member"}),
        ("subscribe", {"subscription": {"type": "planet", "planet_id": "P1"}}),
        ("subscribe", {"subscription": {"type": "session"}}),
        ("subscribe", {"subscription": {"type": "session", "session_id": ""}}),
        ("subscribe", {"subscription": {"type": "session", "session_id": "s" * 201}}),
        ("subscribe", {"subscription": {"type": "service_request", "service_request_ids": []}}),
        ("subscribe", {"subscription": {"type": "service_request", "service_request_ids": ["sr"] * 101}}),
        ("subscribe", {"subscription": {"type": "member", "member_id": MEMBER, "events": "task.*"}}),
        ("subscribe", {"subscription": {"type": "member", "member_id": MEMBER, "events": ["**"]}}),
        ("subscribe", {"subscription": {"type": "member", "member_id": MEMBER, "events": [7]}}),
        ("subscribe", {**GOOD["subscribe"], "cursor": "c", "since": "beginning"}),
        ("subscribe", {**GOOD["subscribe"], "since": "yesterday"}),
        ("subscribe", {**GOOD["subscribe"], "cursor": 7}),
        ("subscribe", {**GOOD["subscribe"], "break_glass": 7}),
        ("unsubscribe", {}),
        ("unsubscribe", {"subscription_id": 7}),
        ("ack", {}),
        ("ack", {"cursors": "c"}),
        ("ack", {"cursors": [None]}),
        ("heartbeat", {"active": True}),
        ("heartbeat", {"session_id": SESSION}),
        ("heartbeat", {"session_id": SESSION, "active": "yes"}),
        ("refresh", {}),
        ("refresh", {"token": None}),
        *((kind, {**fields, "id": bad}) for kind, fields in GOOD.items() if kind != "connect" for bad in (7, None, {"a": 1})),
    ],
)
def test_a_bad_field_is_refused_and_the_connection_stays(kind: str, fields: dict[str, Any]) -> None:
    bench = in_phase(Phase.OPEN)
    (error,) = bench.tell(type=kind, **fields)
    assert error.items() >= {"type": "error", "code": "bad_request", "fatal": False, "retryable": False}.items()
    assert "id" not in error
    assert bench.tell(type="ping", id="still here")[0] == {"type": "pong", "id": "still here"}
    assert not bench.kept_alive


def test_unknown_fields_are_ignored() -> None:
    bench = Bench()
    bench.connect(colour="blue", client={"name": "n", "engine": 5})
    assert bench.tell(type="ping", id="1", nested={"deep": [1, 2]}) == [{"type": "pong", "id": "1"}]
    bench.subscribe(mood="good", subscription={"type": "session", "session_id": SESSION, "shade": 3})


def test_the_fields_of_every_answer_are_exactly_those_of_the_contract() -> None:
    bench = Bench()
    connected = bench.connect(id="1", device_id="phone", client={"name": "t", "version": "1", "platform": "web"})
    assert connected == {
        "type": "connected", "id": "1", "connection_id": "conn_1", "subject": "user", "expires_at": "2026-01-15T11:00:00Z",
        "heartbeat_seconds": 30, "flags": {"enable-digital-sessions": True}, "features": connected["features"],
    }  # fmt: skip
    bench.publish()
    subscribed, caught_up = bench.tell(type="subscribe", **GOOD["subscribe"])
    subscription = subscribed["subscription_id"]
    assert subscribed == {
        "type": "subscribed", "subscription_id": subscription, "timeline": CODEC.label(MEMBER),
        "cursor": bench.cursor(1), "recovered": None,
    }  # fmt: skip
    assert caught_up == {"type": "caught_up", "subscription_id": subscription, "cursor": bench.cursor(1)}
    bench.publish()
    event = bench.frames[-1]
    assert event == {"type": "event", "subscription_ids": [subscription], "cursor": bench.cursor(2), "event": event["event"]}
    assert bench.tell(type="unsubscribe", id="9", subscription_id=subscription) == [
        {"type": "unsubscribed", "id": "9", "subscription_id": subscription, "reason": None}
    ]
    assert bench.tell(type="refresh", token=token(for_s=7200)) == [{"type": "refreshed", "expires_at": "2026-01-15T12:00:00Z"}]


@pytest.mark.parametrize(
    "bad", [{}, {"token": None}, {"token": 7}, {"token": "forged"}, {"token": "forged", "device_id": 7, "id": 3}]
)
def test_the_token_of_connect_is_judged_first_and_ends_the_connection_with_4401(bad: dict[str, Any]) -> None:
    bench = Bench()
    (error,) = bench.tell(type="connect", **bad)
    assert error.items() >= {"type": "error", "code": "unauthenticated", "fatal": True}.items()
    assert bench.closed == 4401


@pytest.mark.parametrize("bad", [{"device_id": 7}, {"id": 7}, {"client": "c"}, {"replaces": []}, {"device_id": ""}])
def test_a_good_token_with_another_bad_field_may_try_again(bad: dict[str, Any]) -> None:
    bench = Bench()
    (error,) = bench.tell(type="connect", token=token(), **bad)
    assert error.items() >= {"code": "bad_request", "fatal": False}.items()
    bench.connect(device_id="phone")


@pytest.mark.parametrize(
    "subscription",
    [
        {"type": "session", "session_id": "sess_9"},
        {"type": "session", "session_id": "sess_nobody"},
        {"type": "member", "member_id": "M2"},
        {"type": "member", "member_id": "nobody"},
        {"type": "service_request", "service_request_ids": [REQUEST, "sr_9"]},
        {"type": "service_request", "service_request_ids": [REQUEST, "sr_nobody"]},
    ],
)
def test_foreign_and_missing_are_one_answer(subscription: dict[str, Any]) -> None:
    bench = in_phase(Phase.OPEN)
    foreign = bench.tell(type="subscribe", id="1", subscription=subscription)
    assert foreign == [
        {
            "type": "error",
            "id": "1",
            "code": "forbidden_or_missing",
            "message": foreign[0]["message"],
            "retryable": False,
            "fatal": False,
        }
    ]
    assert bench.connection.subscriptions == 0


def test_the_101st_subscription_is_refused_and_identical_ones_each_count() -> None:
    bench = in_phase(Phase.OPEN)
    first, *_ = [bench.subscribe() for _ in range(100)]
    (error,) = bench.tell(type="subscribe", **GOOD["subscribe"])
    assert error.items() >= {"code": "too_many_subscriptions", "fatal": False}.items()
    bench.tell(type="unsubscribe", subscription_id=first)
    bench.subscribe()
    bench.publish()
    assert len(bench.frames[-1]["subscription_ids"]) == 100


def test_a_heartbeat_is_not_answered_unless_the_session_is_not_yours() -> None:
    bench = in_phase(Phase.OPEN)
    assert bench.tell(type="heartbeat", session_id=SESSION, active=False) == []
    assert [(each.session_id, each.active) for each in bench.kept_alive] == [(SESSION, False)]
    for session in ("sess_9", "sess_nobody"):
        (error,) = bench.tell(type="heartbeat", id="h", session_id=session, active=True)
        assert error.items() >= {"id": "h", "code": "forbidden_or_missing", "fatal": False}.items()


@pytest.mark.parametrize("bad", ["forged", token(sub="somebody else"), token(member="M2")])
def test_a_refresh_with_a_bad_or_foreign_token_changes_nothing(bad: str) -> None:
    bench = Bench()
    bench.connect(token(for_s=100))
    (error,) = bench.tell(type="refresh", id="r", token=bad)
    assert error.items() >= {"id": "r", "code": "unauthenticated", "fatal": False}.items()
    bench.advance(99)
    assert bench.closed is None
    bench.advance(1)
    assert bench.closed == 4401


def test_commands_are_answered_in_the_order_in_which_they_were_sent() -> None:
    bench = in_phase(Phase.OPEN)
    bench.answering = False
    bench.tell(type="subscribe", id="1", **GOOD["subscribe"])
    bench.tell(type="ping", id="2")
    bench.tell(type="heartbeat", id="3", session_id="sess_9", active=True)
    bench.tell(type="unsubscribe", id="4", subscription_id="sub_2")
    assert [frame["type"] for frame in bench.frames[1:]] == []
    bench.answering = True
    bench.settle()
    answers = [(frame["type"], frame.get("id")) for frame in bench.frames[1:] if frame["type"] != "caught_up"]
    assert answers == [("subscribed", "1"), ("pong", "2"), ("error", "3"), ("unsubscribed", "4")]


def test_an_unsubscribe_right_behind_its_subscribe_leaves_nothing_behind() -> None:
    bench = in_phase(Phase.OPEN)
    bench.publish()
    bench.answering = False
    bench.tell(type="subscribe", since="beginning", subscription={"type": "member", "member_id": MEMBER})
    bench.tell(type="unsubscribe", subscription_id="sub_2")
    bench.answering = True
    bench.settle()
    assert [frame["type"] for frame in bench.frames[1:]] == ["subscribed", "unsubscribed"]
    bench.publish()
    assert bench.frames[-1]["type"] == "unsubscribed"
    assert not bench.router._listeners


def test_frames_sent_while_the_token_is_checked_wait_and_count() -> None:
    bench = Bench()
    bench.answering = False
    bench.tell(type="connect", id="1", token=token())
    for _ in range(3):
        bench.tell(type="ping", id="2")
    assert bench.frames == []
    bench.answering = True
    bench.settle()
    assert [frame["type"] for frame in bench.frames] == ["connected", "pong", "pong", "pong"]


def test_a_second_connect_sent_at_once_ends_the_connection_after_the_first_was_answered() -> None:
    bench = Bench()
    bench.answering = False
    bench.tell(type="connect", token=token())
    bench.tell(type="connect", token=token())
    bench.answering = True
    bench.settle()
    assert [frame["type"] for frame in bench.frames] == ["connected", "error"]
    assert bench.closed == 4400


def test_what_waits_is_bounded_by_not_reading_the_socket() -> None:
    bench = in_phase(Phase.OPEN)
    bench.answering = False
    bench.tell(type="heartbeat", session_id=SESSION, active=True)
    assert not bench.connection.full
    bench.tell(type="ping", note="x" * 65_000)
    assert not bench.connection.full
    bench.tell(type="ping", note="x" * 1000)
    assert bench.connection.full
    bench.answering = True
    bench.settle()
    assert not bench.connection.full
    assert [frame["type"] for frame in bench.frames[-2:]] == ["pong", "pong"]


def test_while_the_store_is_away_commands_are_refused_as_retryable_and_the_connection_stays() -> None:
    bench = Bench()
    bench.refusals.append(Unavailable(retry_after_s=0.5))
    (error,) = bench.tell(type="connect", id="c", token=token())
    assert error == {
        "type": "error", "id": "c", "code": "unavailable", "message": error["message"], "retryable": True, "fatal": False,
        "retry_after_ms": 500,
    }  # fmt: skip
    bench.connect()
    for kind in ("subscribe", "heartbeat", "refresh"):
        bench.refusals.append(Unavailable())
        (error,) = bench.tell(type=kind, id=kind, **GOOD[kind])
        assert error.items() >= {"id": kind, "code": "unavailable", "retryable": True, "fatal": False}.items()
    bench.subscribe()


def test_the_store_away_in_the_middle_of_a_subscribe_leaves_no_listener() -> None:
    bench = in_phase(Phase.OPEN)
    bench.answering = False
    bench.tell(type="subscribe", **GOOD["subscribe"])
    bench.answer_one()
    bench.settle()
    assert bench.router._listeners
    bench.refusals.append(Unavailable())
    bench.answering = True
    bench.settle()
    assert bench.frames[-1]["code"] == "unavailable"
    assert not bench.router._listeners
    bench.subscribe()
    bench.publish()
    assert bench.frames[-1]["type"] == "event"


@pytest.mark.parametrize(("problem", "close"), [(DisabledByFlag(), 4410), (Revoked(), 4403)])
def test_some_refusals_of_connect_end_the_connection(problem: PlatformError, close: int) -> None:
    bench = Bench()
    bench.refusals.append(problem)
    (error,) = bench.tell(type="connect", token=token())
    assert error.items() >= {"code": problem.code, "fatal": True}.items()
    assert bench.closed == close


def test_a_subject_with_too_many_connections_is_refused_with_4429() -> None:
    bench = Bench()
    bench.full_house = True
    (error,) = bench.tell(type="connect", token=token())
    assert error.items() >= {"code": "rate_limited", "fatal": True, "retryable": True, "retry_after_ms": 1000}.items()
    assert bench.closed == 4429


@pytest.mark.parametrize(("problem", "close"), [(Replaced(), 4409), (Revoked(), 4403), (TooSlow(), 4429)])
@pytest.mark.parametrize("phase", [Phase.NEW, Phase.OPEN])
def test_every_44xx_close_follows_a_fatal_error(phase: Phase, problem: PlatformError, close: int) -> None:
    bench = in_phase(phase)
    bench.connection.end(problem)
    bench.settle()
    assert bench.frames[-1].items() >= {"type": "error", "code": problem.code, "fatal": True}.items()
    assert bench.closed == close == CLOSE_CODES[problem.code]


def test_200_frames_at_once_pass_and_a_flood_ends_with_4429() -> None:
    bench = in_phase(Phase.OPEN)
    for _ in range(200):
        assert bench.tell(type="ping")[0]["type"] == "pong"
    for _ in range(60):
        bench.tell(type="ping")
    assert bench.frames[-1].items() >= {"code": "rate_limited", "fatal": True}.items()
    assert bench.closed == 4429


def test_50_frames_a_second_pass_for_as_long_as_one_likes() -> None:
    bench = in_phase(Phase.OPEN)
    for _ in range(1000):
        bench.advance(0.02)
        assert bench.tell(type="ping")[0]["type"] == "pong"


def test_a_subscribe_with_garbage_for_a_cursor_is_refused_and_the_connection_stays() -> None:
    bench = in_phase(Phase.OPEN)
    (error,) = bench.tell(type="subscribe", id="s", cursor="garbage", **GOOD["subscribe"])
    assert error.items() >= {"id": "s", "code": "bad_cursor", "fatal": False}.items()
    assert not bench.router._listeners
    assert json.dumps(bench.frames).count("garbage") == 0


@pytest.mark.parametrize("kind", ["subscribe", "heartbeat", "unsubscribe", "ack", "refresh"])
def test_before_the_connect_nothing_is_asked_of_the_world(kind: str) -> None:
    bench = Bench()
    bench.answering = False
    bench.tell(type=kind, session_id=SESSION, active=True, subscription_id="s", cursors=[], token=token())
    assert not bench.asked
    assert bench.closed == 4400
