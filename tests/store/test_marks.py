"""An event that somebody else published rides with what they say of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from session_platform.contract import SealedEphemeral, SessionActiveEvent
from session_platform.store import Marks, Store, outbox
from tests.store.samples import started

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAID = Marks(datetime(2025, 6, 1, 12, tzinfo=UTC), TRACE, {"comexampletenant": "north", "subject": "s1"})
TOLD = {"time": "2025-06-01T12:00:00Z", "traceparent": TRACE, "comexampletenant": "north", "subject": "s1"}


async def test_a_durable_event_is_marked_and_numbered_like_any_other(store: Store) -> None:
    await store.run(lambda tx: tx.emit(started("M1"), source="/elsewhere", event_id="e1", marks=SAID), "M1")
    await store.run(lambda tx: tx.emit(started("M1")), "M1")
    first, second = [json.loads(each.body) for each in await store.read(lambda reader: outbox.page(reader, "M1", 0, 9))]
    assert {name: first[name] for name in (*TOLD, "id", "source")} == {**TOLD, "id": "e1", "source": "/elsewhere"}
    assert [int(each["timelineseq"]) for each in (first, second)] == [1, 2]
    assert second.keys() == first.keys() - {"comexampletenant", "subject"}


async def test_an_ephemeral_event_is_marked_too(store: Store) -> None:
    heard: list[SealedEphemeral] = []
    store.on_commit(heard.extend)
    event = SessionActiveEvent(session_id="s1", member_id="M1")
    await store.run(lambda tx: tx.emit_ephemeral(event, source="/elsewhere", event_id="e1", marks=SAID), "M1")
    (body,) = [json.loads(each.body) for each in heard]
    assert {name: body[name] for name in (*TOLD, "id", "source")} == {**TOLD, "id": "e1", "source": "/elsewhere"}


async def test_a_mark_that_is_no_attribute_is_refused_and_nothing_is_emitted(store: Store) -> None:
    for name in ("timelineseq", "data", "Upper"):
        with pytest.raises(ValueError, match="extension"):
            await store.run(lambda tx, name=name: tx.emit(started("M1"), marks=Marks(extensions={name: "x"})), "M1")  # type: ignore[misc]
    assert await store.read(lambda reader: outbox.page(reader, "M1", 0, 9)) == []
