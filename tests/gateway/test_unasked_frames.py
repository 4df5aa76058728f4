"""The frames that a server sends unasked are on docs/protocol.md as they are sent: each is provoked here and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from session_platform.gateway.hub import DRAINS
from tests.gateway.bench import Bench, token
from tests.gateway.world import Change, World
from tests.protocol_page import blocks, matches

TASKS = {"type": "member", "member_id": "M1", "events": ["task.*"]}
PROCESSING = "service_request.processing"
EXAMPLES: dict[str, Any] = {
    example.get("code", example["type"]): example for example in (json.loads(text) for _, text in blocks("json unasked"))
}


def connected(**claims: Any) -> Bench:
    bench = Bench()
    bench.connect(token(**claims))
    return bench


def position() -> Bench:
    bench = connected()
    bench.subscribe(subscription=TASKS)
    bench.publish("rte.completed")
    bench.advance(30)
    return bench


def event() -> Bench:
    """A slow reader's: newer progress stands for older."""
    bench = connected()
    bench.subscribe()
    bench.connection.blocked(bench.now)
    for _ in range(3):
        bench.publish(PROCESSING)
    bench.connection.unblocked(bench.now)
    bench.settle()
    return bench


def reset() -> Bench:
    bench = connected()
    bench.commit()
    bench.answering = False
    bench.tell(type="subscribe", since="beginning", subscription=TASKS)
    while bench.asked:
        bench.answer_one()
        bench.settle()
    bench.connection.prefix_lost(bench.fetches.pop(), 1, bench.cursor(1))
    for output in bench.connection.take():
        bench._do(output)
    bench.connection.pull(bench.now)
    for output in bench.connection.take():
        bench._do(output)
    bench.frames = [frame for frame in bench.frames if frame["type"] != "caught_up"]
    return bench


def unsubscribed() -> Bench:
    world = World()
    world.answering = True
    world.subscribe()
    world.changes.append(Change(False, 0))
    world.take(2)
    world.settle()
    world.connection.rechecked(world.recheck(world.rechecks.popleft()), world.now)
    world.settle()
    return world


def token_expiring() -> Bench:
    bench = connected(for_s=100)
    bench.advance(40)
    return bench


def goodbye() -> Bench:
    bench = connected()
    bench.connection.goodbye(DRAINS, 700)
    bench.settle()
    return bench


@pytest.mark.parametrize(
    "provoke", [position, event, reset, unsubscribed, token_expiring, goodbye], ids=lambda each: str(each.__name__)
)
def test_a_frame_sent_unasked_is_what_the_page_says(provoke: Callable[[], Bench]) -> None:
    example = EXAMPLES[provoke.__name__]
    assert matches(example, provoke().frames[-1], {}), (example, provoke().frames[-1])


def test_every_example_on_the_page_is_provoked() -> None:
    assert EXAMPLES.keys() == {"position", "event", "reset", "unsubscribed", "token_expiring", "goodbye"}
