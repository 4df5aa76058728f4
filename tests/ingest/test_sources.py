"""Whose source it is, and that an event is taken once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from session_platform.app.wiring_backends import forget_published
from session_platform.contract import CATALOGUE
from session_platform.errors import Forbidden
from session_platform.ingest import REMEMBERED_FOR
from tests.ingest.published import OTHER, care_plan, completed, created, event, processing, submitted
from tests.ingest.room import Room


async def forbidden(room: Room, *events: dict[str, Any], by: str) -> None:
    before = await room.everything()
    with pytest.raises(Forbidden):
        await room.publish(*events, by=by)
    assert await room.everything() == before


async def test_a_source_is_who_used_it_first_for_ever(room: Room) -> None:
    await room.publish(created())
    await forbidden(room, care_plan(), by="other")
    await room.leap(400 * 24 * 3600)
    await forbidden(room, care_plan(), by="other")
    assert await room.publish({**care_plan(), "source": "/other"}, by="other") == ["accepted"]
    assert await room.publish({**care_plan(), "source": "/claims/second"}) == ["accepted"], "a service may have several"


async def test_a_source_in_a_refused_batch_is_still_free(room: Room) -> None:
    await room.refused(created(), created())
    assert await room.publish(created(), by="other") == ["accepted"]


async def test_one_foreign_source_refuses_the_whole_batch(room: Room) -> None:
    await room.publish(created())
    await forbidden(room, {**care_plan(), "source": "/other"}, care_plan(), by="other")


@pytest.mark.parametrize("source", sorted({spec.source for spec in CATALOGUE.values()}))
async def test_the_platforms_own_sources_are_nobody_elses(room: Room, source: str) -> None:
    await forbidden(room, {**care_plan(), "source": source}, by="jarvis")


async def test_an_event_is_taken_once(room: Room) -> None:
    first = [created(), submitted(session_id="s1"), processing(), completed()]
    assert await room.publish(*first) == ["accepted"] * 4
    before = await room.everything()
    assert await room.publish(*first) == ["duplicate"] * 4
    assert await room.publish(first[3], first[0]) == ["duplicate"] * 2
    assert await room.everything() == before


async def test_also_within_one_batch_and_with_other_attributes(room: Room) -> None:
    plan = care_plan()
    assert await room.publish(plan, plan, {**plan, "time": "2026-01-15T09:00:00Z"}) == ["accepted", "duplicate", "duplicate"]
    assert await room.names() == ["care_plan.updated"]


async def test_the_same_id_of_another_source_is_another_event(room: Room) -> None:
    plan = care_plan()
    assert await room.publish(plan, {**plan, "source": "/claims/second"}) == ["accepted", "accepted"]


async def test_two_posts_at_once_take_it_once(room: Room) -> None:
    batch = [created(), submitted(session_id="s1"), completed(), care_plan(OTHER)]
    outcomes = await asyncio.gather(*(room.publish(*batch) for _ in range(8)))
    assert sorted(outcomes) == [["accepted"] * 4, *[["duplicate"] * 4] * 7]
    assert await room.names() == ["session.created", "service_request.submitted", "service_request.completed"]


async def test_an_id_that_was_given_to_another_event_is_refused_lest_one_be_lost(room: Room) -> None:
    plan = care_plan()
    await room.publish(plan)
    assert await room.refused({**plan, "data": {**plan["data"], "status": "REVOKED"}}) == {"/0/id"}
    assert await room.refused({**created(), "id": plan["id"]}) == {"/0/id"}
    assert await room.refused({**care_plan(), "id": "same"}, {**care_plan(status="DRAFT"), "id": "same"}) == {"/1/id"}


async def test_it_is_remembered_for_longer_than_anybody_sends_again(room: Room) -> None:
    assert timedelta(days=7) <= REMEMBERED_FOR
    plan = care_plan()
    await room.publish(plan)
    room.clock.advance(REMEMBERED_FOR.total_seconds())
    assert await room.store.run(forget_published) == 0
    assert await room.publish(plan) == ["duplicate"]
    room.clock.advance(1)
    assert await room.store.run(forget_published) == 1
    assert await room.store.run(forget_published) == 0


async def test_what_a_backend_says_of_its_event_rides_with_it(room: Room) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    published = event(
        "care_plan.updated",
        care_plan()["data"],
        time="2026-01-15T12:30:00+02:00",
        traceparent=trace,
        tracestate="a=b",
        subject="cp1",
        comexampletenant="north",
        comexampleflag=True,
        comexamplerank=7,
    )
    await room.publish(published, care_plan())
    told, other = await room.events()
    assert (told["time"], told["traceparent"]) == ("2026-01-15T10:30:00Z", trace)
    kept = ("id", "source", "subject", "tracestate", "comexampletenant", "comexampleflag", "comexamplerank")
    assert {name: told[name] for name in kept} == {name: published[name] for name in kept}
    assert (told["timelineseq"], told["timelineepoch"], told["partitionkey"]) == ("00000000000000000001", 1, "M123456")
    assert other["traceparent"] != trace, "each event has its own trace"
    assert other["time"] == "2026-01-15T10:00:00Z"


async def test_an_event_that_happens_tomorrow_is_refused_and_a_clock_that_is_a_little_ahead_is_not(room: Room) -> None:
    """What a member did last would stay tomorrow for ever."""
    assert await room.refused(care_plan(), {**created(), "time": "2026-01-15T11:00:01Z"}) == {"/1/time"}
    assert await room.publish({**created(), "time": "2026-01-15T11:00:00Z"}) == ["accepted"]


async def test_an_event_that_outgrows_the_limit_with_its_attributes_is_refused(room: Room) -> None:
    big = submitted(), completed(result_data={"text": "x" * 520_000})
    extended = {**big[1], **{f"ext{number}": "x" * 1024 for number in range(8)}}
    assert await room.refused(big[0], extended) == {"/1/data"}


async def test_every_refused_event_is_named(room: Room) -> None:
    refused = await room.refused(
        created(),
        {**care_plan(), "type": "unknown"},
        care_plan("nobody"),
        {**care_plan(), "data": {}},
        submitted(session_id="s1"),
        submitted(session_id="s9"),
    )
    assert refused == {"/1/type", "/2/data/member_id", "/3/data/member_id", "/3/data/care_plan_id", "/5/data/session_id"}


async def test_a_batch_may_hold_nothing(room: Room) -> None:
    assert await room.publish() == []
