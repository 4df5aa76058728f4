"""The client's core: who retries what and when, tokens, heartbeats, and every frame that answers a subscription."""

from __future__ import annotations

from typing import Any

import pytest

from digital_session import errors
from digital_session._effects import Abort, Dial, Effect, Ended, FlagsChanged, HangUp, RenewToken, State, StateChanged, Trouble
from digital_session._loss import Loss
from digital_session._protocol import TRANSITIONS
from tests.sdk.fake_gateway import Rig, connected


def dials(effects: list[Effect]) -> list[Dial]:
    return [effect for effect in effects if isinstance(effect, Dial)]


def live(**options: Any) -> Rig:
    """A connected rig with one subscription from now."""
    rig = Rig(**options)
    rig.subscribe(["*"])
    rig.settle()
    return rig


def fatal(rig: Rig, code: str, **more: Any) -> None:
    rig.say({"type": "error", "code": code, "message": "said", "retryable": False, "fatal": True, **more})


INPUTS = ("start", "connected", "lost", "slow", "give_up", "close")
DIAGRAM = """
idle          start      connecting
idle          give_up    failed
idle          close      closed
connecting    connected  connected
connecting    lost       reconnecting
connecting    give_up    failed
connecting    close      closed
connected     lost       reconnecting
connected     give_up    failed
connected     close      closed
reconnecting  connected  connected
reconnecting  slow       suspended
reconnecting  give_up    failed
reconnecting  close      closed
suspended     connected  connected
suspended     give_up    failed
suspended     close      closed
failed        close      closed
"""


def test_every_state_and_input_leads_where_the_diagram_says() -> None:
    drawn = {(state, event): to for state, event, to in (line.split() for line in DIAGRAM.strip().splitlines())}
    for state in State:
        for event in INPUTS:
            following = TRANSITIONS.get((state, event))
            assert (following and following.value) == drawn.get((state.value, event))


def test_nothing_is_dialled_before_the_first_use() -> None:
    rig = Rig()
    assert rig.core.state == "idle"
    assert rig.core.deadline is None
    rig.subscribe()
    assert rig.core.state == "connecting"
    assert dials(rig.effects) == [Dial(0.0)]


@pytest.mark.parametrize(
    ("code", "kind", "word"),
    [
        (1009, errors.ProtocolError, "too_large"),
        (4400, errors.ProtocolError, "bad_request"),
        (4403, errors.ForbiddenError, "revoked"),
        (4409, errors.ConflictError, "replaced"),
        (4410, errors.ForbiddenError, "disabled_by_flag"),
    ],
)
def test_a_close_that_no_retry_mends_ends_everything_with_its_error(
    code: int, kind: type[errors.DigitalSessionError], word: str
) -> None:
    rig = live()
    effects = rig.cut(Loss(code=code))
    assert rig.core.state == "failed"
    assert dials(effects) == []
    error = rig.ended[1]
    assert isinstance(error, kind)
    assert error.code == word
    assert rig.core.error is error


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 1012, 4408, 4429])
def test_every_other_close_is_retried_with_full_jitter(code: int | None) -> None:
    rig = live()
    effects = rig.cut(Loss(code=code), jitter=0.25)
    assert rig.core.state == "reconnecting"
    assert dials(effects) == [Dial(0.25)]
    assert rig.ended == {}


def test_the_bound_doubles_up_to_the_cap_and_starts_anew_after_a_connection_that_lasted() -> None:
    rig = live(base_s=1.0, cap_s=5.0)
    waits = [dials(rig.cut(jitter=1.0))[0].delay_s]
    for _ in range(4):
        waits.append(dials(rig.carry_out(rig.core.closed(rig.now, 1.0, Loss())))[0].delay_s)
    assert waits == [1.0, 2.0, 4.0, 5.0, 5.0]
    rig.settle()
    rig.advance(5.0)
    assert dials(rig.cut(jitter=1.0))[0].delay_s == 5.0
    rig.settle()
    rig.advance(10.0)
    rig.settle()
    assert dials(rig.cut(jitter=1.0))[0].delay_s == 1.0


