"""What is known of a member at one moment of the timeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from digital_session._rest import Rest
from digital_session.events import Record
from digital_session.task import Task


@dataclass(frozen=True, slots=True)
class MemberContext:
    """State up to the event numbered ``timelineseq``; whoever subscribes from ``cursor`` misses nothing.

    ``coverage`` has the member's own account first; ``tasks`` are the active ones; ``service_requests`` the open ones and those
    that ended last; ``sessions`` the open ones.
    """

    coverage: tuple[Record, ...]
    tasks: tuple[Task, ...]
    service_requests: tuple[Record, ...]
    sessions: tuple[Record, ...]
    care_plan: Record | None
    engagement: Record | None
    cursor: str
    timelineseq: int


def member_context(rest: Rest, answer: Mapping[str, Any]) -> MemberContext:
    """The platform's answer, with tasks that can be worked on."""
    return MemberContext(
        coverage=tuple(answer["coverage"]),
        tasks=tuple(Task(rest, task) for task in answer["tasks"]),
        service_requests=tuple(answer["service_requests"]),
        sessions=tuple(answer["sessions"]),
        care_plan=answer.get("care_plan"),
        engagement=answer.get("engagement"),
        cursor=answer["cursor"],
        timelineseq=int(answer["timelineseq"]),
    )
