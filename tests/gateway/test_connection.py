"""One connection over time: waits, warnings, positions, a slow client, unnumbered events, the end."""

from __future__ import annotations

from typing import Any

from session_platform.access import Standing
from session_platform.errors import Replaced
from session_platform.gateway import Limits
from session_platform.gateway.delivery import Delivery
from session_platform.gateway.effects import FetchPage, Listen, Located, Output, Permitted, Unlisten
from session_platform.timeline import Filter
from tests.gateway.bench import MEMBER, Bench, token

TASKS = {"type": "member", "member_id": MEMBER, "events": ["task.*"]}
PROCESSING = "service_request.processing"


def connected(limits: Limits | None = None, **fields: Any) -> Bench:
    bench = Bench(limits)
    bench.connect(**fields)
    return bench


def kinds(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["type"] for frame in frames]


# ------------------------------------------------------------------------------------------------------------------------ time


def test_without_a_connect_the_connection_ends_after_ten_seconds_with_4408() -> None:
    bench = Bench()
    assert bench.advance(9.9) == []
    (error,) = bench.advance(0.2)
    assert error.items() >= {"code": "connect_timeout", "fatal": True}.items()
    assert bench.closed == 4408


def test_a_connect_in_time_whose_token_takes_long_to_check_is_in_time() -> None:
    bench = Bench()
    bench.answering = False
    bench.tell(type="connect", token=token())
    bench.advance(15)
    assert bench.closed is None
    bench.answering = True
    bench.settle()
    assert kinds(bench.frames) == ["connected"]


def test_pings_alone_do_not_replace_the_connect() -> None:
    bench = Bench()
    for _ in range(10):
        bench.advance(1)
        bench.connection.pinged(bench.now)
        bench.settle()
    assert bench.closed == 4408


def test_the_token_is_announced_to_expire_60_seconds_before_and_then_ends_the_connection_with_4401() -> None:
    bench = Bench()
    bench.connect(token(for_s=100))
    bench.advance(39)
    assert kinds(bench.frames) == ["connected"]
    (warning,) = bench.advance(1)
    assert warning.items() >= {"type": "error", "code": "token_expiring", "fatal": False, "retryable": False}.items()
    bench.connection.ponged(bench.now)
    bench.advance(59)
    assert bench.closed is None
    (error,) = bench.advance(1)
    assert error.items() >= {"code": "unauthenticated", "fatal": True}.items()
    assert bench.closed == 4401


def test_a_token_with_less_than_a_minute_left_is_announced_at_once() -> None:
    bench = Bench()
    frames = bench.tell(type="connect", token=token(for_s=30))
    assert [frame.get("code", frame["type"]) for frame in frames] == ["connected", "token_expiring"]


def test_a_refresh_moves_the_end_and_warns_anew() -> None:
    bench = Bench()
    bench.connect(token(for_s=100))
    bench.advance(50)
    bench.tell(type="refresh", token=token(for_s=100))
    bench.advance(39)
    assert bench.closed is None
    assert [frame.get("code") for frame in bench.advance(1)] == ["token_expiring"]
    bench.tell(type="refresh", token=token(for_s=10))
    assert bench.frames[-1]["code"] == "token_expiring"


def test_nothing_is_sent_once_the_token_has_ended_however_late_the_clock_is_looked_at() -> None:
    for act in ("event", "command", "passing"):
        bench = Bench()
        bench.connect(token(for_s=100))
        bench.subscribe()
        bench.now += 100
        match act:
            case "event":
                bench.publish()
            case "command":
                bench.tell(type="ping")
            case _:
                bench.pass_by()
        assert bench.frames[-1].items() >= {"code": "unauthenticated", "fatal": True}.items()
        assert bench.closed == 4401


def test_an_answer_that_comes_after_the_token_has_ended_is_not_given() -> None:
    bench = Bench()
    bench.connect(token(for_s=100))
    bench.answering = False
    bench.tell(type="subscribe", subscription=TASKS)
    bench.now += 100
    bench.answering = True
    bench.settle()
    assert "subscribed" not in kinds(bench.frames)
    assert bench.closed == 4401


def test_a_silent_connection_is_pinged_and_lives_as_long_as_it_answers() -> None:
    bench = connected()
    for _ in range(10):
        bench.advance(30)
        bench.connection.ponged(bench.now)
    assert bench.pings == 10
    assert bench.closed is None


def test_a_dead_connection_is_closed_after_two_heartbeats() -> None:
    bench = connected()
    bench.advance(30)
    bench.advance(29)
    assert bench.closed is None
    bench.advance(1)
    assert bench.closed == 1001


def test_next_at_is_never_later_than_what_happens_next() -> None:
    bench = Bench()
    assert bench.connection.next_at == bench.now + 10
    bench.connect(token(for_s=70))
    assert bench.connection.next_at == bench.now + 10
    bench.advance(10)
    assert bench.connection.next_at == bench.now + 20


# ------------------------------------------------------------------------------------------------------------------- positions