def test_attempts_count_since_the_last_success() -> None:
    rig = live(max_attempts=2)
    for _ in range(3):
        rig.cut()
        assert rig.core.state == "reconnecting"
        rig.carry_out(rig.core.closed(rig.now, 0.0, Loss()))
        assert rig.core.state == "reconnecting"
        rig.settle()
        assert rig.core.state == "connected"
    rig.cut()
    rig.carry_out(rig.core.closed(rig.now, 0.0, Loss()))
    effects = rig.carry_out(rig.core.closed(rig.now, 0.0, Loss()))
    assert rig.core.state == "failed"
    assert dials(effects) == []
    assert isinstance(rig.ended[1], errors.UnavailableError)


def test_without_reconnect_the_first_loss_is_the_last() -> None:
    rig = live(enabled=False)
    rig.cut()
    assert rig.core.state == "failed"


def test_a_goodbye_says_when_to_come_back() -> None:
    rig = live()
    rig.say({"type": "goodbye", "reason": "draining", "reconnect_after_ms": 1500})
    assert dials(rig.cut(Loss(code=1012), jitter=0.0)) == [Dial(1.5)]


def test_a_named_wait_is_kept_even_where_the_jitter_is_shorter() -> None:
    rig = live()
    fatal(rig, "too_slow", retry_after_ms=3000, retryable=True)
    assert dials(rig.cut(Loss(code=4429), jitter=0.0)) == [Dial(3.0)]


def test_after_two_minutes_without_a_connection_it_is_suspended_and_tries_slowly() -> None:
    rig = live()
    rig.cut()
    assert rig.advance(119.0) == []
    assert rig.advance(1.0) == [StateChanged(State.SUSPENDED)]
    for _ in range(12):
        effects = rig.carry_out(rig.core.closed(rig.now, 1.0, Loss()))
    assert dials(effects) == [Dial(60.0)]
    rig.settle()
    assert rig.states() == ["connecting", "connected", "reconnecting", "suspended", "connected"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426])
def test_an_endpoint_that_is_no_gateway_is_not_asked_again(status: int) -> None:
    rig = Rig()
    rig.subscribe()
    rig.carry_out(rig.core.closed(0.0, 0.0, Loss(status=status)))
    assert rig.core.state == "failed"
    assert isinstance(rig.ended[1], errors.ProtocolError)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_a_proxy_in_trouble_is_asked_again(status: int) -> None:
    rig = Rig()
    rig.subscribe()
    assert dials(rig.carry_out(rig.core.closed(0.0, 0.0, Loss(status=status))))


# Tokens.


def test_a_refused_token_is_followed_by_a_dial_with_another_one() -> None:
    rig = live(renewable=True)
    fatal(rig, "unauthenticated")
    assert dials(rig.cut(Loss(code=4401), jitter=0.0)) == [Dial(0.0, refused_token="token")]


def test_a_refused_token_without_a_provider_ends_it() -> None:
    rig = live()
    fatal(rig, "unauthenticated")
    rig.cut(Loss(code=4401))
    assert rig.core.state == "failed"
    assert isinstance(rig.ended[1], errors.AuthenticationError)


def test_three_refusals_in_a_row_end_it() -> None:
    rig = Rig(renewable=True)
    rig.subscribe()
    for _ in range(2):
        rig.open()
        rig.cut(Loss(code=4401))
        assert rig.core.state == "reconnecting"
    rig.open()
    rig.cut(Loss(code=4401))
    assert rig.core.state == "failed"


def test_refusals_count_since_the_last_success() -> None:
    rig = live(renewable=True)
    for _ in range(3):
        for _ in range(2):
            rig.cut(Loss(code=4401))
            rig.open()
        rig.settle()
        assert rig.core.state == "connected"


def test_a_token_is_renewed_before_it_expires_and_the_old_one_holds_meanwhile() -> None:
    rig = live(renewable=True)
    assert RenewToken() not in rig.live_for(3600 - 91)
    assert RenewToken() in rig.live_for(1)
    rig.carry_out(rig.core.renewed("token-2"))
    assert rig.sent("refresh") == [{"type": "refresh", "id": "refresh", "token": "token-2"}]
    rig.say({"type": "refreshed", "id": "refresh", "expires_at": "2026-01-15T12:00:00Z"})
    assert RenewToken() in rig.live_for(3600)
    assert rig.core.state == "connected"


