"""Whatever a backend does that is allowed is taken, however it is cut into batches and however often it is sent; and one
mistake in it leaves nothing of its batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.errors import Invalid
from session_platform.ids import IdMint
from session_platform.sessions import LifeState
from session_platform.store.sqlite import SqliteStore
from tests.ingest import published
from tests.ingest.backend import Backend
from tests.ingest.published import MEMBER
from tests.ingest.room import Room

PATIENT = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
)


def in_a_room(check: Callable[[Room], Awaitable[None]]) -> None:
    """Run ``check`` in a room of its own."""

    async def main() -> None:
        clock = ManualClock()
        with TemporaryDirectory() as directory:
            store = await SqliteStore.open(Path(directory) / "store", clock, IdMint())
            try:
                room = Room(store, clock)
                await room.furnish()
                await check(room)
            finally:
                await store.close()

    asyncio.run(main())


def history(data: st.DataObject, steps: int) -> tuple[Backend, list[dict[str, Any]]]:
    """What a backend did, and the events that say so."""
    backend = Backend()
    events = [backend.act(lambda options: data.draw(st.sampled_from(options))) for _ in range(steps)]
    return backend, events


def with_repetitions(data: st.DataObject, sent: list[dict[str, Any]], fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A batch of what is new, among it what was sent before (or stands before it in the batch), once more."""
    batch: list[dict[str, Any]] = []
    for event in fresh:
        known = sent + [each for each in fresh if each in batch]
        batch += data.draw(st.lists(st.sampled_from(known), max_size=2)) if known else []
        batch.append(event)
    return batch


async def compare(room: Room, backend: Backend) -> None:
    """Every read says what the model knows."""
    assert await room.names() == backend.told
    assert [int(each["timelineseq"]) for each in await room.events()] == list(range(1, len(backend.told) + 1))
    for session_id, is_open in backend.open_sessions.items():
        assert ((await room.session(session_id)).state is not LifeState.ENDED) == is_open
    for request_id, request in backend.requests.items():
        view = await room.request(request_id)
        assert (view.status, view.percent_complete, view.session_id) == (request.status, request.percent, request.session_id)
        assert await room.result(request_id) == request.result
        assert {each.task_id: each.status for each in view.tasks} == {
            each: backend.tasks[each].status for each in request.tasks
        }
    for task_id, task in backend.tasks.items():
        seen = await room.task(task_id)
        assert (seen.status, seen.task_result, seen.service_request_id) == (task.status, task.result, task.request_id)
    assert await room.coverage() == ([] if backend.coverage is None else [backend.coverage])


@PATIENT
@given(st.data(), st.integers(1, 40))
def test_any_history_in_any_batches_sent_any_number_of_times_is_what_reads_say(data: st.DataObject, steps: int) -> None:
    backend, events = history(data, steps)

    async def check(room: Room) -> None:
        sent: list[dict[str, Any]] = []
        while len(sent) < len(events):
            fresh = events[len(sent) : len(sent) + data.draw(st.integers(1, 12))]
            batch = with_repetitions(data, sent, fresh)
            outcomes = await room.publish(*batch)
            assert outcomes.count("duplicate") == len(batch) - len(fresh)
            sent += fresh
        await compare(room, backend)
        again = data.draw(st.permutations(events))
        assert await room.publish(*again) == ["duplicate"] * len(events)
        await compare(room, backend)

    in_a_room(check)


Mutation = Callable[[dict[str, Any], list[dict[str, Any]]], dict[str, Any]]


def of_data(**changes: Any) -> Mutation:
    return lambda event, _: {**event, "data": {**event["data"], **changes}}


def without(name: str) -> Mutation:
    return lambda event, _: {key: value for key, value in event.items() if key != name}


MUTATIONS: dict[str, Mutation] = {
    "an unknown field": of_data(sesion_id="s0"),
    "no such member": of_data(member_id="nobody"),
    "no member": of_data(member_id=None),
    "no id": without("id"),
    "no source": without("source"),
    "no data": without("data"),
    "an unknown type": lambda event, _: {**event, "type": "com.example.unknown"},
    "a number of its own": lambda event, _: {**event, "timelineseq": "00000000000000000001"},
    "a version of its own": lambda event, _: {**event, "specversion": "2.0"},
    "a bad extension": lambda event, _: {**event, "Not_An_Attribute": "x"},
    "the id of another event": lambda event, sent: {**event, "id": sent[-1]["id"]},
    "a thing that is there already": lambda _, sent: {**sent[0], "id": "fresh"},
    "the platform's reference": lambda *_: published.completed("r0", result_ref="/v1/service-requests/r0/result"),
    "a step back": lambda *_: published.processing("r0", 4),
    "a step too far": lambda *_: published.in_progress("t-unknown"),
    "another's account": lambda *_: published.checked(account_id="A200001"),
    "another's session": lambda *_: published.care_plan(session_id="elsewhere"),
}


@pytest.mark.parametrize("mistake", sorted(MUTATIONS))
@settings(PATIENT, max_examples=4)
@given(st.data(), st.integers(1, 12))
def test_one_mistake_anywhere_refuses_the_batch_and_leaves_nothing(mistake: str, data: st.DataObject, steps: int) -> None:
    backend, events = history(data, steps)
    first = [published.submitted("r9"), published.processing("r9", 5)]
    known = [{**each, "data": {**each["data"], "service_request_id": "r0x"}} for each in first]
    cut = data.draw(st.integers(0, len(events) - 1))

    async def check(room: Room) -> None:
        await room.publish(*known, *events[:cut])
        before = await room.everything()
        wrong = MUTATIONS[mistake](events[cut], known)
        if mistake == "a step back":
            wrong["data"]["service_request_id"] = "r0x"
        place = data.draw(st.integers(0, len(events) - cut))
        batch = [*events[cut : cut + place], wrong, *events[cut + place :]]
        with pytest.raises(Invalid) as refusal:
            await room.publish(*batch)
        assert any(each.pointer.startswith(f"/{place}") for each in refusal.value.problems)
        assert await room.everything() == before
        await room.publish(*events[cut:])
        assert await room.names() == ["service_request.submitted", "service_request.processing", *backend.told]

    in_a_room(check)


ANYTHING = st.sampled_from(
    [
        *(published.created, published.active, published.ended, published.submitted, published.processing, published.completed),
        *(published.assigned, published.in_progress, published.done, published.checked, published.covered, published.care_plan),
    ]
)


@settings(PATIENT, max_examples=40)
@given(st.lists(st.lists(ANYTHING, min_size=1, max_size=6), min_size=1, max_size=4))
def test_any_batch_is_all_or_nothing(batches: list[list[Callable[[], dict[str, Any]]]]) -> None:
    async def check(room: Room) -> None:
        for batch in ([make() for make in each] for each in batches):
            before = await room.everything()
            heard = len(room.heard)
            try:
                outcomes = await room.publish(*batch)
            except Invalid:
                assert await room.everything() == before
                assert len(room.heard) == heard
                continue
            told = len(before["outbox"]) + outcomes.count("accepted")
            ephemeral = sum(each["source"] == published.SOURCE for each in room.heard[heard:])
            assert len((await room.everything())["outbox"]) == told - ephemeral
            assert len(outcomes) == len(batch)

    in_a_room(check)


def test_the_members_timeline_is_the_only_one_written() -> None:
    async def check(room: Room) -> None:
        await room.publish(published.created(), published.created("s2", published.OTHER))
        assert [await room.names(each) for each in (MEMBER, published.OTHER)] == [["session.created"]] * 2

    in_a_room(check)
