"""Every refusal: its status, its code, and that it gives nothing away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from session_platform.access import TokenVerifier
from session_platform.api.problems import KINDS
from session_platform.contract.strict_json import DEPTH_MAX
from session_platform.errors import PlatformError, RateLimited, Unavailable
from tests.api.calls import CALLS, OF_A_MEMBER, REQUIRING_BODY, WITH_BODY, Call, name_of
from tests.api.stage import APP, OWN, Stage, opened, pointers, problem, submitted

MISSING = {"session": "sess_none", "request": "sr_none", "task": "task_none", "coverage": "cov_none", "member": "nobody"}
MARKER = "m4rk3r"


async def things_of_a_member(stage: Stage) -> dict[str, str]:
    """Ids of things that exist and are another member's than the asking one's."""
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        request = await submitted(http, session)
        coverage = await stage.succeed(request)
    return {
        "session": session["session_id"],
        "request": request["service_request_id"],
        "task": request["tasks"][0]["task_id"],
        "coverage": coverage,
        "member": "M123456",
    }


@pytest.mark.parametrize("call", OF_A_MEMBER, ids=name_of)
async def test_what_is_foreign_and_what_is_missing_is_answered_with_the_same_bytes(stage: Stage, call: Call) -> None:
    foreign_ids = await things_of_a_member(stage)
    before = await stage.events()
    async with stage.http(stage.member("M200001", "A200001")) as http:
        foreign, missing = await call.send(http, foreign_ids), await call.send(http, MISSING)
    problem(foreign, 404, "forbidden_or_missing")
    assert foreign.content == missing.content
    assert foreign.headers == missing.headers
    assert await stage.events() == before
    assert [row[0:3] for row in await stage.audit()][-2:] == [("M200001", (await stage.audit())[-1][1], "refused")] * 2


@pytest.mark.parametrize("call", CALLS, ids=name_of)
async def test_without_a_valid_token_every_call_is_challenged(stage: Stage, call: Call) -> None:
    expired = stage.token("member", member_id="M123456", account_ids=(OWN,), expires_in_s=1)
    stage.clock.advance(1)
    headers: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": f"Basic {stage.member()}"},
        {"Authorization": stage.member()},
        {"Authorization": f"Bearer {expired}"},
    ]
    async with stage.http() as http:
        for each in headers:
            answer = await call.send(http, MISSING, headers=each)
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        twice = [("Authorization", f"Bearer {stage.member()}")] * 2
        problem(await call.send(http, MISSING, headers=twice), 401, "unauthenticated")
    assert await stage.audit() == []


async def test_the_scheme_of_the_token_is_read_in_any_case(stage: Stage) -> None:
    async with stage.http() as http:
        assert (await http.get("/v1/flags", headers={"Authorization": f"bearer {stage.member()}"})).status_code == 200


@pytest.mark.parametrize("call", CALLS, ids=name_of)
@pytest.mark.parametrize("role", ["service", "admin"])
async def test_a_role_that_may_not_use_a_call_is_told_so_whatever_the_id(stage: Stage, call: Call, role: str) -> None:
    ids = await things_of_a_member(stage)
    async with stage.http(stage.token(role)) as http:
        real, missing = await call.send(http, ids), await call.send(http, MISSING)
    if real.status_code == 403:
        problem(real, 403, "forbidden")
        assert real.content == missing.content
        assert (await stage.audit())[-1][2] == "refused"
        assert (await stage.audit())[-1][4] == "forbidden"
    else:
        works = role == "service" and (call.method == "POST" or call.path.startswith("/v1/tasks"))
        assert call.path in {"/v1/flags", "/v1/services"} or works


@pytest.mark.parametrize("call", OF_A_MEMBER, ids=name_of)
async def test_staff_without_a_relation_learn_nothing(stage: Stage, call: Call) -> None:
    ids = await things_of_a_member(stage)
    async with stage.http(stage.token("clinician", staff_id="C002", name="Ito")) as http:
        foreign, missing = await call.send(http, ids), await call.send(http, MISSING)
    problem(foreign, 404, "forbidden_or_missing")
    assert foreign.content == missing.content


async def test_a_refusal_is_on_record_with_what_was_asked_for_unless_that_is_longer_than_any_id(stage: Stage) -> None:
    async with stage.http(stage.member("M200001", "A200001")) as http:
        for member_id in ("M123456", "x" * 256, "x" * 257):
            problem(await http.get(f"/v1/members/{member_id}/context"), 404, "forbidden_or_missing")
    assert [row[3] for row in await stage.audit()] == ["M123456", "x" * 256, None]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/sessions/", "/v1/nothing", "/docs", "/%00", "/v1/sessions/a/b/c"])
async def test_an_unknown_address_is_a_problem(stage: Stage, path: str) -> None:
    async with stage.http(stage.member()) as http:
        problem(await http.get(path), 404, "forbidden_or_missing")
        problem(await http.options(path), 404, "forbidden_or_missing")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/sessions", "OPTIONS, POST"),
        ("DELETE", "/v1/sessions/sess_1", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v1/services", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("TRACE", "/v1/flags", "GET, HEAD, OPTIONS"),
        ("NONSENSE", "/v1/flags", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(stage: Stage, method: str, path: str, allowed: str) -> None:
    async with stage.http(stage.member()) as http:
        answer = await http.request(method, path)
        problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allowed
        asked = await http.options(path)
        assert (asked.status_code, asked.headers["allow"]) == (204, allowed)


@pytest.mark.parametrize("call", REQUIRING_BODY, ids=name_of)
@pytest.mark.parametrize(
    "media_type", [None, "text/plain", "application/xml", "application/json; charset=latin-1", "application/jsonp"]
)
async def test_a_body_that_is_not_called_json_is_refused(stage: Stage, call: Call, media_type: str | None) -> None:
    headers = {} if media_type is None else {"Content-Type": media_type}
    async with stage.http(stage.member()) as http:
        answer = await call.send(http, MISSING, content=json.dumps(call.body), headers=headers)
    problem(answer, 415, "unsupported_media_type")


async def test_an_optional_body_still_has_to_be_called_json(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        problem(await http.post("/v1/sessions/x/end", content=b"{}"), 415, "unsupported_media_type")


@pytest.mark.parametrize("limit", ["", "0", "501", "-1", "+1", "1.0", "1_0", " 1", "x", "٣", "9" * 5000])
async def test_a_limit_is_a_whole_number_in_digits(stage: Stage, limit: str) -> None:
    async with stage.http(stage.member()) as http:
        assert pointers(await http.get("/v1/services", params={"limit": limit})) == {"/query/limit"}
        assert (await http.get("/v1/services?limit=500")).status_code == 200


async def test_json_may_be_called_so_in_any_case_and_with_its_charset(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        for media_type in ("Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'):
            answer = await http.post("/v1/sessions", content=json.dumps(APP), headers={"Content-Type": media_type})
            assert answer.status_code == 201


async def pieces(count: int) -> AsyncIterator[bytes]:
    """A body without a Content-Length."""
    for _ in range(count):
        yield b" " * 65536


@pytest.mark.parametrize("call", WITH_BODY, ids=name_of)
async def test_a_body_over_256_kib_is_refused_with_a_length_and_without(stage: Stage, call: Call) -> None:
    json_type = {"Content-Type": "application/json"}
    async with stage.http(stage.member()) as http:
        for content in (b" " * (256 * 1024 + 1), pieces(5)):
            problem(await call.send(http, MISSING, content=content, headers=json_type), 413, "too_large")
        lying = {**json_type, "Content-Length": "9" * 5000}
        problem(await call.send(http, MISSING, content=b"{}", headers=lying), 413, "too_large")
        at_the_limit = await call.send(http, MISSING, content=pieces(4), headers=json_type)
        assert pointers(at_the_limit) == {""}


UNREADABLE: dict[str, bytes] = {
    "empty": b"",
    "broken": b'{"type": "APP"',
    "not UTF-8": b'{"type": "\xff"}',
    "UTF-16": '{"type": "APP"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b'{"type": NaN}',
    "Infinity": b'{"type": -Infinity}',
    "beyond a double": b'{"type": 1e999}',
    "beyond 64 bits": b'{"type": 9223372036854775808}',
    "endless digits": b'{"type": ' + b"9" * 10_000 + b"}",
    "half a surrogate pair": b'{"type": "\\ud800"}',
    "half a surrogate pair as a name": b'{"\\udfff": 1}',
    "a name twice": b'{"type": "APP", "type": "APP"}',
    "a name twice deep inside": b'{"metadata": {"a": "1", "a": "2"}}',
    "nested without end": b"[" * 100_000,
    "objects nested without end": b'{"a":' * 40_000,
    "nested and closed": b"[" * 2000 + b"]" * 2000,
    "just too deep": b'{"data":' + b"[" * DEPTH_MAX + b"1" + b"]" * DEPTH_MAX + b"}",
    "single quotes": b"{'type': 'APP'}",
    "two documents": b"{}{}",
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
async def test_a_body_that_is_no_sane_json_is_refused_and_the_platform_lives_on(stage: Stage, raw: bytes) -> None:
    async with stage.http(stage.member()) as http:
        answer = await http.post("/v1/sessions", content=raw, headers={"Content-Type": "application/json"})
        assert pointers(answer) == {""}
        assert (await http.get("/v1/flags")).status_code == 200
    assert await stage.events() == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], {""}),
        ("text", {""}),
        (None, {""}),
        ({}, {"/type", "/channel"}),
        ({**APP, "type": "UNSPECIFIED"}, {"/type"}),
        ({**APP, "type": "app"}, {"/type"}),
        ({**APP, "type": ["APP"]}, {"/type"}),
        ({**APP, "type": None}, {"/type"}),
        ({**APP, "intent": 1}, {"/intent"}),
        ({**APP, "intent": "x" * 257}, {"/intent"}),
        ({**APP, "intent": "\u0000"}, {"/intent"}),
        ({**APP, "metadata": {"a/b~c": 1}}, {"/metadata/a~1b~0c"}),
        ({**APP, "metadata": []}, {"/metadata"}),
        ({**APP, "metadata": {str(n): "" for n in range(65)}}, {"/metadata"}),
        ({**APP, "metadata": {"a": "x" * 20_000}}, {"/metadata"}),
        ({**APP, "device_id": ""}, {"/device_id"}),
        ({**APP, "state": "ENDED"}, {"/state"}),
        ({**APP, "a/b": 1, "~": 1}, {"/a~1b", "/~0"}),
        ({**APP, "x" * 200: 1}, {""}),
        ({**APP, "member_id": ""}, {"/member_id"}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value)[:60],
)
async def test_every_wrong_field_is_named_by_its_pointer(stage: Stage, body: Any, expected: set[str]) -> None:
    async with stage.http(stage.member()) as http:
        answer = await http.post("/v1/sessions", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert pointers(answer) == expected
    assert await stage.events() == []


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        ("/v1/members/M123456/tasks?limit=0", "/query/limit"),
        ("/v1/members/M123456/tasks?limit=501", "/query/limit"),
        ("/v1/members/M123456/tasks?limit=m4rk3r", "/query/limit"),
        ("/v1/members/M123456/tasks?limit=" + "9" * 5000, "/query/limit"),
        ("/v1/members/M123456/tasks?status=m4rk3r", "/query/status"),
        ("/v1/members/M123456/tasks?assignee=m4rk3r", "/query/assignee"),
        ("/v1/members/M123456/tasks?page_token=m4rk3r", "/query/page_token"),
        ("/v1/members/M123456/tasks?page_token=", "/query/page_token"),
        ("/v1/members/M123456/tasks?page_token=%ff%00", "/query/page_token"),
        ("/v1/members/M123456/tasks?page_token=c2VydmljZXMKUlRF", "/query/page_token"),
        ("/v1/services?page_token=" + "A" * 600, "/query/page_token"),
        ("/v1/sessions/active?device_id=" + "x" * 200, "/query/device_id"),
    ],
    ids=lambda value: value[:70],
)
async def test_a_wrong_parameter_is_named_and_not_repeated(stage: Stage, path: str, pointer: str) -> None:
    async with stage.http(stage.member()) as http:
        answer = await http.get(path)
    assert pointers(answer) == {pointer}
    assert MARKER not in answer.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(MARKER) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "type", "channel", "intent", "metadata", "device_id", "member_id", "participants", "active", "reason", "outcome",
    "staff_id", "service", "subject", "priority", "data", "target_role", "target_speciality", "current_call_id",
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(WITH_BODY), body=JSON | st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5))
async def test_whatever_is_submitted_the_answer_is_sane_and_a_refusal_repeats_none_of_it(
    stage: Stage, call: Call, body: Any
) -> None:
    raw = json.dumps(body)
    async with stage.http(stage.member()) as http:
        ids = {**MISSING, "session": (await opened(http))["session_id"]}
        answer = await call.send(http, ids, content=raw, headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 201, 202, 204, 404, 409, 422}
    if answer.status_code >= 400:
        assert MARKER not in answer.text


async def test_every_field_with_a_marker_is_refused_without_the_marker(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        ids = {**MISSING, "session": (await opened(http))["session_id"]}
        for call in WITH_BODY:
            for field in FIELDS:
                for value in (MARKER, [MARKER], {"a": MARKER}, {"a": {"b": [MARKER]}}, f"\u0000{MARKER}", MARKER * 1000):
                    answer = await call.send(http, ids, json={**(call.body or {}), field: value})
                    assert answer.status_code < 500
                    assert answer.status_code < 400 or MARKER not in answer.text


async def test_a_store_that_is_away_says_when_to_try_again_and_a_read_without_its_record_is_not_answered(stage: Stage) -> None:
    ids = await things_of_a_member(stage)
    await stage.store.close()
    async with stage.http(stage.member()) as http:
        for call in CALLS:
            if call.path != "/v1/flags":
                problem(await call.send(http, ids), 503, "unavailable")
    async with stage.http(stage.token("admin")) as http:
        problem(await http.get("/v1/members/M123456/context"), 503, "unavailable")


async def test_an_audit_that_cannot_be_written_keeps_the_answer_back(stage: Stage) -> None:
    ids = await things_of_a_member(stage)

    class ReadOnly:
        read = stage.store.read

        async def run(self, *_: Any, **__: Any) -> Any:
            raise Unavailable

    blocked = stage.with_parts(store=ReadOnly())
    async with blocked.http(blocked.member()) as http:
        for path in (
            "/v1/members/{member}/context",
            "/v1/members/{member}/coverage",
            "/v1/coverages/{coverage}",
            "/v1/service-requests/{request}/result",
            "/v1/tasks/{task}",
            "/v1/members/{member}/tasks",
            "/v1/sessions/sess_none",
        ):
            problem(await http.get(path.format(**ids)), 503, "unavailable")
        assert (await http.get(f"/v1/sessions/{ids['session']}")).status_code == 200


async def test_too_many_requests_are_told_when_to_come_back(stage: Stage) -> None:
    def flags(_: Any) -> dict[str, bool]:
        raise RateLimited(retry_after_s=2.5)

    limited = stage.with_parts(flags=flags)
    async with limited.http(limited.member()) as http:
        answer = await http.get("/v1/flags")
    problem(answer, 429, "rate_limited")
    assert answer.headers["retry-after"] == "3"


async def test_a_fault_of_ours_says_nothing_of_what_it_was(stage: Stage) -> None:
    def flags(_: Any) -> dict[str, bool]:
        raise ZeroDivisionError(MARKER)

    broken = stage.with_parts(flags=flags)
    async with broken.http(broken.member()) as http:
        answer = await http.get("/v1/flags", headers={"Origin": "https://app.example.org"})
    problem(answer, 500, "unavailable")
    assert MARKER not in answer.text
    assert answer.headers["access-control-allow-origin"] == "https://app.example.org"


async def test_without_any_keys_to_verify_with_nobody_is_called_unauthenticated(stage: Stage) -> None:
    class Keyless(TokenVerifier):
        async def authenticate(self, token: str, now: object) -> Any:
            raise Unavailable

    keyless = stage.with_parts(verifier=Keyless())
    async with keyless.http(keyless.member()) as http:
        problem(await http.get("/v1/flags"), 503, "unavailable")


def test_every_error_that_a_call_can_raise_has_its_status() -> None:
    of_the_gateway = {"too_many_subscriptions", "replaced", "connect_timeout", "token_expiring"}
    codes = {each.code for each in descendants(PlatformError)} - of_the_gateway
    assert codes == set(KINDS)


def descendants(error: type[PlatformError]) -> set[type[PlatformError]]:
    return {error}.union(*(descendants(each) for each in error.__subclasses__()))