def test_a_short_token_is_renewed_at_half_its_time() -> None:
    rig = Rig(renewable=True)
    rig.subscribe()
    rig.open()
    rig.say(connected(expires_at="2026-01-15T10:00:40Z"))
    assert RenewToken() not in rig.advance(19)
    assert RenewToken() in rig.advance(1)


def test_token_expiring_asks_for_a_token_or_tells_who_has_none() -> None:
    expiring = {"type": "error", "code": "token_expiring", "message": "soon", "retryable": False, "fatal": False}
    assert RenewToken() in live(renewable=True).say(expiring)
    told = live().say(expiring)
    assert [type(effect) for effect in told] == [Trouble]


def test_the_same_token_again_is_not_sent() -> None:
    rig = live(renewable=True)
    rig.carry_out(rig.core.renewed("token"))
    assert rig.sent("refresh") == []


def test_a_refresh_that_is_refused_is_told_and_ends_nothing() -> None:
    rig = live(renewable=True)
    refused = {"type": "error", "id": "refresh", "code": "unauthenticated", "message": "m", "retryable": False, "fatal": False}
    effects = rig.say(refused)
    assert isinstance(effects[0], Trouble)
    assert isinstance(effects[0].error, errors.AuthenticationError)
    assert rig.core.state == "connected"


# Being alive.


def test_a_held_session_is_kept_alive_at_every_heartbeat_and_after_every_reconnect() -> None:
    rig = live()
    rig.carry_out(rig.core.beat("sess_1", active=True))
    rig.advance(30.0)
    beat = {"type": "heartbeat", "session_id": "sess_1", "active": True}
    assert rig.sent("heartbeat") == [beat]
    rig.settle()
    rig.core.beat("sess_1", active=False)
    rig.cut()
    rig.settle()
    assert rig.sent("heartbeat") == [beat, {**beat, "active": False}]
    rig.core.rest("sess_1")
    rig.advance(30.0)
    assert len(rig.sent("heartbeat")) == 2


def test_a_connection_on_which_nobody_answers_is_dropped_after_two_heartbeats() -> None:
    rig = live()
    assert rig.count(Abort) == 0
    rig.advance(59.0)
    assert len(rig.sent("ping")) == 1
    assert rig.core.state == "connected"
    rig.advance(1.0)
    assert rig.count(Abort) == 1
    assert rig.core.state == "reconnecting"


def test_a_connection_whose_pings_are_answered_stays() -> None:
    rig = live()
    rig.live_for(600.0)
    assert rig.core.state == "connected"
    assert rig.count(Abort) == 0


def test_a_connect_that_is_not_answered_in_ten_seconds_is_dropped() -> None:
    rig = Rig()
    rig.subscribe()
    rig.open()
    rig.advance(10.0)
    assert rig.count(Abort) == 1
    assert rig.core.state == "reconnecting"


def test_a_reconnect_names_the_connection_it_replaces() -> None:
    rig = live()
    rig.cut()
    rig.settle()
    first, second = rig.sent("connect")
    assert "replaces" not in first
    assert second["replaces"] == "conn_1"


# Frames.


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("forbidden_or_missing", errors.NotFoundError),
        ("bad_cursor", errors.ValidationError),
        ("bad_request", errors.ValidationError),
        ("too_many_subscriptions", errors.RateLimitedError),
        ("disabled_by_flag", errors.ForbiddenError),
        ("a_code_of_tomorrow", errors.ProtocolError),
    ],
)
def test_a_refused_subscription_ends_with_its_error_and_no_other_does(
    code: str, kind: type[errors.DigitalSessionError]
) -> None:
    rig = live()
    local = rig.subscribe(cursor="x")
    refused = rig.sent("subscribe")[-1]["id"]
    rig.say({"type": "error", "id": refused, "code": code, "message": "no", "retryable": False, "fatal": False})
    assert isinstance(rig.ended[local], kind)
    assert list(rig.ended) == [local]


