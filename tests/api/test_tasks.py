"""Tasks through REST: who may claim, start, complete and release them, and what each answers, by role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from session_platform import directory
from session_platform.access import Rights
from session_platform.careflow import SERVICES, Careflow, assigned, load_catalogue
from tests.api.stage import Stage, accounts_of, failures, opened, pointers, problem, submitted

LETTER = """
code = "LETTER"
title = "A letter"
data_schema.type = "object"
[[tasks]]
type = "PRINT"
title = "Print the letter"
executor = "system"
usual_s = 10
[failures.jam]
message = "The paper is jammed."
retryable = true
"""
DANA = ("C001", "Dana Reyes")
RESOLVED = {"resolution": "PAID"}


@pytest.fixture
async def ward(stage: Stage, tmp_path: Any) -> Stage:
    """The stage with staff's relations, and with a task that a service does."""
    (tmp_path / "letter.toml").write_text(LETTER)
    careflow = Careflow(load_catalogue(SERVICES, tmp_path, failures=failures()), stage.platform.careflow.neighbours)
    return stage.with_parts(careflow=careflow, rights=Rights((assigned, directory.on_panel), accounts_of))


def staff(stage: Stage, staff_id: str, *roles: str, name: str = "Somebody", specialities: tuple[str, ...] = ()) -> str:
    return stage.token(*roles, sub=staff_id, staff_id=staff_id, name=name, specialities=specialities)


@asynccontextmanager
async def as_(stage: Stage, *who: str, specialities: tuple[str, ...] = ()) -> AsyncIterator[httpx2.AsyncClient]:
    """Speak as ``dana`` (care team, every demo member on her panel), a clinician, a service …"""
    tokens: dict[str, Callable[[], str]] = {
        "dana": lambda: staff(stage, DANA[0], "care_team", name=DANA[1]),
        "both": lambda: staff(stage, "C009", "care_team", "clinician", specialities=specialities),
        "member": stage.member,
        "foreign": lambda: stage.member("M200001", "A200001"),
        "service": lambda: stage.token("service", sub="printer"),
        "other service": lambda: stage.token("service", sub="printer-2"),
        "admin": lambda: stage.token("admin"),
    }
    token = tokens[who[0]]() if who[0] in tokens else staff(stage, who[0], *who[1:], specialities=specialities)
    async with stage.http(token) as http:
        yield http


async def task_of(stage: Stage, service: str, **body: Any) -> str:
    async with as_(stage, "member") as http:
        request = await submitted(http, await opened(http), service=service, **body)
    task_id: str = request["tasks"][0]["task_id"]
    return task_id


async def move(http: httpx2.AsyncClient, task_id: str, name: str, **body: Any) -> httpx2.Response:
    return await http.post(f"/v1/tasks/{task_id}/{name}", json=body)


async def ok(http: httpx2.AsyncClient, task_id: str, name: str, **body: Any) -> dict[str, Any]:
    answer = await move(http, task_id, name, **body)
    assert answer.status_code == 200, answer.text
    task: dict[str, Any] = answer.json()
    return task


async def test_staff_claim_start_and_complete_and_the_member_reads_what_was_found(ward: Stage) -> None:
    task_id = await task_of(ward, "Claims")
    async with as_(ward, "dana") as http:
        claimed = await ok(http, task_id, "claim")
        assert (claimed["status"], claimed["assignee_id"], claimed["assignee_name"], claimed["attempt"]) == (
            "pending",
            *DANA,
            1,
        )
        assert claimed["form"]["required"] == ["resolution"]
        assert claimed["due_at"] == (ward.clock.now() + timedelta(days=3)).isoformat().replace("+00:00", "Z")
        started = await ok(http, task_id, "start")
        assert (started["status"], started["outcome"]) == ("in_progress", None)
        done = await ok(http, task_id, "complete", outcome="SUCCESS", result=RESOLVED, attempt=1)
        assert (done["status"], done["outcome"], done["task_result"]) == ("completed", "SUCCESS", RESOLVED)
    async with as_(ward, "member") as http:
        task = (await http.get(f"/v1/tasks/{task_id}")).json()
        assert (task["status"], task["task_result"]) == ("completed", RESOLVED)
        assert (await http.get(f"/v1/service-requests/{task['service_request_id']}/result")).json() == RESOLVED
    moves = [row[:4] for row in await ward.audit() if row[1].startswith("task.") and row[1] != "task.read"]
    assert moves == [("C001", f"task.{name}", "allowed", "M123456") for name in ("claim", "start", "complete")]