def test_events_that_the_filter_leaves_out_move_the_position_told_at_every_heartbeat_interval() -> None:
    bench = connected()
    subscription = bench.subscribe(subscription=TASKS)
    bench.publish("rte.completed")
    bench.publish("rte.completed")
    assert kinds(bench.frames) == ["connected", "subscribed", "caught_up"]
    assert bench.advance(30) == [
        {"type": "position", "positions": [{"subscription_id": subscription, "cursor": bench.cursor(2)}]}
    ]
    bench.connection.ponged(bench.now)
    assert bench.advance(29.9) == []
    bench.publish("task.assigned")
    assert bench.advance(0.2) == [], "an event has told the position already"


def test_a_position_never_goes_past_a_matching_event_that_was_not_sent() -> None:
    bench = connected()
    subscription = bench.subscribe(subscription=TASKS)
    bench.connection.blocked(bench.now)
    for name in ("rte.completed", "task.assigned", "rte.completed"):
        bench.publish(name)
    for _ in range(6):
        assert bench.advance(15) == []
        bench.connection.blocked(bench.now)
    bench.connection.unblocked(bench.now)
    bench.settle()
    assert bench.frames[-1]["cursor"] == bench.cursor(2)
    assert bench.advance(30) == [
        {"type": "position", "positions": [{"subscription_id": subscription, "cursor": bench.cursor(3)}]}
    ]


def test_positions_are_not_told_to_a_client_that_does_not_read_but_afterwards() -> None:
    bench = connected()
    subscription = bench.subscribe(subscription=TASKS)
    bench.publish("rte.completed")
    bench.connection.blocked(bench.now)
    assert bench.advance(15) == []
    bench.connection.blocked(bench.now)
    assert bench.advance(15) == []
    bench.connection.unblocked(bench.now)
    assert bench.advance(30) == [
        {"type": "position", "positions": [{"subscription_id": subscription, "cursor": bench.cursor(1)}]}
    ]


# ----------------------------------------------------------------------------------------------------------- unnumbered events


def test_an_unnumbered_event_carries_the_last_durable_position_and_goes_only_to_the_live() -> None:
    bench = connected()
    bench.publish()
    bench.answering = False
    bench.tell(type="subscribe", since="beginning", subscription=TASKS)
    assert bench.pass_by() == []
    bench.answering = True
    bench.settle()
    assert bench.pass_by() == [], "the filter holds for it too"
    subscription = bench.subscribe()
    assert bench.pass_by() == [
        {"type": "event", "subscription_ids": [subscription], "cursor": bench.cursor(1), "event": {"name": "session.active"}}
    ]


def test_an_unnumbered_event_comes_behind_the_durable_ones_that_were_published_before_it() -> None:
    bench = connected()
    bench.subscribe()
    bench.router.publish([bench.commit()])
    (durable, passing) = bench.pass_by()
    assert "timelineseq" in durable["event"]
    assert passing["cursor"] == durable["cursor"]


def test_unnumbered_events_are_dropped_while_the_client_does_not_read() -> None:
    bench = connected()
    bench.subscribe()
    bench.connection.blocked(bench.now)
    assert bench.pass_by() == []
    bench.connection.unblocked(bench.now)
    bench.settle()
    assert bench.frames[-1]["type"] == "caught_up"


# ------------------------------------------------------------------------------------------------------------------------ pace


def test_a_replay_is_handed_out_in_turns_no_larger_than_the_limit() -> None:
    bench = connected(Limits(turn_bytes=2000))
    for _ in range(50):
        bench.publish()
    bench.answering = False
    bench.tell(type="subscribe", since="beginning", subscription={"type": "member", "member_id": MEMBER})
    while bench.asked:
        bench.answer_one()
        for output in bench.connection.take():
            bench._do(output)
    turns = []
    while bench.connection.pull(bench.now):
        outputs = bench.connection.take()
        turns.append(len(outputs))
        for output in outputs:
            bench._do(output)
    assert len(turns) > 3
    assert max(turns) <= 16


def test_nothing_is_pulled_while_the_client_does_not_read_and_all_of_it_comes_afterwards() -> None:
    bench = connected()
    bench.subscribe()
    bench.connection.blocked(bench.now)
    for _ in range(5):
        bench.publish()
    assert bench.connection.full
    assert kinds(bench.frames)[-1] == "caught_up"
    bench.connection.unblocked(bench.now)
    bench.settle()
    assert [int(frame["event"]["timelineseq"]) for frame in bench.frames[3:]] == [1, 2, 3, 4, 5]
    assert not any("superseded" in frame for frame in bench.frames)


