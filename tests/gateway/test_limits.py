"""Bounds, the bucket that counts frames, the watch over one connection and the wheel that turns for all of them."""

from __future__ import annotations

from math import inf
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.gateway import Limits
from session_platform.gateway.hub import Wheel
from session_platform.gateway.limits import Alarm, Bucket, Watch
from session_platform.gateway.transport import Link

LIMITS = Limits()


@pytest.mark.parametrize(
    "below",
    [{"heartbeat_s": 14}, {"burst_frames": 199}, {"frames_per_s": 49}, {"connections_per_subject": 49}, {"subscriptions": 99}],
)
def test_no_limit_may_be_below_what_the_contract_promises(below: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|below"):
        Limits(**below)


@given(gaps=st.lists(st.floats(0, 3, allow_nan=False), max_size=600))
def test_a_bucket_takes_what_is_promised_and_never_more_than_its_burst_and_rate(gaps: list[float]) -> None:
    bucket, now, taken = Bucket(LIMITS, 0.0), 0.0, []
    for number, gap in enumerate(gaps):
        now += gap
        if bucket.take(LIMITS, now):
            taken.append(now)
        else:
            assert number >= LIMITS.burst_frames
    for first in range(0, len(taken), 50):
        window = [at for at in taken if taken[first] <= at]
        assert len(window) <= LIMITS.burst_frames + (window[-1] - window[0]) * LIMITS.frames_per_s + 1


def opened(expires_in_s: float = 3600) -> Watch:
    watch = Watch(LIMITS, 0.0)
    watch.opened(0.0)
    watch.token(expires_in_s, 0.0)
    return watch


def test_a_connection_that_does_not_say_connect_is_given_up_after_ten_seconds() -> None:
    watch = Watch(LIMITS, 0.0)
    assert watch.next_at == 10
    assert list(watch.due(9.9)) == []
    assert Alarm.NO_CONNECT in watch.due(10.0)
    assert opened().next_at == 30


def test_a_silent_client_is_asked_after_one_heartbeat_and_given_up_after_two() -> None:
    watch = opened()
    assert Alarm.SILENT in watch.due(30.0)
    assert Alarm.DEAD not in watch.due(59.9)
    assert Alarm.DEAD in watch.due(60.0)


def test_any_sign_of_life_answers_the_question() -> None:
    watch = opened()
    watch.due(30.0)
    watch.heard(59.0)
    assert Alarm.DEAD not in watch.due(60.0)
    assert Alarm.SILENT in watch.due(89.0)


def test_a_process_that_stood_still_asks_before_it_gives_anybody_up() -> None:
    watch = opened()
    assert [alarm for alarm in watch.due(500.0) if alarm is not Alarm.POSITIONS_DUE] == [Alarm.SILENT]
    assert Alarm.DEAD in watch.due(530.0)


def test_silence_means_nothing_while_the_socket_is_not_read() -> None:
    watch = opened()
    watch.deaf(True, 10.0)
    assert [alarm for at in range(11, 200) for alarm in watch.due(float(at)) if alarm is not Alarm.POSITIONS_DUE] == []
    watch.deaf(False, 200.0)
    assert Alarm.SILENT not in watch.due(229.9)
    assert Alarm.SILENT in watch.due(230.0)


def test_the_warning_comes_once_a_minute_before_the_token_ends_and_then_the_end() -> None:
    watch = opened(100)
    alarms = [
        (at, alarm) for at in range(0, 101, 5) for alarm in watch.due(float(at)) if alarm in {Alarm.EXPIRES_SOON, Alarm.EXPIRED}
    ]
    assert alarms == [(40, Alarm.EXPIRES_SOON), (100, Alarm.EXPIRED)]


def test_a_token_with_less_left_warns_at_once_and_a_new_one_warns_anew() -> None:
    watch = opened(20)
    assert list(watch.due(0.0)) == [Alarm.EXPIRES_SOON]
    watch.token(100, 10.0)
    assert list(watch.due(29.0)) == []
    assert Alarm.EXPIRES_SOON in watch.due(50.0)


def test_a_client_that_takes_in_nothing_is_given_up_and_one_that_does_is_not() -> None:
    watch = opened()
    watch.blocked(1.0)
    watch.blocked(15.0)
    assert Alarm.STALLED not in watch.due(34.9)
    watch.unblocked()
    assert Alarm.STALLED not in watch.due(500.0)
    watch.blocked(500.0)
    assert Alarm.STALLED in watch.due(520.0)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["heard", "deaf", "hearing", "blocked", "unblocked", "due"]), st.floats(0, 40)), max_size=40
    )
)
def test_whoever_asks_at_next_at_misses_no_alarm(steps: list[tuple[str, float]]) -> None:
    """Two watches see the same; one is asked all the time, the other only when it said so: both give the same alarms."""
    often, seldom, now = opened(300), opened(300), 0.0
    heard_often: list[Alarm] = []
    heard_seldom: list[Alarm] = []
    for step, gap in steps:
        until = now + gap
        while now < until:
            now = min(until, now + 1.0)
            heard_often += often.due(now)
            if seldom.next_at <= now:
                heard_seldom += seldom.due(now)
        for watch in (often, seldom):
            match step:
                case "heard":
                    watch.heard(now)
                case "deaf" | "hearing":
                    watch.deaf(step == "deaf", now)
                case "blocked":
                    watch.blocked(now)
                case "unblocked":
                    watch.unblocked()
    assert heard_often == heard_seldom


class _Placed:
    place: int | None = None


def placed() -> Link:
    return cast("Link", _Placed())


def test_the_wheel_gives_each_link_when_its_time_has_come_and_not_before() -> None:
    wheel, early, late = Wheel(100.0), placed(), placed()
    wheel.put(late, 130.0)
    wheel.put(early, 101.1)
    assert wheel.turn(101.0) == []
    assert wheel.turn(101.5) == [early]
    assert wheel.turn(129.9) == []
    assert wheel.turn(5000.0) == [late]
    assert wheel.turn(6000.0) == []


def test_a_link_has_one_place_the_earliest_it_was_put_at_until_it_is_looked_at() -> None:
    wheel, link = Wheel(0.0), placed()
    wheel.put(link, 10.0)
    wheel.put(link, 50.0)
    wheel.put(link, 5.0)
    assert wheel.turn(5.0) == [link]
    assert wheel.turn(100.0) == []
    wheel.put(link, 3.0)  # in the past: at the next turn
    assert wheel.turn(100.3) == [link]


def test_who_waits_for_nothing_or_has_gone_is_not_on_the_wheel() -> None:
    wheel, link = Wheel(0.0), placed()
    wheel.put(link, 10.0)
    wheel.put(link, inf)
    wheel.put(link, 10.0)
    wheel.remove(link)
    wheel.remove(link)
    assert wheel.turn(100.0) == []
    assert link.place is None
