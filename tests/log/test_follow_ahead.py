"""What must be known before events are: read in their snapshot, taken in before they are published."""

from __future__ import annotations

import asyncio

from session_platform.contract import SessionCreatedEvent
from session_platform.log import Follower
from session_platform.store import Reader, Tx, outbox
from session_platform.store.sqlite import SqliteStore


class Ahead:
    def __init__(self, said: list[str]) -> None:
        self.said = said

    def read(self, reader: Reader) -> int:
        return outbox.head(reader, "M1").last.seq

    def take(self, found: int) -> None:
        self.said.append(f"knows {found}")


async def test_it_is_taken_in_before_the_events_of_the_same_snapshot(store: SqliteStore) -> None:
    said: list[str] = []
    published = asyncio.Event()

    def publish(events: object) -> None:
        assert isinstance(events, list)
        said.extend(f"event {event.seq}" for event in events)
        published.set()

    def command(tx: Tx) -> None:
        tx.emit(SessionCreatedEvent(session_id="sess_1", member_id="M1"))
        tx.emit(SessionCreatedEvent(session_id="sess_2", member_id="M1"))

    follower = Follower(store, publish, lambda _: None, ahead=Ahead(said), look_every_s=3600)
    await follower.start()
    await store.run(command, "M1")
    following = asyncio.create_task(follower.run())
    async with asyncio.timeout(10):
        await published.wait()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert said == ["knows 2", "event 1", "event 2"]


async def test_it_is_taken_in_too_when_there_are_no_events(store: SqliteStore) -> None:
    said: list[str] = []
    follower = Follower(store, lambda _: None, lambda _: None, ahead=Ahead(said), look_every_s=3600)
    await follower.start()
    following = asyncio.create_task(follower.run())
    async with asyncio.timeout(10):
        while not said:  # noqa: ASYNC110 (what is waited for has no event)
            await asyncio.sleep(0.002)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert said == ["knows 0"]
