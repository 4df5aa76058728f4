"""What a member's events add up to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.contract import CATALOGUE, CarePlanStatus, EventClass, SessionChannel, SessionType
from session_platform.store import StoredEvent
from session_platform.twin.model import (
    EMPTY,
    OPEN_MAX,
    RECENTLY,
    VISITS_MAX,
    CarePlan,
    Twin,
    Unreadable,
    Visit,
    engagement,
    fold,
    hear,
    tidy,
)
from tests.twin.made_up import ACTS, START, event, lives, stored, told

MINUTE = timedelta(minutes=1)


def sum_of(events: Sequence[StoredEvent], start: Twin = EMPTY) -> Twin:
    return reduce(fold, events, start)


def after(*acts: tuple[str, int], every: timedelta = MINUTE) -> Twin:
    return sum_of(stored([(event(act, which, START + n * every), START + n * every) for n, (act, which) in enumerate(acts)]))


# ---------------------------------------------------------------------------------------------------------------- what counts


def test_a_member_of_whom_nothing_is_known() -> None:
    known = engagement(EMPTY, START)
    assert msgspec.to_builtins(known) == {
        "last_activity_at": None,
        "last_activity_by_channel": {},
        "sessions_last_30_days": 0,
        "last_session": None,
        "open_service_requests": 0,
        "open_tasks": 0,
        "overdue_tasks": 0,
    }


def test_sessions_of_the_last_thirty_days_count_and_the_last_one_is_named() -> None:
    twin = after(("created", 1), ("created", 2), ("created", 3), every=timedelta(days=10))
    day = timedelta(days=1)
    assert [engagement(twin, START + n * day).sessions_last_30_days for n in (20, 29, 30, 39, 40, 49, 50)] == [
        3, 3, 2, 2, 1, 1, 0,
    ]  # fmt: skip
    assert engagement(twin, START + 100 * day).last_session == Visit(
        session_id="sess_3", type=SessionType.APP, channel=SessionChannel.CARE_APP, created_at=START + 20 * day
    )


def test_a_session_that_says_nothing_of_itself_counts_from_the_events_time() -> None:
    visit = engagement(after(("created", 0)), START).last_session
    assert visit == Visit(session_id="sess_0", type=None, channel=None, created_at=START)


@pytest.mark.parametrize("act", ["created", "ended", "submitted", "begun", "done"])
def test_what_the_member_does_in_a_session_is_activity_on_its_channel(act: str) -> None:
    twin = after(("created", 1), ("created", 3), (act, 1))
    last = START + 2 * MINUTE
    known = engagement(twin, last)
    assert known.last_activity_at == last
    assert known.last_activity_by_channel == {SessionChannel.IOS: last, SessionChannel.CARE_APP: START + MINUTE}


@pytest.mark.parametrize("act", sorted({*ACTS} - {"created"}))
def test_what_others_do_is_none_of_the_members_activity(act: str) -> None:
    twin = after(("created", 2), (act, 2))
    assert twin.last_activity_at == START
    assert twin.activity == {SessionChannel.ANDROID: START}


def test_activity_in_a_session_that_nobody_heard_of_has_no_channel() -> None:
    twin = after(("submitted", 1))
    assert (twin.last_activity_at, twin.activity) == (START, {})


def test_an_event_that_comes_late_takes_no_activity_back() -> None:
    later, earlier = event("created", 1, START + MINUTE), event("submitted", 1, START)
    twin = sum_of(stored([(later, START), (earlier, START + 2 * MINUTE)]))
    assert twin.last_activity_at == START + MINUTE
    assert twin.activity == {SessionChannel.IOS: START + MINUTE}


def test_open_requests_and_tasks_are_those_that_have_not_ended_and_some_are_overdue() -> None:
    twin = after(
        ("submitted", 1), ("submitted", 2), ("completed", 1), ("completed", 5),
        ("assigned", 0), ("assigned", 1), ("assigned", 2), ("assigned", 3), ("begun", 2), ("done", 3), ("done", 4),
    )  # fmt: skip
    hour = timedelta(hours=1)
    counts = [
        (known.open_service_requests, known.open_tasks, known.overdue_tasks)
        for known in (engagement(twin, START + 5 * MINUTE + n * hour) for n in (0, 1, 2, 9))
    ]
    assert counts == [(1, 3, 0), (1, 3, 0), (1, 3, 1), (1, 3, 2)]


def test_a_task_that_is_assigned_again_is_one_task_with_its_new_due_date() -> None:
    twin = after(("assigned", 1), ("assigned", 1), every=timedelta(hours=5))
    assert twin.tasks == {"task_1": START + timedelta(hours=6)}


def test_a_care_plan_is_what_its_last_update_says() -> None:
    twin = after(("care_plan", 1), ("coverage", 1), ("care_plan", 4))
    assert twin.care_plan == CarePlan(
        care_plan_id="cp_4",
        status=CarePlanStatus.REVOKED,
        updated_goals=("goal_4",),
        new_tasks=("task_4",),
        updated_at=START + 2 * MINUTE,
    )
    plan = after(("care_plan", 0)).care_plan
    assert plan is not None
    assert plan.status is None


# ------------------------------------------------------------------------------------------------------------------ robustness


def test_every_durable_event_moves_the_twin_and_one_not_yet_invented_too() -> None:
    names = {each.name for each in stored([(event(act, 1, START), START) for act in ACTS])}
    assert names == {spec.name for spec in CATALOGUE.values() if spec.event_class is not EventClass.EPHEMERAL} - {
        "rte.completed"
    }
    (one,) = stored([(event("created", 1, START), START)])
    assert fold(EMPTY, one._replace(name="rte.completed")) == Twin(seq=1)
    assert fold(EMPTY, one._replace(name="not.yet.invented", body=b"{}")) == Twin(seq=1)


@pytest.mark.parametrize(
    "body", [b"", b"null", b'{"data":{}}', b'{"time":"2026-01-15T10:00:00Z","data":{"member_id":"SECRET"}}']
)
def test_an_event_that_is_not_what_it_says_is_refused_without_its_words(body: bytes) -> None:
    (one,) = stored([(event("created", 1, START), START)])
    with pytest.raises(Unreadable) as refused:
        fold(EMPTY, one._replace(body=body))
    assert "SECRET" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_what_is_kept_of_a_member_is_bounded_and_the_oldest_goes() -> None:
    twin = EMPTY
    for number in range(OPEN_MAX + 5):
        acts = [event(act, 1, START) for act in ("created", "submitted", "assigned")]
        named = [
            msgspec.structs.replace(each, **{field: f"{field}_{number}"})
            for each, field in zip(acts, ("session_id", "service_request_id", "task_id"), strict=True)
        ]
        twin = sum_of(stored([(each, START) for each in named], twin.seq), twin)
    assert (len(twin.visits), len(twin.requests), len(twin.tasks)) == (VISITS_MAX, OPEN_MAX, OPEN_MAX)
    assert f"task_id_{OPEN_MAX + 4}" in twin.tasks
    assert "task_id_4" not in twin.tasks
    assert len(msgspec.json.encode(twin)) < 512 * 1024


# ------------------------------------------------------------------------------------------------------------------ properties


@given(lives, st.integers(0, 40))
def test_folding_a_prefix_and_then_the_rest_is_folding_all(life: list[tuple[str, int, int]], cut: int) -> None:
    events = stored(told(life))
    kept = msgspec.json.decode(msgspec.json.encode(sum_of(events[:cut])), type=Twin)
    assert sum_of(events[cut:], kept) == sum_of(events)


@given(lives)
def test_the_counts_are_those_of_the_whole_history(life: list[tuple[str, int, int]]) -> None:
    events = told(life)
    now = events[-1][1] if events else START
    known = engagement(sum_of(stored(events)), now)
    opened: dict[str, datetime] = {}
    tasks, requests = set[int](), set[int]()
    at = START
    for act, which, minutes in life:
        at += minutes * MINUTE
        if act == "created":
            opened[f"sess_{which}"] = at
        tasks = tasks | {which} if act == "assigned" else tasks - {which} if act == "done" else tasks
        requests = requests | {which} if act == "submitted" else requests - {which} if act == "completed" else requests
    assert (known.open_tasks, known.open_service_requests) == (len(tasks), len(requests))
    assert known.sessions_last_30_days == sum(began > now - RECENTLY for began in opened.values())


@given(lives, st.integers(0, 90))
def test_what_is_tidied_away_is_asked_for_by_nobody_later(life: list[tuple[str, int, int]], days: int) -> None:
    events = told(life)
    now = events[-1][1] if events else START
    twin = sum_of(stored(events))
    later = now + timedelta(days=days)
    assert engagement(tidy(twin, now), later) == engagement(twin, later)
    assert tidy(tidy(twin, now), now) == tidy(twin, now)


@given(lives, st.integers(0, 40), st.lists(st.integers(0, 40), max_size=3))
def test_a_replay_ends_where_it_began_and_is_not_seen_before(
    life: list[tuple[str, int, int]], pruned: int, cuts: list[int]
) -> None:
    """Of a history whose first events are gone; a replay may itself be begun anew, at any place."""
    events = stored(told(life))
    twin = sum_of(events)
    kept = events[pruned:]
    again: Twin | None = None
    for cut in (*cuts, len(kept)):
        for number, each in enumerate(kept[:cut], start=1):
            seen, again = hear(twin, again, each)
            if number < len(kept):
                assert seen == twin
                assert again is not None
                assert again.seq == each.seq
            else:
                assert again is None
                assert seen == twin
                assert list(seen.visits) == list(twin.visits)
    more = stored([(event("assigned", 5, START), START)], len(events))
    assert hear(twin, again, more[0])[0] == fold(twin, more[0])


@given(lives, st.integers(0, 40))
def test_a_replay_that_is_overtaken_by_a_new_event_goes_on_from_what_it_has(life: list[tuple[str, int, int]], cut: int) -> None:
    events = stored(told(life))
    (new,) = stored([(event("done", 1, START), START)], len(events))
    twin = sum_of(events)
    again: Twin | None = None
    for each in events[:cut]:
        _, again = hear(twin, again, each)
    seen, rest = hear(twin, again, new)
    assert rest is None
    assert seen.seq == new.seq
