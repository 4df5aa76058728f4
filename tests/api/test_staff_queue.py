"""The queue of tasks that staff may claim, and what they hold."""

from __future__ import annotations

import pytest

from tests.api.stage import Stage, problem
from tests.api.test_tasks import as_, ok, task_of, ward

__all__ = ["ward"]

SHOWN = {
    "task_id",
    "session_id",
    "member_id",
    "service_request_id",
    "task_type",
    "status",
    "assignee_role",
    "due_at",
    "attempt",
}


async def test_until_it_is_claimed_a_task_shows_ids_type_role_and_due_date_only(ward: Stage) -> None:
    task_id = await task_of(ward, "EMO", target_speciality="PSYCHIATRY", reason="worries", data={"question": "Am I ill?"})
    async with as_(ward, "C002", "clinician", specialities=("PSYCHIATRY",)) as http:
        (task,) = (await http.get("/v1/tasks")).json()["items"]
        assert {name for name, value in task.items() if value is not None} == SHOWN
        assert (task["task_id"], task["task_type"], task["assignee_role"]) == (task_id, "EMO_REVIEW", "CLINICIAN")
        assert (await http.get(f"/v1/tasks/{task_id}")).json() == task
        await ok(http, task_id, "claim")
        assert (await http.get("/v1/tasks")).json()["items"] == []
        (held,) = (await http.get("/v1/tasks?status=active&assignee=me")).json()["items"]
        assert held["title"]
        assert held["form"]
        released = await ok(http, task_id, "release")
        assert {name for name, value in released.items() if value is not None} == SHOWN


@pytest.mark.parametrize(
    ("roles", "specialities", "sees"),
    [
        (("care_team",), (), {"VPC_SCHEDULING", "CLAIM_REVIEW"}),
        (("clinician",), (), {"EMO_REVIEW"}),
        (("clinician",), ("psychiatry",), {"EMO_REVIEW", "EMO_REVIEW of PSYCHIATRY"}),
        (("clinician",), ("CARDIOLOGY",), {"EMO_REVIEW"}),
        (
            ("care_team", "clinician"),
            ("PSYCHIATRY",),
            {"VPC_SCHEDULING", "CLAIM_REVIEW", "EMO_REVIEW", "EMO_REVIEW of PSYCHIATRY"},
        ),
    ],
    ids=["care team", "clinician", "psychiatrist", "cardiologist", "both"],
)
async def test_everybody_sees_what_their_roles_and_specialities_may_claim(
    ward: Stage, roles: tuple[str, ...], specialities: tuple[str, ...], sees: set[str]
) -> None:
    names = {
        await task_of(ward, "VPC"): "VPC_SCHEDULING",
        await task_of(ward, "Claims"): "CLAIM_REVIEW",
        await task_of(ward, "EMO"): "EMO_REVIEW",
        await task_of(ward, "EMO", target_speciality="Psychiatry"): "EMO_REVIEW of PSYCHIATRY",
        await task_of(ward, "RTE"): "RTE_CHECK",
        await task_of(ward, "LETTER"): "PRINT",
    }
    async with as_(ward, "C042", *roles, specialities=specialities) as http:
        tasks = (await http.get("/v1/tasks")).json()["items"]
        assert {names[task["task_id"]] for task in tasks} == sees
        for task_id, name in names.items():
            answer = await http.post(f"/v1/tasks/{task_id}/claim")
            assert (answer.status_code == 200) == (name in sees), name


async def test_pages_are_stable_while_others_claim(ward: Stage) -> None:
    tasks = [await task_of(ward, "Claims") for _ in range(5)]
    async with as_(ward, "C042", "care_team") as http, as_(ward, "dana") as dana:
        first = (await http.get("/v1/tasks?limit=2")).json()
        for task_id in (tasks[0], tasks[2]):
            await ok(dana, task_id, "claim")
        second = (await http.get(f"/v1/tasks?limit=2&page_token={first['next_page_token']}")).json()
        assert [task["task_id"] for task in first["items"] + second["items"]] == [*tasks[:2], *tasks[3:]]
        assert second["next_page_token"] is None
        held = (await dana.get("/v1/tasks?assignee=me&limit=1")).json()
        rest = (await dana.get(f"/v1/tasks?assignee=me&limit=1&page_token={held['next_page_token']}")).json()
        assert [task["task_id"] for task in held["items"] + rest["items"]] == [tasks[0], tasks[2]]
        mixed_up = await dana.get(f"/v1/tasks?page_token={held['next_page_token']}")
        problem(mixed_up, 422, "invalid")


async def test_an_admin_has_no_queue_and_a_bad_parameter_is_named(ward: Stage) -> None:
    async with as_(ward, "admin") as http:
        problem(await http.get("/v1/tasks"), 403, "forbidden")
    async with as_(ward, "dana") as http:
        for query in ("status=ended", "assignee=you", "limit=0"):
            problem(await http.get(f"/v1/tasks?{query}"), 422, "invalid")