def test_after_a_pause_newer_progress_stands_for_older_and_names_it() -> None:
    bench = connected()
    bench.subscribe()
    bench.connection.blocked(bench.now)
    bench.publish("task.assigned")
    bench.publish(PROCESSING)
    bench.publish(PROCESSING)
    bench.publish(PROCESSING, request="sr_2")
    bench.publish(PROCESSING)
    bench.connection.unblocked(bench.now)
    bench.settle()
    got = [(int(frame["event"]["timelineseq"]), frame.get("superseded")) for frame in bench.frames[3:]]
    assert got == [(1, None), (4, [f"{2:020}", f"{3:020}"]), (5, None)]
    bench.router.publish([bench.commit(PROCESSING), bench.commit(PROCESSING)])
    bench.settle()
    assert [int(frame["event"]["timelineseq"]) for frame in bench.frames[-2:]] == [6, 7], (
        "once it has caught up, nothing gives way"
    )


def test_a_client_that_takes_in_nothing_is_closed_with_4429_and_one_that_reads_slowly_is_not() -> None:
    slow, stuck = connected(), connected()
    for bench in (slow, stuck):
        bench.connection.blocked(bench.now)
    for _ in range(10):
        slow.advance(19)
        slow.connection.blocked(slow.now)
    assert slow.closed is None
    stuck.advance(19)
    assert stuck.closed is None
    (error,) = stuck.advance(1)
    assert error.items() >= {"code": "too_slow", "fatal": True, "retryable": True}.items()
    assert stuck.closed == 4429


def test_a_history_that_cannot_be_read_is_asked_again_and_nothing_is_lost() -> None:
    bench = connected()
    for _ in range(4):
        bench.commit()
    bench.answering = False
    bench.tell(type="subscribe", since="beginning", subscription=TASKS)
    while bench.asked:
        bench.answer_one()
        bench.settle()
    (fetch,) = bench.fetches
    bench.fetches.clear()
    bench.connection.page_failed(fetch, bench.now)
    assert bench.connection.next_at <= bench.now + 1
    bench.advance(0.9)
    assert bench.fetches == []
    bench.answering = True
    bench.advance(0.1)
    assert kinds(bench.frames) == ["connected", "subscribed", *["event"] * 4, "caught_up"]


def test_a_history_whose_beginning_is_gone_resets_the_subscription_which_goes_on_live() -> None:
    bench = connected()
    for _ in range(3):
        bench.commit()
    bench.answering = False
    bench.tell(type="subscribe", since="beginning", subscription=TASKS)
    while bench.asked:
        bench.answer_one()
        bench.settle()
    (fetch,) = bench.fetches
    bench.fetches.clear()
    bench.connection.prefix_lost(fetch, 3, bench.cursor(3))
    bench.answering = True
    bench.settle()
    (reset,) = [frame for frame in bench.frames if frame["type"] == "reset"]
    (subscribed,) = [frame for frame in bench.frames if frame["type"] == "subscribed"]
    assert reset == {
        "type": "reset", "subscription_ids": [subscribed["subscription_id"]], "cursor": bench.cursor(3),
        "reason": "continuity_lost",
    }  # fmt: skip
    bench.publish()
    assert kinds(bench.frames)[-2:] == ["caught_up", "event"]


def test_timelines_that_were_left_are_forgotten_in_the_end_and_late_pages_for_them_do_no_harm() -> None:
    bench = connected()
    delivery = Delivery(bench.limits, bench.windows)
    out: list[Output] = []
    for number in range(500):
        permitted = Permitted(f"M{number}", Standing.OWN, 0)
        delivery.listen(permitted, out)
        delivery.subscribe(permitted, Filter.member(), Located(f"sub_{number}", f"label {number}", 0, "c", 9, None), 0.0)
        delivery.pull(out, 0.0)
        delivery.unsubscribe(f"sub_{number}", out)
    assert len(delivery.timelines) <= bench.limits.subscriptions + 1
    fetch = next(each for each in out if isinstance(each, FetchPage))
    delivery.page(fetch, [])
    delivery.lost(fetch, 9, "c")
    assert sum(isinstance(each, Listen) for each in out) == sum(isinstance(each, Unlisten) for each in out) == 500


# --------------------------------------------------------------------------------------------------------------------- the end


def test_a_goodbye_is_the_last_word_and_the_close_is_1012() -> None:
    bench = connected()
    bench.subscribe()
    bench.connection.goodbye("draining", 700)
    bench.settle()
    assert bench.frames[-1] == {"type": "goodbye", "reason": "draining", "reconnect_after_ms": 700}
    assert bench.closed == 1012
    bench.publish()
    bench.tell(type="ping")
    bench.advance(1000)
    bench.connection.end(Replaced())
    bench.connection.hang_up(1011)
    bench.connection.goodbye("draining", 1)
    bench.settle()
    assert bench.frames[-1]["type"] == "goodbye"


def test_an_answer_that_comes_after_the_end_starts_nothing() -> None:
    bench = connected()
    bench.answering = False
    bench.tell(type="subscribe", subscription=TASKS)
    bench.tell(type="ping")
    bench.connection.hang_up(1000)
    bench.answering = True
    bench.settle()
    assert bench.closed == 1000
    assert kinds(bench.frames) == ["connected"]
    assert not bench.router._listeners