async def test_bodies_of_moves_may_be_left_out(ward: Stage) -> None:
    task_id = await task_of(ward, "Claims")
    async with as_(ward, "dana") as http:
        for name in ("claim", "start", "release"):
            assert (await http.post(f"/v1/tasks/{task_id}/{name}")).status_code == 200
        assert (await http.post(f"/v1/tasks/{task_id}/complete")).status_code == 415


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/outcome"),
        ({"outcome": "CANCELED"}, "/outcome"),
        ({"outcome": "SUCCESS", "result": []}, "/result"),
        ({"outcome": "SUCCESS"}, "/result/resolution"),
        ({"outcome": "SUCCESS", "result": {"resolution": "MAYBE"}}, "/result/resolution"),
        ({"outcome": "SUCCESS", "result": RESOLVED, "attempt": "1"}, "/attempt"),
        ({"outcome": "SUCCESS", "result": RESOLVED, "attempt": -1}, "/attempt"),
        ({"outcome": "FAILED", "result": {"code": "made_up"}}, "/result/code"),
        ({"outcome": "SUCCESS", "result": RESOLVED, "more": 1}, "/more"),
    ],
)
async def test_a_bad_completion_is_refused_by_pointer(ward: Stage, body: dict[str, Any], pointer: str) -> None:
    task_id = await task_of(ward, "Claims")
    async with as_(ward, "dana") as http:
        await ok(http, task_id, "claim")
        await ok(http, task_id, "start")
        answer = await move(http, task_id, "complete", **body)
        assert pointers(answer) == {pointer}
        assert "MAYBE" not in answer.text
        assert (await http.get(f"/v1/tasks/{task_id}")).json()["status"] == "in_progress"


async def test_an_older_attempt_is_a_conflict(ward: Stage) -> None:
    task_id = await task_of(ward, "Claims")
    async with as_(ward, "dana") as http:
        for name in ("claim", "start", "release", "claim", "start"):
            await ok(http, task_id, name)
        problem(await move(http, task_id, "complete", outcome="SUCCESS", result=RESOLVED, attempt=1), 409, "conflict")
        await ok(http, task_id, "complete", outcome="SUCCESS", result=RESOLVED, attempt=2)


async def test_a_move_made_before_is_answered_as_the_first_time_and_another_body_is_a_conflict(ward: Stage) -> None:
    task_id = await task_of(ward, "EMO", target_speciality="PSYCHIATRY")
    result = {"opinion": "Yes.", "agrees_with_diagnosis": "YES"}
    completed = ("complete", {"outcome": "SUCCESS", "result": result})
    before_it = ["claim", "start", "release", "claim", "start"]
    moves: list[tuple[str, dict[str, Any]]] = [*((name, {}) for name in before_it), completed]
    async with as_(ward, "C002", "clinician", specialities=("PSYCHIATRY",)) as http:
        for name, body in moves:
            first = await ok(http, task_id, name, **body)
            before = await ward.events()
            assert await ok(http, task_id, name, **body) == first
            assert await ward.events() == before
        for other in ({"outcome": "SUCCESS", "result": {**result, "opinion": "No."}}, {"outcome": "FAILED"}):
            problem(await move(http, task_id, "complete", **other), 409, "conflict")
        problem(await http.get(f"/v1/tasks/{task_id}"), 404, "forbidden_or_missing")
    async with as_(ward, "C003", "clinician", specialities=("PSYCHIATRY",)) as http:
        same = await move(http, task_id, "complete", outcome="SUCCESS", result=result)
        problem(same, 404, "forbidden_or_missing")


