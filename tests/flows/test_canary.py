"""Marked values are planted wherever health data and tokens go, and nothing that leaves the platform carries one, but for the
reads that are there to show them: not the wire, not the log, not the figures, not the traces, not an error."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.ingest.published import (
    BATCH,
    DEPENDANT,
    assigned,
    body,
    care_plan,
    completed,
    coverage,
    covered,
    created,
    done,
    submitted,
)
from tests.running import Running, receive, send
from tests.telemetry.collector import Collector, collecting

MEMBER = "M123456"
MARK = "canary7f3a"
"""In every planted value, each with a name of its own behind it."""


@dataclass
class Seen:
    """What the platform let out: ``refusals`` are the bodies of errors, ``shown`` what REST showed to those who may see it;
    ``spans`` their names by trace."""

    frames: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    metrics: str = ""
    log: str = ""
    traces: bytes = b""
    spans: dict[bytes, set[str]] = field(default_factory=dict)
    tokens: tuple[str, ...] = ()


def mark(name: str) -> str:
    return f"{MARK}-{name}"


async def listen(platform: Running, token: str, subscription: dict[str, Any], into: list[str], ready: asyncio.Event) -> None:
    """Every frame as it came, until the last event that the story tells."""
    async with platform.socket(token) as socket:
        await send(socket, {"type": "subscribe", "subscription": subscription})
        while True:
            frame = await receive(socket)
            into.append(json.dumps(frame))
            if frame["type"] == "caught_up":
                ready.set()
            if frame["type"] == "event" and frame["event"]["type"].endswith("care-plan.updated"):
                return


async def expect(answer: httpx2.Response, status: int, seen: Seen) -> Any:
    """The answer's body; errors are kept to be searched."""
    assert answer.status_code == status, answer.text
    (seen.refusals if status >= 400 else seen.shown).append(answer.text + str(answer.headers))
    return answer.json() if answer.content else None


async def a_members_day(http: httpx2.AsyncClient, seen: Seen) -> None:
    """Everything that a member can say, right and wrong."""
    opening = {
        "type": "APP",
        "channel": "MX_WEB",
        "intent": mark("intent"),
        "metadata": {mark("metadata-name"): mark("metadata-value")},
    }
    session = await expect(await http.post("/v1/sessions", json=opening), 201, seen)
    requests = f"/v1/sessions/{session['session_id']}/service-requests"
    enrolling = {"first_name": mark("first"), "last_name": mark("last"), "date_of_birth": "1985-04-12"}
    asking = {
        "service": "ENROLLMENT_INSTANT_COVERAGE",
        "data": enrolling,
        "reason": mark("reason"),
        "target_speciality": mark("speciality"),
        "current_call_id": "call-1",
    }
    await expect(await http.post(requests, json=asking), 202, seen)
    await expect(await http.post(requests, json={"service": "RTE", "reason": mark("rte-reason")}), 202, seen)
    # Wrong in every way that repeats something.
    for wrong in (
        {"service": mark("service")},
        {"service": "RTE", "subject": mark("subject")},
        {"service": "RTE", "priority": mark("priority")},
        {"service": "RTE", "data": {mark("data-name"): mark("data-value")}},
        {"service": "RTE", mark("field"): 1},
        {"service": "ENROLLMENT_INSTANT_COVERAGE", "data": {**enrolling, "date_of_birth": mark("born")}},
    ):
        refused = await http.post(requests, json=wrong)
        assert refused.status_code == 422, refused.text
        # The name of an unknown field is the caller's own and is pointed at; values are never repeated.
        pointers = [problem.pop("pointer") for problem in refused.json()["errors"]]
        assert pointers
        text = refused.text
        for pointer in pointers:
            text = text.replace(json.dumps(pointer), "")
        seen.refusals.append(text)
    broken = '{"service": "' + mark("broken")
    await expect(await http.post(requests, content=broken, headers={"Content-Type": "application/json"}), 422, seen)
    await expect(await http.get(f"/v1/sessions/{mark('session-id')}"), 404, seen)
    await expect(await http.get(f"/v1/sessions/active?device_id={mark('device') * 100}"), 422, seen)
    await expect(await http.get(f"/v1/service-requests/x?access_token={mark('url-token')}"), 400, seen)
    await expect(await http.get("/v1/sessions/active", headers={"Authorization": f"Bearer {mark('token')}"}), 401, seen)


def published() -> bytes:
    """Everything that a backend can tell, PHI in every field that is one."""
    details = coverage(DEPENDANT, plan_name=mark("plan"), payer_name=mark("payer"), group_number=mark("group"))
    return body(
        created("s-canary", intent=mark("their-intent"), metadata={"note": mark("their-metadata")}),
        submitted("r-canary", session_id="s-canary", reason=mark("their-reason"), target_speciality=mark("their-speciality")),
        assigned("t-canary", service_request_id="r-canary", assignee_role="MEMBER"),
        done("t-canary", task_result={"finding": mark("task-result")}),
        completed("r-canary", result_data={"diagnosis": mark("result")}),
        covered(account_id=DEPENDANT, coverage=details),
        care_plan(),
    )


async def a_backends_day(http: httpx2.AsyncClient, seen: Seen) -> None:
    headers = {"Content-Type": BATCH}
    wrong = body(created("s-wrong", session_type=mark("type"), metadata={"x": mark("refused-metadata")}))
    await expect(await http.post("/v1/events", content=wrong, headers=headers), 422, seen)
    await expect(await http.post("/v1/events", content=published(), headers=headers), 202, seen)


