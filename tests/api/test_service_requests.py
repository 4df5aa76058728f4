"""Service requests, their results, and the tasks they are made of, over REST."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.stage import DEPENDANT, FOREIGN, OWN, Stage, opened, pointers, problem, submitted

FIELDS = {
    "service_request_id", "session_id", "member_id", "service", "subject", "reason", "priority", "data", "initiator_id",
    "target_role", "target_speciality", "current_call_id", "status", "stage", "percent_complete",
    "estimated_completion_seconds", "tasks", "outcome", "error", "payer_errors", "result_ref", "submitted_at", "completed_at",
}  # fmt: skip
TASK_FIELDS = {
    "task_id", "session_id", "member_id", "service_request_id", "task_type", "title", "status", "assignee_id", "assignee_role",
    "assignee_name", "form", "assigned_at", "started_at", "due_at", "completed_at", "outcome", "task_result", "attempt",
}  # fmt: skip


async def test_a_submitted_request_has_every_field_and_the_cursor_just_before_its_first_event(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        request = await submitted(http, session, reason="check_coverage", priority="INTERACTIVE", target_role="care_team")
        read = await http.get(f"/v1/service-requests/{request['service_request_id']}")
        waiting = await http.get(f"/v1/sessions/{session['session_id']}")
    assert request.keys() == FIELDS | {"cursor"}
    assert (request["subject"], request["status"], request["target_role"]) == (OWN, "SUBMITTED", "CARE_TEAM")
    assert stage.codec.decode(request["cursor"], "M123456").seq == 1
    assert (await stage.events())[1] == "service_request.submitted"
    assert read.json() == {name: value for name, value in request.items() if name != "cursor"}
    assert waiting.json()["state"] == "WAITING"


async def test_the_subject_is_the_sessions_account_or_one_of_the_tokens_and_no_other(stage: Stage) -> None:
    async with stage.http(stage.member()) as http, stage.http(stage.member("M123456", OWN)) as narrow:
        session = await opened(http)
        path = f"/v1/sessions/{session['session_id']}/service-requests"
        assert (await submitted(http, session, subject=DEPENDANT))["subject"] == DEPENDANT
        foreign = await http.post(path, json={"service": "RTE", "subject": FOREIGN})
        missing = await http.post(path, json={"service": "RTE", "subject": "nobody"})
        assert foreign.content == missing.content
        assert pointers(foreign) == {"/subject"}
        assert [row[1:3] for row in await stage.audit()][-2:] == [("service_request.submit", "refused")] * 2
        assert pointers(await narrow.post(path, json={"service": "RTE", "subject": DEPENDANT})) == {"/subject"}


async def test_a_token_cannot_widen_what_the_directory_holds(stage: Stage) -> None:
    async with stage.http(stage.member("M123456", OWN, FOREIGN)) as http:
        session = await opened(http)
        path = f"/v1/sessions/{session['session_id']}/service-requests"
        assert pointers(await http.post(path, json={"service": "RTE", "subject": FOREIGN})) == {"/subject"}


async def test_a_member_without_an_account_is_told_that_a_subject_is_needed(stage: Stage) -> None:
    async with stage.http(stage.token("member", member_id="M5", account_ids=())) as http:
        session = await opened(http)
        assert session["account_id"] is None
        answer = await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json={"service": "RTE"})
        assert pointers(answer) == {"/subject"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/service"),
        ({"service": "NONE"}, "/service"),
        ({"service": "RTE", "priority": "UNSPECIFIED"}, "/priority"),
        ({"service": "RTE", "priority": 1}, "/priority"),
        ({"service": "RTE", "target_role": "NURSE"}, "/target_role"),
        ({"service": "RTE", "reason": ""}, "/reason"),
        ({"service": "RTE", "reason": "x" * 1001}, "/reason"),
        ({"service": "RTE", "data": []}, "/data"),
        ({"service": "RTE", "data": {"first_name": "x"}}, "/data"),
        ({"service": "RTE", "current_call_id": "\u0000"}, "/current_call_id"),
        ({"service": "RTE", "unknown": 1}, "/unknown"),
    ],
    ids=str,
)
async def test_each_bad_field_of_a_request_is_named(stage: Stage, body: dict[str, object], pointer: str) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        answer = await http.post(f"/v1/sessions/{session['session_id']}/service-requests", json=body)
    assert pointers(answer) == {pointer}
    assert await stage.events() == ["session.created"]


async def test_a_result_is_the_bare_result_data_once_the_request_succeeded(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        request = await submitted(http, await opened(http))
        path = f"/v1/service-requests/{request['service_request_id']}"
        problem(await http.get(f"{path}/result"), 409, "conflict")
        await stage.succeed(request)
        done = (await http.get(path)).json()
        assert (done["status"], done["result_ref"]) == ("COMPLETED", f"{path}/result")
        result = await http.get(done["result_ref"])
        assert result.status_code == 200
        assert result.json() == {"coverage_status": "ACTIVE", "payer_name": "Blue Cross", "coverage": {"account_id": OWN}}
        problem(await http.post(f"{path}/cancel"), 409, "conflict")
    assert [row[1:4] for row in await stage.audit() if row[1] == "result.read"] == [("result.read", "allowed", "M123456")]


async def test_a_result_is_readable_only_while_its_account_is_in_the_asking_token(stage: Stage) -> None:
    async with stage.http(stage.member()) as http, stage.http(stage.member("M123456", OWN)) as narrow:
        request = await submitted(http, await opened(http), subject=DEPENDANT)
        await stage.succeed(request)
        path = f"/v1/service-requests/{request['service_request_id']}"
        task_path = f"/v1/tasks/{request['tasks'][0]['task_id']}"
        assert (await http.get(f"{path}/result")).status_code == 200
        assert (await http.get(task_path)).json()["task_result"] is not None
        assert (await narrow.get(path)).status_code == 200
        problem(await narrow.get(f"{path}/result"), 404, "forbidden_or_missing")
        assert (await narrow.get(task_path)).json()["task_result"] is None
        assert (await narrow.get("/v1/members/M123456/tasks")).json()["items"][0]["task_result"] is None


async def test_a_payers_own_words_are_for_who_may_read_the_result(stage: Stage) -> None:
    async with stage.http(stage.member()) as http, stage.http(stage.member("M123456", OWN)) as narrow:
        request = await submitted(http, await opened(http), subject=DEPENDANT)
        await stage.fail(request)
        path = f"/v1/service-requests/{request['service_request_id']}"
        failed = (await http.get(path)).json()
        assert (failed["status"], failed["error"]["code"]) == ("FAILED", "payer_rejected")
        assert failed["payer_errors"] == [{"code": "72"}]
        assert (await narrow.get(path)).json()["payer_errors"] is None
        problem(await http.get(f"{path}/result"), 409, "conflict")
        (listed,) = (await narrow.get("/v1/members/M123456/context")).json()["service_requests"]
        assert listed["payer_errors"] is None


@pytest.mark.parametrize("options", [{}, {"json": {}}], ids=["no body", "an empty object"])
async def test_cancelling_ends_the_tasks_first_and_may_be_repeated(stage: Stage, options: Any) -> None:
    async with stage.http(stage.member()) as http:
        request = await submitted(http, await opened(http))
        path = f"/v1/service-requests/{request['service_request_id']}/cancel"
        first, again = await http.post(path, **options), await http.post(path, **options)
    assert first.status_code == 200
    assert first.content == again.content
    assert (first.json()["status"], first.json()["outcome"]) == ("CANCELED", "CANCELED")
    assert (await stage.events())[-2:] == ["task.completed", "service_request.completed"]


async def test_cancelling_is_the_members_doing_and_keeps_the_session_alive(stage: Stage) -> None:
    token = stage.token("member", sub="user-1", member_id="M123456", account_ids=("A789012",))
    async with stage.http(token) as http:
        session = await opened(http)
        request = await submitted(http, session)
        stage.clock.advance(60)
        await http.post(f"/v1/service-requests/{request['service_request_id']}/cancel")
        after = (await http.get(f"/v1/sessions/{session['session_id']}")).json()
    assert after["last_activity_at"] > session["last_activity_at"]
    body = "SELECT full_body FROM outbox WHERE name = 'task.completed'"
    (told,) = await stage.platform.store.read(lambda reader: reader.all(body))
    assert json.loads(told[0])["data"]["completed_by"] == "M123456"


async def test_a_members_tasks_are_listed_in_pages(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        requests = [await submitted(http, session) for _ in range(3)]
        await stage.succeed(requests[0])
        ids = [request["tasks"][0]["task_id"] for request in requests]
        path = "/v1/members/M123456/tasks"
        whole = (await http.get(path)).json()
        assert [task["task_id"] for task in whole["items"]] == ids
        assert whole["next_page_token"] is None
        assert all(task.keys() == TASK_FIELDS for task in whole["items"])
        assert [task["task_id"] for task in (await http.get(f"{path}?status=active")).json()["items"]] == ids[1:]
        assert (await http.get(f"{path}?assignee=me")).json()["items"] == []
        first = (await http.get(f"{path}?limit=2")).json()
        second = (await http.get(path, params={"limit": 2, "page_token": first["next_page_token"]})).json()
        assert [task["task_id"] for task in first["items"] + second["items"]] == ids
        assert second["next_page_token"] is None
        assert (await http.get(f"/v1/tasks/{ids[1]}")).json() == whole["items"][1]


async def test_the_catalogue_lists_each_service_for_everybody_with_a_token(stage: Stage) -> None:
    async with stage.http(stage.token("admin")) as http:
        listed = (await http.get("/v1/services")).json()
    (rte,) = [service for service in listed["items"] if service["code"] == "RTE"]
    assert rte.keys() == {"code", "title", "data_schema", "task_types", "usual_seconds"}
    assert rte["task_types"] == ["RTE_CHECK"]