def test_a_subscription_that_cannot_be_taken_right_now_is_asked_for_again() -> None:
    rig = Rig()
    local = rig.subscribe(since="beginning")
    rig.open()
    rig.say(connected())
    busy = {"type": "error", "code": "unavailable", "message": "later", "retryable": True, "fatal": False}
    rig.say({**busy, "id": rig.sent("subscribe")[-1]["id"], "retry_after_ms": 2500})
    assert len(rig.sent("subscribe")) == 1
    rig.advance(2.4)
    assert len(rig.sent("subscribe")) == 1
    rig.advance(0.1)
    assert len(rig.sent("subscribe")) == 2
    assert rig.sent("subscribe")[1]["since"] == "beginning"
    assert local not in rig.ended


def test_a_cursor_that_the_server_no_longer_knows_becomes_a_reset() -> None:
    rig = live()
    rig.gateway.publish("task.assigned")
    rig.settle()
    rig.cut()
    rig.open()
    rig.say(connected())
    asked = rig.sent("subscribe")[-1]
    assert "cursor" in asked
    rig.say({"type": "error", "id": asked["id"], "code": "bad_cursor", "message": "?", "retryable": False, "fatal": False})
    again = rig.sent("subscribe")[-1]
    assert again["id"] != asked["id"]
    assert "cursor" not in again
    rig.handle(1)
    assert [reset.reason for reset in rig.resets[1]] == ["bad_cursor"]


def test_a_right_that_ends_ends_its_subscription_alone() -> None:
    rig = live()
    other = rig.subscribe(["task.*"])
    rig.settle()
    rig.say({"type": "unsubscribed", "subscription_id": "sub_1", "reason": "relationship_ended"})
    assert isinstance(rig.ended[1], errors.ForbiddenError)
    assert other not in rig.ended


def test_unsubscribing_before_the_answer_gives_the_subscription_back() -> None:
    rig = live()
    local = rig.subscribe(["task.*"])
    rig.carry_out(rig.core.unsubscribe(local))
    rig.settle()
    assert rig.ended[local] is None
    assert [frame["subscription_id"] for frame in rig.sent("unsubscribe")] == ["sub_2"]
    assert rig.line is not None
    assert list(rig.line.live) == ["sub_1"]


def test_unsubscribing_acknowledges_first() -> None:
    rig = live()
    rig.gateway.publish("task.assigned")
    rig.settle()
    rig.carry_out(rig.core.unsubscribe(1))
    rig.settle()
    assert rig.gateway.acknowledged == [rig.gateway.cursor(1)]


def test_what_is_not_known_is_ignored() -> None:
    rig = live()
    assert rig.say({"type": "frame_of_tomorrow", "x": 1}) == []
    rig.gateway.publish("something.new", {"member_id": "M1", "x": 1})
    rig.settle()
    assert rig.names(1) == ["something.new"]


@pytest.mark.parametrize("message", ["[]", "{", '"text"', "{}", '{"type": "event"}', b"\xff\xfe", '{"type": "position"}'])
def test_a_frame_that_makes_no_sense_is_told_and_the_connection_dropped(message: str | bytes) -> None:
    rig = live()
    effects = rig.core.received(rig.now, message)
    assert [type(effect) for effect in effects] == [Trouble, Abort]
    assert rig.core.received(rig.now, '{"type": "flags", "flags": {"late": true}}') == []
    assert rig.core.deadline is None
    assert dials(rig.cut())


def test_flags_are_told_when_they_change() -> None:
    rig = live()
    assert rig.say({"type": "flags", "flags": {"a": True}}) == [FlagsChanged({"a": True})]
    assert rig.say({"type": "flags", "flags": {"a": True}}) == []


def test_an_error_that_answers_nothing_is_told() -> None:
    rig = live()
    effects = rig.say({"type": "error", "code": "rate_limited", "message": "slow", "retryable": True, "fatal": False})
    assert isinstance(effects[0], Trouble)
    assert isinstance(effects[0].error, errors.RateLimitedError)


def test_closing_acknowledges_ends_and_hangs_up_in_that_order() -> None:
    rig = live()
    rig.gateway.publish("task.assigned")
    rig.settle()
    effects = rig.core.close()
    assert [type(effect).__name__ for effect in effects] == ["Send", "Acknowledged", "Ended", "HangUp", "StateChanged"]
    assert Ended(1, None) in effects
    assert HangUp() in effects
    assert rig.cut() == []
    assert rig.core.deadline is None
    assert rig.core.start() == []
