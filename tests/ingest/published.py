"""Events as a backend publishes them: one function an event, with what it must say; more by name."""

from __future__ import annotations

import itertools
import json
from typing import Any

from session_platform.contract import CATALOGUE

MEMBER, OTHER = "M123456", "M200001"
OWN, DEPENDANT = "A789012", "A789013"
SOURCE = "/claims/core"
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"

_numbers = itertools.count(1)


def event(name: str, data: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """A CloudEvent in structured form; attributes that are None are left out."""
    whole = {
        "specversion": "1.0",
        "id": f"e{next(_numbers)}",
        "source": SOURCE,
        "type": CATALOGUE[name].type,
        "data": data,
        **attributes,
    }
    return {key: value for key, value in whole.items() if value is not None}


def created(session_id: str = "s1", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    data = {"session_id": session_id, "member_id": member_id, "session_type": "APP", "channel": "MX_WEB", **more}
    return event("session.created", data)


def active(session_id: str = "s1", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    data = {"session_id": session_id, "member_id": member_id, "active_service_requests": [], "active_tasks": [], **more}
    return event("session.active", data)


def ended(session_id: str = "s1", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    data = {"session_id": session_id, "member_id": member_id, **more}
    return event("session.ended", data)


def submitted(request_id: str = "r1", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    data = {"service_request_id": request_id, "member_id": member_id, "healthcare_service": "SECOND_OPINION", **more}
    return event("service_request.submitted", data)


def processing(request_id: str = "r1", percent: int = 10, member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    data = {"service_request_id": request_id, "member_id": member_id, "percent_complete": percent, **more}
    return event("service_request.processing", data)


def completed(request_id: str = "r1", outcome: str = "SUCCESS", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    data = {"service_request_id": request_id, "member_id": member_id, "outcome": outcome, **more}
    return event("service_request.completed", data)


def assigned(task_id: str = "t1", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    data = {"task_id": task_id, "member_id": member_id, "task_type": "REVIEW", "assignee_role": "CARE_TEAM", **more}
    return event("task.assigned", data)


def in_progress(task_id: str = "t1", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    return event("task.in_progress", {"task_id": task_id, "member_id": member_id, **more})


def done(task_id: str = "t1", member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    return event("task.completed", {"task_id": task_id, "member_id": member_id, **more})


def checked(member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    return event("rte.completed", {"member_id": member_id, "account_id": OWN, "outcome": "SUCCESS", **more})


def coverage(account_id: str = OWN, **more: Any) -> dict[str, Any]:
    return {"account_id": account_id, "coverage_status": "ACTIVE", "benefits": [], **more}


def covered(member_id: str = MEMBER, account_id: str = OWN, **more: Any) -> dict[str, Any]:
    data = {"member_id": member_id, "account_id": account_id, "coverage": coverage(account_id), **more}
    return event("coverage.updated", data)


def care_plan(member_id: str = MEMBER, **more: Any) -> dict[str, Any]:
    return event("care_plan.updated", {"member_id": member_id, "care_plan_id": "cp1", "status": "ACTIVE", **more})


def body(*events: dict[str, Any]) -> bytes:
    """A batch."""
    return json.dumps(events).encode()
