"""``GET /v1/audit``: newest first, filtered, in pages that stay put; and reading it is on record."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from session_platform.access import audit
from session_platform.store import Tx
from tests.api.cared import cared, dana
from tests.api.stage import Stage, opened, pointers, problem

FIELDS = ["audit_id", "at", "actor", "action", "member_id", "session_id", "outcome", "reason"]


@pytest.fixture
def stage(stage: Stage) -> Stage:
    return cared(stage)


def admin(stage: Stage) -> str:
    return stage.token("admin", sub="ops", expires_in_s=86_400)


async def note(stage: Stage, count: int, **fields: Any) -> None:
    """``count`` records, a second apart, whose reasons number them."""
    for number in range(count):
        wanted = {"actor": "C001", "action": "context.read", "outcome": "allowed", "reason": str(number), **fields}

        def command(tx: Tx, wanted: dict[str, Any] = wanted) -> None:
            audit.record(tx, **wanted)

        await stage.store.run(command)
        stage.clock.advance(1)


async def listed(http: httpx2.AsyncClient, **query: str | int) -> list[str | None]:
    """The reasons of what a query lists."""
    answer = await http.get("/v1/audit", params=query)
    assert answer.status_code == 200, answer.text
    return [each["reason"] for each in answer.json()["items"] if each["action"] != "audit.read"]


@pytest.mark.parametrize("number", [2**62 + 5, -4])
async def test_no_number_that_somebody_gives_a_record_takes_it_off_the_list(stage: Stage, number: int) -> None:
    """The chain does not say which number a row has."""
    await note(stage, 3, action="hidden")
    sql = "UPDATE audit SET id = :number WHERE action = 'hidden' AND reason = '1'"
    await stage.store.run(lambda tx: tx.execute(sql, number=number))
    seen: list[str] = []
    token: dict[str, str] = {}
    async with stage.http(admin(stage)) as http:
        for _ in range(4):
            answer = await http.get("/v1/audit", params={"action": "hidden", "limit": 1, **token})
            assert answer.status_code == 200, answer.text
            seen += [each["reason"] for each in answer.json()["items"]]
            if answer.json()["next_page_token"] is None:
                break
            token = {"page_token": answer.json()["next_page_token"]}
    assert sorted(seen) == ["0", "1", "2"]


async def test_a_record_has_every_field_and_the_newest_comes_first(stage: Stage) -> None:
    async with stage.http(dana(stage)) as staff, stage.http(admin(stage)) as http:
        session = await opened(staff, member_id="M123456")
        stage.clock.advance(1)
        await staff.get("/v1/sessions/sess_none")
        answer = await http.get("/v1/audit")
    newest, oldest = answer.json()["items"]
    assert list(newest) == FIELDS
    assert (newest["action"], newest["outcome"], newest["reason"]) == ("session.read", "refused", "forbidden_or_missing")
    assert oldest == {
        "audit_id": oldest["audit_id"],
        "at": "2026-01-15T10:00:00Z",
        "actor": "C001",
        "action": "session.create",
        "member_id": "M123456",
        "session_id": session["session_id"],
        "outcome": "allowed",
        "reason": None,
    }
    assert answer.json()["next_page_token"] is None


async def test_that_it_was_read_is_on_record_with_whose_records_were_asked_for(stage: Stage) -> None:
    async with stage.http(admin(stage)) as http:
        assert (await http.get("/v1/audit")).json()["items"] == []
        await http.get("/v1/audit?member_id=M123456")
        again = (await http.get("/v1/audit")).json()["items"]
    assert [(each["actor"], each["action"], each["member_id"]) for each in again] == [
        ("ops", "audit.read", "M123456"),
        ("ops", "audit.read", None),
    ]


async def test_every_filter_chooses_and_all_of_them_together(stage: Stage) -> None:
    await note(stage, 2, member_id="M123456")
    await note(stage, 2, member_id="M200001", actor="C002")
    middle = stage.clock.now().isoformat()
    await note(stage, 2, member_id="M123456", actor="C002", action="coverage.read")
    async with stage.http(admin(stage)) as http:
        assert await listed(http) == ["1", "0"] * 3
        assert await listed(http, member_id="M123456") == ["1", "0", "1", "0"]
        assert await listed(http, actor="C002") == ["1", "0", "1", "0"]
        assert await listed(http, action="coverage.read") == ["1", "0"]
        assert await listed(http, since=middle) == ["1", "0"]
        assert await listed(http, until=middle) == ["1", "0", "1", "0"]
        assert await listed(http, since="2026-01-15T12:00:01+02:00", until="2026-01-15T10:00:02Z") == ["1"]
        assert await listed(http, member_id="M123456", actor="C002", action="coverage.read", since=middle) == ["1", "0"]
        assert await listed(http, member_id="M123456", actor="C001", action="coverage.read") == []
        assert await listed(http, actor="C002", until=middle, action="context.read") == ["1", "0"]
        assert await listed(http, member_id="nobody") == []


@pytest.mark.parametrize("query", [{}, {"member_id": "M123456"}, {"actor": "C001"}], ids=["all", "of a member", "by an actor"])
async def test_pages_hold_every_record_once_while_new_ones_come(stage: Stage, query: dict[str, str]) -> None:
    await note(stage, 10, member_id="M123456")
    found: list[str] = []
    token: str | None = None
    async with stage.http(admin(stage)) as http:
        while True:
            page = (
                await http.get("/v1/audit", params={**query, "limit": 3, **({"page_token": token} if token else {})})
            ).json()
            found += [each["reason"] for each in page["items"]]
            token = page["next_page_token"]
            if token is None:
                break
            # Each page read is itself a new record, and others come as well.
            await note(stage, 2, member_id="M123456", reason="new")
    assert found == [str(number) for number in reversed(range(10))]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=501", "/query/limit"),
        ("page_token=m4rk3r", "/query/page_token"),
        ("page_token=YXVkaXQKLQ", "/query/page_token"),
        ("page_token=YXVkaXQKeA", "/query/page_token"),
        ("since=yesterday", "/query/since"),
        ("since=2026-01-15", "/query/since"),
        ("until=2026-01-15T10:00:00", "/query/until"),
        ("until=1768471200", "/query/until"),
        ("actor=", "/query/actor"),
        ("action=%00", "/query/action"),
        ("member_id=" + "x" * 257, "/query/member_id"),
    ],
    ids=lambda value: value[:40],
)
async def test_a_wrong_parameter_is_named(stage: Stage, query: str, pointer: str) -> None:
    async with stage.http(admin(stage)) as http:
        assert pointers(await http.get(f"/v1/audit?{query}")) == {pointer}


async def test_without_its_own_record_nothing_is_shown(stage: Stage) -> None:
    class ReadOnly:
        read = stage.store.read

        async def run(self, *_: Any, **__: Any) -> Any:
            from session_platform.errors import Unavailable

            raise Unavailable

    await note(stage, 1)
    blocked = stage.with_parts(store=ReadOnly())
    async with blocked.http(admin(stage)) as http:
        problem(await http.get("/v1/audit"), 503, "unavailable")
