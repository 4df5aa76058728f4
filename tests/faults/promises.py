"""What a member may rely on, held against a whole timeline as it was read back: numbers, causes, each thing once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Event = dict[str, Any]
PREFIX = "com.includedhealth.sessions."

CAUSES: Mapping[str, Sequence[tuple[str, str]]] = {
    "service-request.processing": [("service-request.submitted", "service_request_id")],
    "service-request.completed": [("service-request.processing", "service_request_id")],
    "task.assigned": [("service-request.submitted", "service_request_id")],
    "task.in-progress": [("task.assigned", "task_id")],
    "task.completed": [("task.in-progress", "task_id")],
    "rte.completed": [("task.in-progress", "workflow_id")],
}
"""An event, and what came before it about the same id."""
ONCE = ("service-request.submitted", "rte.completed", "service-request.completed")


def suffix(event: Event) -> str:
    """Such as ``task.in-progress``."""
    return str(event["type"]).removeprefix(PREFIX)


def number(event: Event) -> int:
    return int(event["timelineseq"])


def assert_sound(timeline: Sequence[Event]) -> None:
    """Gapless from 1, each event once, and every causal rule of the contract holds."""
    assert [number(event) for event in timeline] == list(range(1, len(timeline) + 1))
    assert len({event["id"] for event in timeline}) == len(timeline)
    seen: set[tuple[str, str]] = set()
    open_tasks: dict[str, set[str]] = defaultdict(set)
    for event in timeline:
        name, data = suffix(event), event["data"]
        request = data.get("service_request_id", "")
        for cause, field in CAUSES.get(name, ()):
            assert (cause, data[field]) in seen, f"number {number(event)}, {name}, came before its {cause}"
        assert ("service-request.completed", request) not in seen, f"number {number(event)}, {name}, came after its request"
        match name:
            case "lifecycle.created":
                seen.add((name, data["session_id"]))
            case "task.assigned":
                open_tasks[request].add(data["task_id"])
            case "task.completed":
                open_tasks[request].remove(data["task_id"])
            case "service-request.completed":
                assert not open_tasks[request], f"number {number(event)}: a request ended before its tasks"
        if "session_id" in data:
            assert ("lifecycle.created", data["session_id"]) in seen, f"number {number(event)} came before its session"
        seen |= {(name, data[field]) for field in ("service_request_id", "task_id") if field in data}


def assert_each_check_happened_once(timeline: Sequence[Event], requests: Collection[str], outcome: str) -> None:
    """These requests and no others: submitted, checked and completed once each. The coverage that they found, always the same,
    was told once, before the first of them was completed."""
    told = Counter((suffix(event), event["data"]["service_request_id"]) for event in timeline if suffix(event) in ONCE)
    assert told == Counter((name, request) for request in requests for name in ONCE)
    outcomes = {event["data"]["outcome"] for event in timeline if suffix(event) == "service-request.completed"}
    assert outcomes == {outcome}
    firsts = [suffix(event) for event in timeline if suffix(event) in {"coverage.updated", "service-request.completed"}]
    coverages = ["coverage.updated"] if outcome == "SUCCESS" else []
    assert firsts == coverages + ["service-request.completed"] * len(requests)


def assert_followed(journal: Sequence[Event], superseded: Collection[int], timeline: Sequence[Event]) -> None:
    """A client's journal is the timeline itself, but for progress that was overtaken by newer progress."""
    assert list(journal) == [event for event in timeline if number(event) not in superseded]
    left_out = {suffix(event) for event in timeline if number(event) in superseded}
    assert left_out <= {"service-request.processing"}