async def a_clinicians_day(http: httpx2.AsyncClient, seen: Seen) -> None:
    """The glass is broken with a reason, and without a good one."""
    await expect(await http.get(f"/v1/members/{MEMBER}/context"), 404, seen)
    because = {"Break-Glass-Reason": mark("emergency")}
    await expect(await http.get(f"/v1/members/{MEMBER}/context", headers=because), 200, seen)
    await expect(await http.get("/v1/service-requests/r-canary/result"), 200, seen)
    await expect(await http.get(f"/v1/members/{MEMBER}/tasks"), 200, seen)
    await expect(await http.get(f"/v1/members/{MEMBER}/context", headers={"Break-Glass-Reason": f"%FF{MARK}"}), 422, seen)


async def the_day(platform: Running, seen: Seen) -> None:
    member = await platform.token("--member", MEMBER)
    dana = await platform.token("--staff", "C001", "--role", "care_team")
    ito = await platform.token("--staff", "C002", "--role", "clinician")
    service = await platform.token("--service", "claims")
    seen.tokens = (member, dana, ito, service)
    subscription = {"type": "member", "member_id": MEMBER}
    async with asyncio.TaskGroup() as group, platform.http(member) as http:
        listening = [asyncio.Event(), asyncio.Event()]
        for token, ready in zip((member, dana), listening, strict=True):
            group.create_task(listen(platform, token, subscription, seen.frames, ready))
        for ready in listening:
            await ready.wait()
        async with platform.socket(ito) as socket:
            glass = {"type": "subscribe", "subscription": subscription, "break_glass": mark("glass"), "cursor": mark("cursor")}
            await send(socket, glass)
            seen.frames.append(json.dumps(await receive(socket)))
        async with platform.socket() as socket:
            await send(socket, {"type": "connect", "token": mark("socket-token")})
            seen.frames.append(json.dumps(await receive(socket)))
        await a_members_day(http, seen)
        async with platform.http(service) as theirs:
            await a_backends_day(theirs, seen)
        async with platform.http(ito) as glass_breaker:
            await a_clinicians_day(glass_breaker, seen)
    async with httpx2.AsyncClient(base_url=platform.url) as nobody:
        seen.metrics = (await nobody.get("/metrics")).text
        seen.refusals.append((await nobody.get("/readyz")).text)


async def everything(directory: Path, collector: Collector) -> Seen:
    """A day of everybody, seen from everywhere."""
    seen = Seen()
    environment = {"SESSION_PLATFORM_OTLP_ENDPOINT": collector.endpoint, "SESSION_PLATFORM_LOG_LEVEL": "debug"}
    log = directory / "log"
    async with Running(directory / "data", log=log, environment=environment) as platform:
        await the_day(platform, seen)
        assert await platform.stop() == 0
    seen.log = log.read_text()
    seen.traces = b"".join(collector.sent)
    for span in collector.spans():
        seen.spans.setdefault(span.trace_id, set()).add(span.name)
    return seen


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    with collecting() as collector:
        return asyncio.run(everything(tmp_path_factory.mktemp("canary"), collector))


def test_what_was_planted_is_shown_to_those_who_may_see_it(seen: Seen) -> None:
    """Without this the rest would prove nothing."""
    shown = "".join(seen.shown)
    for name in ("intent", "metadata-value", "reason", "speciality", "result", "task-result", "plan", "their-metadata"):
        assert mark(name) in shown, name


def test_events_ride_without_health_data(seen: Seen) -> None:
    assert any("care-plan.updated" in frame for frame in seen.frames)
    assert [frame for frame in seen.frames if MARK in frame] == []


def test_errors_repeat_nothing_of_what_was_said(seen: Seen) -> None:
    assert len(seen.refusals) > 10
    assert [refusal for refusal in seen.refusals if MARK in refusal] == []


def test_the_log_knows_the_trace_and_neither_health_data_nor_tokens(seen: Seen) -> None:
    lines = [json.loads(line) for line in seen.log.splitlines()]
    assert any(line["event"] == "request" and len(line["trace_id"]) == 32 for line in lines)
    assert MARK not in seen.log


def test_figures_are_about_nobody(seen: Seen) -> None:
    assert "session_platform_event_stage_seconds_count" in seen.metrics
    assert MARK not in seen.metrics
    assert MEMBER not in seen.metrics


def test_every_figure_is_explained_on_the_operators_page(seen: Seen) -> None:
    page = (Path(__file__).parents[2] / "docs" / "operator.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}
    measured = set(re.findall(r"^# HELP session_platform_(\w+)", seen.metrics, re.MULTILINE))
    assert {name for name in measured if not name.endswith("_created")} <= explained


def test_traces_are_about_nobody(seen: Seen) -> None:
    assert seen.traces
    assert MARK.encode() not in seen.traces
    assert MEMBER.encode() not in seen.traces


def test_a_submitted_request_is_one_trace_from_the_call_to_the_frame(seen: Seen) -> None:
    whole = {"http.request", "store.command", "careflow.attempt", "timeline.publish", "gateway.frame"}
    assert sum(names >= whole for names in seen.spans.values()) == 2, "an enrollment and a check were submitted"


def test_tokens_are_nowhere(seen: Seen) -> None:
    out = "".join((*seen.frames, *seen.refusals, *seen.shown, seen.log, seen.metrics)).encode() + seen.traces
    for token in seen.tokens:
        assert token.encode() not in out
        assert token.rsplit(".", 1)[1].encode() not in out, "nor its signature"
