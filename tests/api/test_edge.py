"""What every request passes and every answer takes along: plaintext, tokens in addresses, origins, CORS, HEAD."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest
from fastapi import Request
from starlette.types import Message

from session_platform.access import OriginPolicy, TransportPolicy
from session_platform.api.problems import problem_of
from session_platform.api.reading import bounded
from session_platform.errors import TooSlow
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
        for path in ("/v1/flags", "/openapi.json"):
            assert (await http.get(path, headers=headers)).status_code == status
    if status == 403:
        async with strict.http(client=(client, 5)) as http:
            refused = problem(await http.get("/v1/nothing", headers=headers), 403, "forbidden")
            assert refused["type"] == "urn:session-platform:problem:plaintext_refused"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_a_probe_from_this_machine_or_its_network_may_be_plaintext(stage: Stage, path: str) -> None:
    strict = stage.with_parts(transport=TransportPolicy(trusted_proxies=["10.9.0.0/16"]))
    for client in ("127.0.0.1", "::1", "10.0.0.7", "192.168.1.9", "fd00::7", "::ffff:10.0.0.7"):
        async with strict.http(client=(client, 5)) as http:
            assert (await http.get(path)).status_code == 200
            # Somebody outside, behind a proxy that stands in the same network.
            for name in ("X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via"):
                problem(await http.get(path, headers={name: "203.0.113.4"}), 403, "forbidden")
    for client in ("203.0.113.4", "8.8.8.8", "2001:4860::1", "testclient"):
        async with strict.http(client=(client, 5)) as http:
            problem(await http.get(path), 403, "forbidden")


async def test_a_header_that_says_both_is_not_believed(stage: Stage) -> None:
    strict = stage.with_parts(transport=TransportPolicy(trusted_proxies=["10.0.0.0/8"]))
    async with strict.http(client=("10.0.0.7", 5)) as http:
        twice = [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")]
        problem(await http.get("/v1/flags", headers=twice), 403, "forbidden")


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
            assert problem(answer, 403, "forbidden")["type"] == "urn:session-platform:problem:foreign_origin"
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


async def test_a_server_that_stops_answers_whom_it_waits_for_no_longer(stage: Stage) -> None:
    sent: list[Message] = []
    waiting = asyncio.Event()

    async def receive() -> Message:
        waiting.set()
        return await asyncio.Future()

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {stage.member()}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/sessions", "query_string": b"", "headers": headers}
    request = asyncio.create_task(stage.app({**scope, "scheme": "http", "client": ("127.0.0.1", 5)}, receive, send))
    await waiting.wait()
    request.cancel()
    await request
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]
    assert await stage.events() == []


async def test_a_body_that_does_not_arrive_in_time_is_given_up() -> None:
    async def receive() -> Message:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(), "more_body": True}
        return await asyncio.Future()

    pieces = [b'{"type"']
    with pytest.raises(TooSlow) as raised:
        await bounded(Request({"type": "http", "method": "POST", "headers": []}, receive), within_s=0.01)
    answer = problem_of(raised.value)
    assert (answer.status_code, answer.headers["connection"]) == (408, "close")


async def test_a_compressed_body_is_refused_as_what_it_is(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        body = gzip.compress(b'{"type":"APP","channel":"MX_WEB"}')
        compressed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        refused = problem(await http.post("/v1/sessions", content=body, headers=compressed), 415, "unsupported_media_type")
        assert "Content-Encoding" in refused["detail"]
        plain = {"Content-Type": "application/json", "Content-Encoding": "Identity"}
        assert (await http.post("/v1/sessions", content=json.dumps(APP), headers=plain)).status_code == 201
