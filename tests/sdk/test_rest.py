"""REST: what is safe to repeat is repeated, once, and every refusal has its type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from digital_session import errors
from digital_session._rest import Rest
from digital_session._tokens import Tokens
from tests.sdk.server import answer, problem


class Wire:
    """Answers in order, and what was asked and how long was waited."""

    def __init__(self, *steps: httpx2.Response | Exception) -> None:
        self.steps = list(steps)
        self.requests: list[httpx2.Request] = []
        self.waits: list[float] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def rest(self, tokens: Tokens | None = None) -> Rest:
        transport = httpx2.MockTransport(self)
        return Rest("http://h.example", tokens or Tokens("token", None), lambda: 1.0, transport, self.sleep)


async def test_a_post_is_repeated_with_the_same_key_and_body_after_a_fault_of_server_or_network() -> None:
    wire = Wire(httpx2.ConnectError("refused"), httpx2.ReadTimeout("slow"), problem(503, "unavailable"), answer(201, {"id": 1}))
    assert await wire.rest().post("/v1/sessions", {"type": "APP"}) == {"id": 1}
    assert len({request.headers["Idempotency-Key"] for request in wire.requests}) == 1
    assert {request.read() for request in wire.requests} == {b'{"type":"APP"}'}
    assert wire.waits == [0.25, 0.5, 1.0]


async def test_two_posts_have_two_keys() -> None:
    wire = Wire(answer(201, {}), answer(201, {}))
    rest = wire.rest()
    await rest.post("/v1/sessions", {})
    await rest.post("/v1/sessions", {})
    assert len({request.headers["Idempotency-Key"] for request in wire.requests}) == 2


@pytest.mark.parametrize("status", [409, 429, 503])
async def test_retry_after_is_honoured(status: int) -> None:
    wire = Wire(problem(status, "conflict", Retry_After="3"), answer(200, {}))
    await wire.rest().post("/v1/sessions", {})
    assert wire.waits == [3.0]


async def test_a_wait_longer_than_a_caller_has_is_told_instead() -> None:
    wire = Wire(problem(429, "rate_limited", Retry_After="120"))
    with pytest.raises(errors.RateLimitedError) as caught:
        await wire.rest().get("/v1/flags")
    assert caught.value.retry_after == 120.0
    assert wire.waits == []


async def test_a_platform_that_stays_away_is_given_up() -> None:
    wire = Wire(*[httpx2.ConnectError("refused")] * 6)
    with pytest.raises(errors.UnavailableError) as caught:
        await wire.rest().get("/v1/flags")
    assert isinstance(caught.value.cause, httpx2.ConnectError)
    assert len(wire.waits) == 5


async def test_without_a_bound_it_goes_on_until_there_is_an_answer() -> None:
    wire = Wire(*[problem(500, "unavailable", Retry_After="99")] * 50, answer(200, {"ok": True}))
    assert (await wire.rest().get("/v1/x", tries=None)).ok is True
    assert set(wire.waits) == {99.0}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_request", errors.ValidationError),
        (401, "unauthenticated", errors.AuthenticationError),
        (403, "forbidden", errors.ForbiddenError),
        (403, "disabled_by_flag", errors.ForbiddenError),
        (404, "forbidden_or_missing", errors.NotFoundError),
        (405, "method_not_allowed", errors.ProtocolError),
        (409, "conflict", errors.ConflictError),
        (409, "idempotency_mismatch", errors.ConflictError),
        (413, "too_large", errors.ValidationError),
        (415, "unsupported_media_type", errors.ValidationError),
        (422, "invalid", errors.ValidationError),
        (422, "bad_cursor", errors.ValidationError),
        (429, "rate_limited", errors.RateLimitedError),
        (418, "a_code_of_tomorrow", errors.ProtocolError),
        (404, "a_code_of_tomorrow", errors.NotFoundError),
    ],
)
async def test_every_refusal_has_its_type_and_is_not_repeated(
    status: int, code: str, kind: type[errors.DigitalSessionError]
) -> None:
    wire = Wire(problem(status, code, "what happened"))
    with pytest.raises(kind, match="what happened") as caught:
        await wire.rest().get("/v1/x")
    assert caught.value.code == code
    assert isinstance(caught.value, errors.DigitalSessionError)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7"])
async def test_an_answer_without_a_problem_still_has_its_type(body: bytes) -> None:
    wire = Wire(httpx2.Response(404, content=body))
    with pytest.raises(errors.NotFoundError, match="404"):
        await wire.rest().get("/v1/x")


async def test_a_page_of_something_else_is_a_protocol_error() -> None:
    wire = Wire(httpx2.Response(200, content=b"<html>welcome</html>"))
    with pytest.raises(errors.ProtocolError):
        await wire.rest().get("/v1/x")


async def test_a_refused_token_is_replaced_once() -> None:
    given = iter(["old", "new"])
    wire = Wire(problem(401, "unauthenticated"), answer(200, {}))
    await wire.rest(Tokens(None, lambda: next(given))).get("/v1/x")
    assert [request.headers["Authorization"] for request in wire.requests] == ["Bearer old", "Bearer new"]


@pytest.mark.parametrize("provider", [None, lambda: "token"])
async def test_a_token_that_nobody_can_replace_is_an_authentication_error(provider: Callable[[], str] | None) -> None:
    wire = Wire(problem(401, "unauthenticated"))
    tokens = Tokens(None, provider) if provider else Tokens("token", None)
    with pytest.raises(errors.AuthenticationError):
        await wire.rest(tokens).get("/v1/x")


async def test_a_provider_that_fails_is_told_with_its_cause() -> None:
    def fail() -> Any:
        raise OSError("no network")

    with pytest.raises(errors.UnavailableError) as caught:
        await Wire().rest(Tokens(None, fail)).get("/v1/x")
    assert isinstance(caught.value.cause, OSError)


async def test_an_empty_answer_is_none() -> None:
    assert await Wire(httpx2.Response(204)).rest().post("/v1/x") is None
