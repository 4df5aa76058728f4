"""What every request passes and every answer takes along: plaintext, tokens in addresses, origins, CORS, HEAD."""

from __future__ import annotations

import pytest
from starlette.types import Message

from session_platform.access import OriginPolicy, TransportPolicy
from tests.api.calls import CALLS, Call, name_of
from tests.api.stage import APP, Stage, opened, problem

LISTED = "https://app.example.org"


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {}, 403),
        ("127.0.0.1", {"X-Forwarded-Proto": "https"}, 403),
        ("10.0.0.7", {"X-Forwarded-Proto": "https"}, 200),
        ("10.0.0.7", {"X-Forwarded-Proto": "http"}, 403),
        ("10.0.0.7", {}, 403),
    ],
)
async def test_plaintext_is_refused_unless_a_trusted_proxy_says_that_it_was_https(
    stage: Stage, client: str, headers: dict[str, str], status: int
) -> None:
    strict = stage.with_parts(transport=TransportPolicy(trusted_proxies=["10.0.0.0/8"]), origins=OriginPolicy([]))
    async with strict.http(strict.member(), client=(client, 5)) as http:
        for path in ("/v1/flags", "/healthz"):
            assert (await http.get(path, headers=headers)).status_code == status
    if status == 403:
        async with strict.http(client=(client, 5)) as http:
            problem(await http.get("/v1/nothing", headers=headers), 403, "forbidden")


async def test_a_header_that_says_both_is_not_believed(stage: Stage) -> None:
    strict = stage.with_parts(transport=TransportPolicy(trusted_proxies=["10.0.0.0/8"]))
    async with strict.http(client=("10.0.0.7", 5)) as http:
        twice = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")]
        problem(await http.get("/healthz", headers=twice), 403, "forbidden")


async def test_https_itself_is_never_refused(stage: Stage) -> None:
    strict = stage.with_parts(transport=TransportPolicy())
    async with strict.http(base_url="https://sessions.example.org", client=("192.0.2.1", 5)) as http:
        assert (await http.get("/healthz")).status_code == 200


@pytest.mark.parametrize("call", CALLS, ids=name_of)
async def test_a_token_in_an_address_is_refused_even_beside_a_good_one(stage: Stage, call: Call) -> None:
    token = stage.member()
    path = call.path.format(session="s", request="r", task="t", coverage="c", member="M123456")
    async with stage.http(token) as http:
        for query in ("token=x", "Access_Token=", "AUTHORIZATION=Bearer%20x", f"x={token}", "%6Awt=1"):
            answer = await http.request(call.method, f"{path}?{query}", json=call.body)
            problem(answer, 400, "bad_request")
            assert token not in answer.text
        problem(await http.get(f"/v1/sessions/{token}"), 400, "bad_request")


async def test_a_foreign_origin_is_refused_everywhere_and_learns_nothing(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        for origin in ("https://evil.example", "null", "https://app.example.org.evil.example"):
            answer = await http.post("/v1/sessions", json=APP, headers={"Origin": origin})
            problem(answer, 403, "forbidden")
            preflight = await http.options("/v1/sessions", headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
            problem(preflight, 403, "forbidden")
            for each in (answer, preflight):
                assert not [name for name in each.headers if name.startswith("access-control")]
    assert await stage.events() == []


async def test_a_preflight_from_a_listed_origin_is_told_what_it_may_send(stage: Stage) -> None:
    async with stage.http() as http:
        asked = {"Origin": LISTED, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        answer = await http.options("/v1/sessions", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == LISTED
    allowed = {name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")}
    assert allowed == {
        "authorization", "content-type", "idempotency-key", "last-event-id", "break-glass-reason", "traceparent",
    }  # fmt: skip
    assert {"GET", "POST", "PUT", "DELETE"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_listed_origin_may_read_answers_and_refusals_with_their_retry_after(stage: Stage) -> None:
    async with stage.http(stage.member()) as http, stage.http() as nobody:
        for answer in (
            await http.get("/v1/flags", headers={"Origin": LISTED}),
            await nobody.get("/v1/flags", headers={"Origin": LISTED}),
            await http.get("/v1/nothing", headers={"Origin": "http://localhost:5173"}),
            await http.get("/v1/flags?token=x", headers={"Origin": LISTED}),
        ):
            assert answer.headers["access-control-allow-origin"] in {LISTED, "http://localhost:5173"}
            assert answer.headers["access-control-expose-headers"] == "Retry-After"
            assert "Origin" in answer.headers["vary"]
            assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in (await http.get("/v1/flags")).headers


async def test_head_is_get_without_the_body(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        for path in (f"/v1/sessions/{session['session_id']}", "/healthz", "/v1/sessions/none"):
            got, head = await http.get(path), await http.head(path)
            assert head.status_code == got.status_code
            assert head.headers == got.headers
            assert await sent_for("HEAD", path, stage) == b""
            assert await sent_for("GET", path, stage) == got.content


async def sent_for(method: str, path: str, stage: Stage) -> bytes:
    """The body that the application itself sends: clients and servers of HTTP drop one to HEAD."""
    body = bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        body.extend(message.get("body", b""))

    authorization = (b"authorization", f"Bearer {stage.member()}".encode())
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [authorization]}
    await stage.app({**scope, "scheme": "http", "client": ("127.0.0.1", 5)}, receive, send)
    assert scope["method"] == method
    return bytes(body)
