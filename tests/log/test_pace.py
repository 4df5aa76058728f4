"""How long readers of the log rest."""

from __future__ import annotations

from session_platform.log import Pace


def test_the_only_process_rests_alike_always() -> None:
    pace = Pace(1.0)
    assert [pace.rest_s(busy=busy) for busy in (True, False, False, True)] == [1.0] * 4


def test_one_of_several_looks_again_soon_and_then_less_and_less_often() -> None:
    pace = Pace(0.1, 0.005)
    assert [pace.rest_s(busy=False) for _ in range(7)] == [0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.1]
    assert [pace.rest_s(busy=busy) for busy in (True, True, False, True)] == [0.005, 0.005, 0.01, 0.005]


def test_a_shared_store_is_looked_at_ten_times_a_second_at_least() -> None:
    pace = Pace.shared()
    assert {pace.rest_s(busy=False) for _ in range(20)} <= {0.005 * 2**step for step in range(5)} | {0.1}
