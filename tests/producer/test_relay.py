"""The relay, run: it waits for a platform that is away, ends when it is told to, and logs nothing that was sent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import httpx2
import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from digital_session_producer import SyncProducer, UnavailableError
from digital_session_producer.outbox import Limits, Outbox, Relay
from tests.producer.backend import SOURCE, event, in_memory
from tests.producer.platform import FakePlatform, problem

ENDPOINT = "ws://127.0.0.1:1/v1"
SECRET = "HealthDataOfSomebody"


class Stage:
    def __init__(self) -> None:
        self.platform = FakePlatform()
        self.engine, self.outbox = in_memory()
        self.producer = SyncProducer(ENDPOINT, SOURCE, token="t", transport=httpx2.MockTransport(self.platform))
        self.relay = self.relay_over(self.outbox)

    def relay_over(self, outbox: Outbox) -> Relay:
        return Relay(self.engine, outbox, self.producer, limits=Limits(batch=2))

    def add(self, *event_ids: str) -> None:
        with self.engine.begin() as connection:
            self.outbox.add(connection, *(event("M1", event_id, SECRET) for event_id in event_ids))

    async def run_until(self, done: Callable[[], bool]) -> None:
        """Run the relay in a thread; whatever the platform is asked is a moment to see whether it is done."""
        take = self.platform.take

        def watching(content_type: str, body: bytes) -> httpx2.Response:
            taken = take(content_type, body)
            if done():
                self.relay.stop()
            return taken

        self.platform.take = watching  # type: ignore[method-assign]
        await asyncio.to_thread(self.relay.run, 0.001)


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_it_sends_page_after_page_until_it_is_stopped(stage: Stage) -> None:
    stage.add("e1", "e2", "e3", "e4", "e5")
    await stage.run_until(lambda: len(stage.platform.events) == 5)
    assert stage.platform.taken == {"M1": ["e1", "e2", "e3", "e4", "e5"]}


async def test_it_waits_for_a_platform_that_is_away_and_says_so(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.add("e1")
    stage.platform.queued = [httpx2.ConnectError("away"), problem(403, "forbidden")]
    with caplog.at_level(logging.DEBUG, "digital_session_producer"):
        await stage.run_until(lambda: stage.platform.taken == {"M1": ["e1"]})
    assert [record.getMessage() for record in caplog.records] == [
        "The outbox could not be sent (unavailable); it will be tried again.",
        "The outbox could not be sent (forbidden); it will be tried again.",
    ]


async def test_when_it_is_stopped_another_goes_on_at_once(stage: Stage) -> None:
    stage.add("e1")
    await stage.run_until(lambda: True)
    stage.add("e2")
    assert stage.relay_over(stage.outbox).run_once() == 1


def test_one_round_raises_what_nobody_is_to_blame_for_and_keeps_everything(stage: Stage) -> None:
    stage.add("e1")
    stage.platform.queued = [problem(503, "unavailable")]
    with pytest.raises(UnavailableError):
        stage.relay.run_once()
    assert stage.relay.run_once() == 1
    assert stage.relay.run_once() == 0
    assert stage.platform.taken == {"M1": ["e1"]}


def test_a_refused_event_is_in_the_log_without_its_data(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.add("e1")
    stage.platform.poison = {"e1"}
    stage.relay.run_once()
    (record,) = caplog.records
    assert "event e1" in record.getMessage()
    assert "/data/task_id: is unknown" in record.getMessage()
    assert SECRET not in record.getMessage()


def test_a_database_without_the_tables_is_an_error_of_the_first_round(stage: Stage) -> None:
    stage.engine = create_engine("sqlite://")
    with pytest.raises(OperationalError):
        stage.relay_over(stage.outbox).run_once()
