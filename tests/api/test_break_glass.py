"""``Break-Glass-Reason``: a clinician reads what no relationship opens, for an hour, and why is on record."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.api.cared import cared, dana, ito
from tests.api.stage import APP, Stage, opened, pointers, problem, submitted

REASON = "Bewußtlos, Notaufnahme"
GLASS = {"Break-Glass-Reason": quote(REASON)}
CONTEXT = "/v1/members/M123456/context"
A_MEMBER_WITHOUT_ACCOUNTS = """
INSERT INTO member (member_id, first_name, last_name, date_of_birth) VALUES ('NEW1', 'New', 'Here', '1990-01-01')
"""


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return cared(stage)


async def test_a_reason_opens_the_members_reads_for_an_hour_and_is_on_record(stage: Stage) -> None:
    async with stage.http(ito(stage)) as http:
        problem(await http.get(CONTEXT), 404, "forbidden_or_missing")
        assert (await http.get(CONTEXT, headers=GLASS)).status_code == 200
        stage.clock.advance(3599)
        assert (await http.get("/v1/members/M123456/coverage")).status_code == 200
        assert (await http.get("/v1/members/M123456/tasks")).status_code == 200
        problem(await http.get("/v1/members/M200001/context"), 404, "forbidden_or_missing")
        stage.clock.advance(1)
        problem(await http.get(CONTEXT), 404, "forbidden_or_missing")
    assert await stage.audit() == [
        ("C002", "context.read", "refused", "M123456", "forbidden_or_missing"),
        ("C002", "break_glass", "allowed", "M123456", REASON),
        ("C002", "context.read", "allowed", "M123456", "break_glass"),
        ("C002", "coverage.read", "allowed", "M123456", "break_glass"),
        ("C002", "context.read", "refused", "M200001", "forbidden_or_missing"),
        ("C002", "context.read", "refused", "M123456", "forbidden_or_missing"),
    ]


async def test_it_opens_whatever_belongs_to_the_member_by_the_things_own_address(stage: Stage) -> None:
    async with stage.http(stage.member()) as member:
        session = await opened(member)
        request = await submitted(member, session)
        coverage = await stage.succeed(request)
    request_path = f"/v1/service-requests/{request['service_request_id']}"
    paths = (
        f"/v1/sessions/{session['session_id']}",
        request_path,
        f"{request_path}/result",
        f"/v1/tasks/{request['tasks'][0]['task_id']}",
        f"/v1/coverages/{coverage}",
        "/v1/members/M123456/sessions/active",
    )
    async with stage.http(ito(stage)) as http:
        for path in paths:
            problem(await http.get(path), 404, "forbidden_or_missing")
        for path in paths:
            assert (await http.get(path, headers=GLASS)).status_code == 200, path
        for path in paths:
            assert (await http.get(path)).status_code == 200, path
    broken = [row for row in await stage.audit() if row[1] == "break_glass"]
    assert broken == [("C002", "break_glass", "allowed", "M123456", REASON)] * len(paths)


async def test_what_does_not_exist_is_missing_as_ever_and_nothing_is_opened(stage: Stage) -> None:
    async with stage.http(ito(stage)) as http:
        plain = await http.get("/v1/sessions/sess_none")
        for path in ("/v1/members/nobody/context", "/v1/sessions/sess_none", "/v1/tasks/task_none", "/v1/coverages/cov_none"):
            answer = await http.get(path, headers=GLASS)
            problem(answer, 404, "forbidden_or_missing")
            assert answer.content == plain.content
    assert await stage.store.read(lambda reader: reader.all("SELECT * FROM break_glass")) == []
    assert (await stage.audit())[1:3] == [
        ("C002", "break_glass", "refused", "nobody", REASON),
        ("C002", "context.read", "refused", "nobody", "forbidden_or_missing"),
    ]
    assert [row[2] for row in await stage.audit() if row[1] == "break_glass"] == ["refused"] * 4


async def test_a_member_without_accounts_is_a_member(stage: Stage) -> None:
    await stage.store.run(lambda tx: tx.execute(A_MEMBER_WITHOUT_ACCOUNTS))
    async with stage.http(ito(stage)) as http:
        problem(await http.get("/v1/members/NEW1/context"), 404, "forbidden_or_missing")
        assert (await http.get("/v1/members/NEW1/context", headers=GLASS)).status_code == 200


async def test_acts_stay_refused(stage: Stage) -> None:
    async with stage.http(stage.member()) as member, stage.http(ito(stage)) as http:
        session = await opened(member)
        request = await submitted(member, session)
        path = f"/v1/sessions/{session['session_id']}"
        assert (await http.get(path, headers=GLASS)).status_code == 200
        for act, body in (
            (f"{path}/participants", {"staff_id": "C002"}),
            (f"{path}/heartbeat", {"active": True}),
            (f"{path}/end", {}),
            (f"{path}/service-requests", {"service": "RTE"}),
            (f"/v1/service-requests/{request['service_request_id']}/cancel", {}),
        ):
            problem(await http.post(act, json=body, headers=GLASS), 404, "forbidden_or_missing")
        assert pointers(await http.post("/v1/sessions", json={**APP, "member_id": "M123456"}, headers=GLASS)) == {"/member_id"}
    assert (await stage.events()).count("session.created") == 1
    assert ("break_glass", "refused") not in {row[1:3] for row in await stage.audit()}, "these calls ask for no glass"


@pytest.mark.parametrize("role", ["member", "care_team", "service", "admin"])
async def test_nobody_but_a_clinician_may_and_the_attempt_is_on_record(stage: Stage, role: str) -> None:
    token = {"member": stage.member("M200001", "A200001"), "care_team": dana(stage)}.get(role) or stage.token(role)
    async with stage.http(token) as http:
        problem(await http.get(CONTEXT, headers=GLASS), 403, "forbidden")
    assert [row[1:] for row in await stage.audit()] == [
        ("break_glass", "refused", "M123456", REASON),
        ("context.read", "refused", "M123456", "forbidden"),
    ]


async def test_an_attempt_without_a_reason_worth_keeping_is_on_record_too(stage: Stage) -> None:
    async with stage.http(dana(stage)) as http:
        problem(await http.get(CONTEXT, headers={"Break-Glass-Reason": "%"}), 403, "forbidden")
    assert [row[1:] for row in await stage.audit()] == [
        ("break_glass", "refused", "M123456", "forbidden"),
        ("context.read", "refused", "M123456", "forbidden"),
    ]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "%20",
        "%",
        "%4",
        "%zz",
        "100%",
        "%ff",
        "%c3%28",
        "a%00b",
        "a%0Ab",
        "%ed%a0%80",
        "%e2%80%ae",
        "%cc%81",
        "x" * 1001,
        quote("ä" * 1001),
    ],
    ids=lambda value: value[:12] or "empty",
)
async def test_a_reason_that_is_none_is_refused_at_its_header_and_opens_nothing(stage: Stage, value: str) -> None:
    async with stage.http(ito(stage)) as http:
        answer = await http.get(CONTEXT, headers={"Break-Glass-Reason": value})
        assert pointers(answer) == {"/header/Break-Glass-Reason"}
        problem(await http.get(CONTEXT), 404, "forbidden_or_missing")


async def test_raw_bytes_and_a_second_header_are_no_reason(stage: Stage) -> None:
    async with stage.http(ito(stage)) as http:
        for headers in (
            [(b"Break-Glass-Reason", "nötig".encode())],
            [("Break-Glass-Reason", "a"), ("Break-Glass-Reason", "b")],
        ):
            assert pointers(await http.get(CONTEXT, headers=headers)) == {"/header/Break-Glass-Reason"}


@pytest.mark.parametrize("reason", ["x", "a b", "x" * 1000, "ä" * 1000, "50 % ok", "+", "漢字"], ids=lambda value: value[:8])
async def test_any_text_may_be_a_reason(stage: Stage, reason: str) -> None:
    async with stage.http(ito(stage)) as http:
        assert (await http.get(CONTEXT, headers={"Break-Glass-Reason": quote(reason)})).status_code == 200
    assert (await stage.audit())[0][4] == reason


async def test_who_has_a_relationship_and_gives_a_reason_breaks_the_glass_too(stage: Stage) -> None:
    """They may know that the relationship is about to end."""
    async with stage.http(stage.member()) as member, stage.http(ito(stage)) as http:
        session = await opened(member, intent="x")
        path = f"/v1/sessions/{session['session_id']}"
        await member.post(f"{path}/participants", json={"staff_id": "C002"})
        assert (await http.get(CONTEXT, headers=GLASS)).status_code == 200
        assert (await stage.audit())[-1] == ("C002", "context.read", "allowed", "M123456", None)
        await member.post(f"{path}/end")
        assert (await http.get(CONTEXT)).status_code == 200
        assert (await stage.audit())[-1] == ("C002", "context.read", "allowed", "M123456", "break_glass")


async def test_calls_that_read_nothing_of_a_member_heed_no_reason(stage: Stage) -> None:
    async with stage.http(ito(stage)) as http:
        assert (await http.get("/v1/services", headers=GLASS)).status_code == 200
        assert (await http.get("/v1/tasks", headers=GLASS)).status_code == 200
    assert "break_glass" not in {row[1] for row in await stage.audit()}


async def test_the_reason_stays_in_the_audit(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    async with stage.http(ito(stage)) as http:
        answer = await http.get(CONTEXT, headers=GLASS)
    assert REASON not in answer.text
    said = capfd.readouterr()
    assert REASON not in said.out + said.err
    bodies = await stage.store.read(lambda reader: reader.all("SELECT full_body FROM outbox"))
    assert not any(REASON.encode() in body for (body,) in bodies)
