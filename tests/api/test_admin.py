"""What operators do: panels, revocation, disconnecting. Each act is on record, and nobody else may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from session_platform import directory
from session_platform.clock import ManualClock, to_micros
from session_platform.ids import IdMint
from session_platform.store.sqlite import SqliteStore
from tests.api.calls import Call, name_of
from tests.api.cared import cared, dana, ito
from tests.api.stage import Stage, opened, pointers, problem, raised

PANEL = "/v1/admin/staff/{staff}/panel/{member}"
CALLS = (
    Call("POST", "/v1/admin/members/{member}/disconnect", {}),
    Call("POST", "/v1/admin/tokens/revoke", {"jti": "token-1"}),
    Call("PUT", PANEL),
    Call("DELETE", PANEL),
    Call("GET", "/v1/audit"),
)
IDS = {"staff": "C002", "member": "M123456"}
REVOKED = "SELECT kind, key, issued_before FROM revocation ORDER BY number"


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return cared(stage)


def admin(stage: Stage) -> str:
    return stage.token("admin", sub="ops")


async def panel(http: httpx2.AsyncClient, method: str, staff: str, member: str) -> httpx2.Response:
    return await http.request(method, PANEL.format(staff=staff, member=member))


@pytest.mark.parametrize("call", CALLS, ids=name_of)
async def test_nobody_but_an_admin_may_and_the_attempt_is_on_record(stage: Stage, call: Call) -> None:
    async with stage.http() as http:
        problem(await call.send(http, IDS), 401, "unauthenticated")
    assert await stage.audit() == []
    for token in (stage.member(), dana(stage), ito(stage), stage.token("service")):
        async with stage.http(token) as http:
            real, missing = await call.send(http, IDS), await call.send(http, {"staff": "C999", "member": "nobody"})
            problem(real, 403, "forbidden")
            assert real.content == missing.content
    assert {(row[2], row[4]) for row in await stage.audit()} == {("refused", "forbidden")}
    assert await stage.store.read(lambda reader: reader.all(REVOKED)) == []


@pytest.mark.parametrize("call", CALLS, ids=name_of)
async def test_what_cannot_be_put_on_record_does_not_happen(stage: Stage, call: Call) -> None:
    full = """
    CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END
    """
    await stage.store.run(lambda tx: tx.execute(full))
    async with stage.http(admin(stage)) as http:
        answer = await call.send(http, IDS)
    assert answer.status_code >= 500
    assert await stage.store.read(lambda reader: reader.all(REVOKED)) == []
    assert await stage.store.read(lambda reader: reader.all("SELECT * FROM panel_override")) == []


async def test_a_member_is_put_on_a_panel_and_taken_off_again(stage: Stage) -> None:
    async with stage.http(admin(stage)) as ops, stage.http(ito(stage)) as http:
        problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
        for _ in range(2):
            answer = await panel(ops, "PUT", "C002", "M123456")
            assert (answer.status_code, answer.content) == (204, b"")
        assert (await http.get("/v1/members/M123456/context")).status_code == 200
        for _ in range(2):
            assert (await panel(ops, "DELETE", "C002", "M123456")).status_code == 204
        problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
    records = [row for row in await stage.audit() if row[0] == "ops"]
    assert records == [
        *[("ops", "panel.put", "allowed", "M123456", "staff C002")] * 2,
        *[("ops", "panel.delete", "allowed", "M123456", "staff C002")] * 2,
    ]
    # Only what changed something is a change of rights.
    changes = await stage.store.read(lambda reader: reader.all("SELECT member_id, staff_id FROM right_change"))
    assert changes == [("M123456", "C002")] * 2


async def test_one_member_is_taken_off_a_panel_of_everybody_for_good(
    tmp_path: Path, clock: ManualClock, store: SqliteStore
) -> None:
    async with raised(store, clock) as first:
        stage = cared(first)
        async with stage.http(admin(stage)) as ops, stage.http(dana(stage)) as http:
            assert (await http.get("/v1/members/M123456/context")).status_code == 200
            assert (await panel(ops, "DELETE", "C001", "M123456")).status_code == 204
            problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
            assert (await http.get("/v1/members/M200001/context")).status_code == 200
            assert (await http.get("/v1/members/M42/context")).status_code == 200
    await store.close()
    again = await SqliteStore.open(tmp_path / "store", clock, IdMint())
    async with raised(again, clock) as second:
        # The same seed was applied once more.
        stage = cared(second)
        async with stage.http(admin(stage)) as ops, stage.http(dana(stage)) as http:
            problem(await http.get("/v1/members/M123456/context"), 404, "forbidden_or_missing")
            assert (await panel(ops, "PUT", "C001", "M123456")).status_code == 204
            assert (await http.get("/v1/members/M123456/context")).status_code == 200
    await again.close()


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_an_unknown_staff_member_or_member_is_missing(stage: Stage, method: str) -> None:
    async with stage.http(admin(stage)) as ops:
        answers = [
            await panel(ops, method, *pair) for pair in (("C999", "M123456"), ("C002", "nobody"), ("*", "*"), ("C001", "*"))
        ]
    for answer in answers:
        problem(answer, 404, "forbidden_or_missing")
    assert len({answer.content for answer in answers}) == 1
    assert await stage.store.read(lambda reader: reader.all("SELECT * FROM panel_override")) == []
    assert {(row[2], row[4]) for row in await stage.audit()} == {("refused", "forbidden_or_missing")}


async def test_what_an_admin_said_of_a_panel_stands_although_the_seed_said_the_same(stage: Stage) -> None:
    async with stage.http(admin(stage)) as ops:
        await panel(ops, "PUT", "C001", "M123456")
    await stage.store.run(lambda tx: tx.execute("DELETE FROM panel"))
    assert await stage.store.read(lambda reader: directory.on_panel(reader, "C001", "M123456"))
    assert not await stage.store.read(lambda reader: directory.on_panel(reader, "C001", "M200001"))


async def test_a_revoked_token_ends_at_once_and_another_of_the_same_subject_does_not(stage: Stage) -> None:
    claims: dict[str, Any] = {"member_id": "M123456", "account_ids": ("A789012",)}
    lost = stage.token("member", sub="M123456", jti="token-1", **claims)
    kept = stage.token("member", sub="M123456", jti="token-2", **claims)
    async with stage.http(admin(stage)) as ops, stage.http(lost) as one, stage.http(kept) as other:
        await opened(one)
        for _ in range(2):
            answer = await ops.post("/v1/admin/tokens/revoke", json={"jti": "token-1"})
            assert (answer.status_code, answer.content) == (204, b"")
        problem(await one.get("/v1/flags"), 401, "revoked")
        assert (await other.get("/v1/flags")).status_code == 200
    assert (await stage.audit())[-1] == ("ops", "token.revoke", "allowed", None, "jti token-1")


async def test_a_subjects_earlier_tokens_are_revoked_and_new_ones_hold(stage: Stage) -> None:
    earlier = stage.member()
    stage.clock.advance(10)
    moment = stage.clock.now()
    later = stage.member()
    async with stage.http(admin(stage)) as ops, stage.http(earlier) as one, stage.http(later) as other:
        body = {"sub": "M123456", "issued_before": moment.isoformat()}
        assert (await ops.post("/v1/admin/tokens/revoke", json=body)).status_code == 204
        problem(await one.get("/v1/flags"), 401, "revoked")
        assert (await other.get("/v1/flags")).status_code == 200
    assert await stage.store.read(lambda reader: reader.all(REVOKED)) == [("subject", "M123456", to_micros(moment))]
    assert (await stage.audit())[-1][1:4] == ("token.revoke", "allowed", None)
    assert "sub M123456" in (await stage.audit())[-1][4]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/jti"}),
        ({"sub": "x"}, {"/issued_before"}),
        ({"issued_before": "2026-01-15T10:00:00Z"}, {"/sub"}),
        ({"jti": "x", "sub": "y"}, {"/sub"}),
        ({"jti": "x", "sub": "y", "issued_before": "2026-01-15T10:00:00Z"}, {"/sub", "/issued_before"}),
        ({"jti": ""}, {"/jti"}),
        ({"jti": 1}, {"/jti"}),
        ({"jti": "a\u0000b"}, {"/jti"}),
        ({"jti": "x" * 257}, {"/jti"}),
        ({"sub": "x", "issued_before": "yesterday"}, {"/issued_before"}),
        ({"sub": "x", "issued_before": "2026-01-15"}, {"/issued_before"}),
        ({"sub": "x", "issued_before": "2026-01-15T10:00:00"}, {"/issued_before"}),
        ({"sub": "x", "issued_before": 1768471200}, {"/issued_before"}),
        ({"sub": "x", "issued_before": "9999-12-31T23:59:59-14:00"}, {"/issued_before"}),
        ({"jti": "x", "why": "y"}, {"/why"}),
    ],
    ids=range(15),
)
async def test_a_revocation_names_one_token_or_a_subject_and_a_time(stage: Stage, body: Any, expected: set[str]) -> None:
    async with stage.http(admin(stage)) as ops:
        assert pointers(await ops.post("/v1/admin/tokens/revoke", json=body)) == expected
    assert await stage.store.read(lambda reader: reader.all(REVOKED)) == []


async def test_a_member_is_disconnected_and_may_come_again(stage: Stage) -> None:
    async with stage.http(admin(stage)) as ops, stage.http(stage.member()) as member:
        bodies: tuple[dict[str, Any] | None, ...] = (None, {})
        for body in bodies:
            answer = await ops.post("/v1/admin/members/M123456/disconnect", json=body)
            assert (answer.status_code, answer.content) == (204, b"")
        problem(await ops.post("/v1/admin/members/nobody/disconnect"), 404, "forbidden_or_missing")
        assert (await member.get("/v1/flags")).status_code == 200
    assert await stage.store.read(lambda reader: reader.all(REVOKED)) == [("member", "M123456", None)] * 2
    assert [row[1:4] for row in await stage.audit()] == [
        ("member.disconnect", "allowed", "M123456"),
        ("member.disconnect", "allowed", "M123456"),
        ("member.disconnect", "refused", "nobody"),
    ]
