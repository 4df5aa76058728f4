"""What an `ack` says, and what it does not."""

from __future__ import annotations

import pytest

from tests.gateway.bench import CODEC, MEMBER, Bench, position


def acknowledging(device_id: str | None = "phone") -> Bench:
    bench = Bench()
    bench.connect(device_id=device_id)
    for _ in range(3):
        bench.publish()
    return bench


def test_an_ack_counts_up_to_what_was_sent_to_this_connection() -> None:
    bench = acknowledging()
    bench.subscribe(cursor=bench.cursor(1), subscription={"type": "member", "member_id": MEMBER, "events": ["task.*"]})
    bench.publish("rte.completed")
    assert bench.tell(type="ack", cursors=[bench.cursor(2)]) == []
    assert bench.tell(type="ack", cursors=[bench.cursor(4)]) == []
    assert [(each.subject, each.device_id, each.timeline, each.position) for each in bench.acknowledged] == [
        ("user", "phone", MEMBER, position(2)),
        ("user", "phone", MEMBER, position(3)),
    ]


def test_an_ack_of_what_was_never_sent_here_says_nothing() -> None:
    bench = acknowledging()
    assert bench.tell(type="ack", cursors=[bench.cursor(2)]) == []
    bench.subscribe()
    assert bench.tell(type="ack", cursors=[bench.cursor(3)]) == []
    assert bench.acknowledged == []


def test_an_ack_after_the_unsubscribe_still_counts() -> None:
    bench = acknowledging()
    subscription = bench.subscribe(since="beginning")
    bench.tell(type="unsubscribe", subscription_id=subscription)
    bench.tell(type="ack", cursors=[bench.cursor(3)])
    assert [each.position for each in bench.acknowledged] == [position(3)]


def test_an_ack_without_a_device_is_checked_and_kept_nowhere() -> None:
    bench = acknowledging(None)
    bench.subscribe(since="beginning")
    assert bench.tell(type="ack", cursors=[bench.cursor(3)]) == []
    assert bench.acknowledged == []


@pytest.mark.parametrize("garbage", ["", "garbage", "A" * 52, "ü" * 52])
def test_an_ack_with_garbage_is_a_bad_cursor_and_nothing_of_it_counts(garbage: str) -> None:
    bench = acknowledging()
    bench.subscribe(since="beginning")
    foreign = CODEC.encode("M2", position(1))
    for bad in (garbage, foreign, bench.cursor(2)[:-4] + "AAAA"):
        (error,) = bench.tell(type="ack", id="a", cursors=[bench.cursor(3), bad])
        assert error.items() >= {"id": "a", "code": "bad_cursor", "fatal": False}.items()
    assert bench.acknowledged == []