async def test_of_two_who_claim_one_is_told_that_the_state_forbids_it(ward: Stage) -> None:
    task_id = await task_of(ward, "EMO")
    async with as_(ward, "C002", "clinician") as ito, as_(ward, "C003", "clinician") as novak:
        await ok(ito, task_id, "claim")
        problem(await move(novak, task_id, "claim"), 409, "conflict")
        problem(await move(novak, task_id, "start"), 404, "forbidden_or_missing")
        await ok(ito, task_id, "release")
        problem(await move(novak, task_id, "start"), 403, "forbidden")
        assert (await ok(novak, task_id, "claim"))["attempt"] == 2
        problem(await move(ito, task_id, "release"), 404, "forbidden_or_missing")


@pytest.mark.parametrize("name", ["claim", "start", "release", "complete"])
@pytest.mark.parametrize(
    ("who", "status"),
    [
        (("C001", "care_team"), 403),  # sees it: the member is on her panel
        (("C002", "clinician"), 404),  # another speciality, no relation
        (("C004", "care_team"), 404),
        (("foreign",), 404),
        (("member",), 403),
        (("service",), 404),
        (("admin",), 403),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
async def test_whoever_may_only_see_a_task_is_forbidden_and_to_others_there_is_none(
    ward: Stage, name: str, who: tuple[str, ...], status: int
) -> None:
    task_id = await task_of(ward, "EMO", target_speciality="PSYCHIATRY")
    async with as_(ward, "C003", "clinician", specialities=("PSYCHIATRY",)) as http:
        await ok(http, task_id, "claim")
    body = {"outcome": "FAILED"} if name == "complete" else {}
    async with as_(ward, *who) as http:
        answer = await move(http, task_id, name, **body)
        missing = await move(http, "task_none", name, **body)
    if name == "claim" and who[0] in {"member", "foreign", "service", "admin"}:
        status = 403  # only staff claim, whatever the task
    problem(answer, status, "forbidden" if status == 403 else "forbidden_or_missing")
    if status == 404:
        assert answer.content == missing.content


async def test_a_claim_is_a_relationship_for_as_long_as_the_task_is_open(ward: Stage) -> None:
    task_id = await task_of(ward, "EMO")
    async with as_(ward, "C002", "clinician") as http:
        problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
        await ok(http, task_id, "claim")
        assert (await http.get("/v1/members/M123456/context")).status_code == 200
        assert (await http.get(f"/v1/tasks/{task_id}")).json()["form"] is not None
        await ok(http, task_id, "start")
        await ok(http, task_id, "complete", outcome="FAILED")
        problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
    changes = await ward.store.read(lambda r: r.all("SELECT member_id, staff_id FROM right_change"))
    assert changes == [("M123456", "C002")] * 2


async def test_a_token_with_both_roles_claims_for_either(ward: Stage) -> None:
    async with as_(ward, "both") as http:
        for service in ("EMO", "VPC"):
            await ok(http, await task_of(ward, service), "claim")


async def test_a_member_does_the_tasks_that_are_meant_for_the_member(ward: Stage) -> None:
    task_id = await task_of(ward, "Claims", target_role="member")
    async with as_(ward, "member") as http:
        todo = (await http.get("/v1/members/M123456/tasks?status=active&assignee=me")).json()["items"]
        assert [(task["task_id"], task["assignee_id"], task["attempt"]) for task in todo] == [(task_id, "M123456", 1)]
        assert (await http.get("/v1/tasks")).json()["items"] == todo
        problem(await move(http, task_id, "release"), 409, "conflict")
        await ok(http, task_id, "start")
        await ok(http, task_id, "complete", outcome="SUCCESS", result=RESOLVED, attempt=1)
        assert (await http.get("/v1/members/M123456/tasks?status=active&assignee=me")).json()["items"] == []
    async with as_(ward, "dana") as http:
        problem(await move(http, task_id, "start"), 403, "forbidden")


async def test_a_failed_task_of_a_person_fails_the_request_with_a_declared_failure(ward: Stage) -> None:
    task_id = await task_of(ward, "VPC")
    async with as_(ward, "dana") as http:
        await ok(http, task_id, "claim")
        await ok(http, task_id, "start")
        failed = await ok(http, task_id, "complete", outcome="FAILED", result={"why": "Nobody has time."})
        assert (failed["status"], failed["outcome"]) == ("failed", "FAILED")
        request = (await http.get(f"/v1/service-requests/{failed['service_request_id']}")).json()
    assert (request["status"], request["error"]["code"]) == ("FAILED", "not_done")
    assert "Nobody has time." not in str(request)


async def test_a_service_works_on_what_a_system_does_and_sees_no_results(ward: Stage) -> None:
    task_id = await task_of(ward, "LETTER", data={"to": "Ada"})
    async with as_(ward, "service") as http, as_(ward, "other service") as other:
        (waiting,) = (await http.get("/v1/tasks")).json()["items"]
        assert (waiting["task_id"], waiting["assignee_role"], waiting["title"]) == (task_id, "SYSTEM", None)
        started = await ok(http, task_id, "start")
        assert (started["assignee_id"], started["data"], started["subject"]) == ("printer", {"to": "Ada"}, "A789012")
        assert started["lease_until"] > started["started_at"]
        assert (await http.get("/v1/tasks?assignee=me")).json()["items"][0]["task_id"] == task_id
        for name, body in (("start", {}), ("release", {}), ("complete", {"outcome": "SUCCESS"})):
            problem(await move(other, task_id, name, **body), 409, "conflict")
        retried = await ok(http, task_id, "complete", outcome="FAILED", result={"code": "jam"})
        assert (retried["status"], retried["attempt"]) == ("pending", 1)
        ward.clock.advance(60)
        again = await ok(other, task_id, "start")
        assert again["attempt"] == 2
        problem(await move(http, task_id, "complete", outcome="SUCCESS", attempt=1), 409, "conflict")
        await ok(other, task_id, "complete", outcome="SUCCESS", result={"pages": 1}, attempt=2)
        assert (await http.get(f"/v1/tasks/{task_id}")).json()["task_result"] is None
        problem(await http.get(f"/v1/service-requests/{again['service_request_id']}"), 403, "forbidden")
    async with as_(ward, "member") as http:
        assert (await http.get(f"/v1/tasks/{task_id}")).json()["task_result"] == {"pages": 1}


async def test_what_the_platform_does_itself_is_started_by_no_service(ward: Stage) -> None:
    task_id = await task_of(ward, "RTE")
    async with as_(ward, "service") as http:
        assert (await http.get("/v1/tasks")).json()["items"] == []
        for name, body in (("start", {}), ("release", {}), ("complete", {"outcome": "SUCCESS"})):
            problem(await move(http, task_id, name, **body), 409, "conflict")


async def test_ids_are_of_a_kind_a_service_called_like_a_staff_member_is_not_one(ward: Stage) -> None:
    task_id = await task_of(ward, "Claims")
    async with as_(ward, "dana") as http:
        await ok(http, task_id, "claim")
    async with ward.http(ward.token("service", sub="C001")) as http:
        problem(await move(http, task_id, "start"), 404, "forbidden_or_missing")
        assert (await http.get("/v1/tasks", params={"assignee": "me"})).json()["items"] == []


async def test_what_somebody_does_to_a_task_is_activity_of_its_session(ward: Stage) -> None:
    task_id = await task_of(ward, "Claims")
    for name in ("claim", "start", "release"):
        ward.clock.advance(60)
        async with as_(ward, "dana") as http:
            session_id = (await ok(http, task_id, name))["session_id"]
            session = (await http.get(f"/v1/sessions/{session_id}")).json()
        assert session["last_activity_at"] == ward.clock.now().isoformat().replace("+00:00", "Z")


async def test_a_task_goes_on_when_its_session_has_ended(ward: Stage) -> None:
    task_id = await task_of(ward, "Claims")
    async with as_(ward, "dana") as http:
        session_id = (await ok(http, task_id, "claim"))["session_id"]
        assert (await http.post(f"/v1/sessions/{session_id}/end", json={})).status_code == 200
        await ok(http, task_id, "start")
        await ok(http, task_id, "complete", outcome="SUCCESS", result=RESOLVED)
