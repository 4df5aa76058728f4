"""Health, readiness, figures, keys, and the document of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from joserfc.jwk import OKPKey
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012
from starlette.types import Message

from session_platform.access import KeyRing, TokenVerifier, jwks_at
from session_platform.api import published_contracts
from tests.api.calls import CALLS
from tests.api.stage import DEPENDANT, Stage, opened, problem, submitted


async def test_health_needs_no_token_and_readiness_names_what_is_not_ready(stage: Stage) -> None:
    async with stage.http() as http:
        assert (await http.get("/healthz")).status_code == 200
        assert (await http.get("/readyz")).status_code == 200
        stage.troubles.extend(["The disk is full.", "The log is behind."])
        answer = await http.get("/readyz")
        assert problem(answer, 503, "unavailable")["troubles"] == ["The disk is full.", "The log is behind."]
        assert (await http.get("/healthz")).status_code == 200


async def test_figures_count_by_route_and_never_by_id(stage: Stage) -> None:
    async with stage.http(stage.member()) as http:
        session = await opened(http)
        await http.get(f"/v1/sessions/{session['session_id']}")
        await http.head("/v1/sessions/other")
        await http.get("/v1/unknown/x9y8z7")
        await http.request("X9Y8Z7", "/v1/flags")
        await http.get("/v1/flags?token=x9y8z7")
        answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = set(answer.text.splitlines())
    counted = 'session_platform_http_requests_total{{method="{}",route="{}",status="{}"}} 1.0'
    assert counted.format("POST", "/v1/sessions", 201) in lines
    assert counted.format("GET", "/v1/sessions/{session_id}", 200) in lines
    assert counted.format("HEAD", "/v1/sessions/{session_id}", 404) in lines
    assert counted.format("GET", "unmatched", 404) in lines
    assert counted.format("OTHER", "/v1/flags", 405) in lines
    assert 'session_platform_http_request_seconds_count{route="/v1/sessions"} 1.0' in lines
    for private in (session["session_id"], "x9y8z7", "X9Y8Z7", "M123456"):
        assert private not in answer.text


async def test_a_client_that_went_away_in_mid_body_is_counted_and_changes_nothing(stage: Stage) -> None:
    pieces: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"authorization", f"Bearer {stage.member()}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/sessions", "query_string": b"", "headers": headers}
    await stage.app({**scope, "scheme": "http", "client": ("127.0.0.1", 5)}, receive, send)
    assert sent == []
    assert await stage.events() == []
    async with stage.http() as http:
        assert 'method="POST",route="/v1/sessions",status="499"' in (await http.get("/metrics")).text


async def test_the_public_keys_are_shown_without_their_secrets(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [OKPKey.generate_key("Ed25519", {"kid": "k1"}).as_dict(private=True)]}))
    verifier = TokenVerifier(KeyRing(jwks_at(str(path)), stage.clock))
    await verifier.renew()
    async with stage.http() as plain, (keyed := stage.with_parts(verifier=verifier)).http() as http:
        assert keyed.platform.verifier is verifier
        assert (await plain.get("/.well-known/jwks.json")).json() == {"keys": []}
        (key,) = (await http.get("/.well-known/jwks.json")).json()["keys"]
    assert (key["kid"], key["alg"], key["use"]) == ("k1", "EdDSA", "sig")
    assert "d" not in key


async def document(stage: Stage) -> dict[str, Any]:
    async with stage.http() as http:
        answer = await http.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


async def test_the_document_describes_every_call_and_every_reference_leads_somewhere(stage: Stage) -> None:
    whole = await document(stage)
    assert whole["openapi"].startswith("3.1")
    schemas = whole["components"]["schemas"]
    assert references(whole) <= {f"#/components/schemas/{name}" for name in schemas}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    shapes = {(method.upper(), anonymous(path)) for path, methods in whole["paths"].items() for method in methods}
    assert {(call.method, anonymous(call.path)) for call in CALLS} <= shapes
    identifiers = [operation["operationId"] for methods in whole["paths"].values() for operation in methods.values()]
    assert len(identifiers) == len(set(identifiers))


async def test_the_document_says_of_every_call_whether_it_needs_a_token_and_how_it_refuses(stage: Stage) -> None:
    whole = await document(stage)
    assert whole["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for path, methods in whole["paths"].items():
        for operation in methods.values():
            assert operation["security"] == ([{"token": []}] if path.startswith("/v1/") else [])
            assert {"400", "403", "default"} <= operation["responses"].keys()
            assert ("401" in operation["responses"]) == path.startswith("/v1/")
            for status, answer in operation["responses"].items():
                if status == "default" or int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"]
            if "requestBody" in operation:
                assert {"408", "413", "415", "422"} <= operation["responses"].keys()
                assert "application/json" in operation["requestBody"]["content"]


async def test_every_published_contract_is_served_and_valid(stage: Stage) -> None:
    OpenAPIV31SpecValidator(await document(stage)).validate()
    async with stage.http() as http:
        assert (await http.get("/asyncapi.json")).json()["asyncapi"] == "3.0.0"
        index = (await http.get("/schemas.json")).json()["schemas"]
        assert len(index) == len(published_contracts()) - 2
        for entry in index:
            answer = await http.get(entry["href"])
            assert answer.headers["content-type"] == "application/schema+json"
            assert (answer.json()["$id"].rpartition(":")[2], answer.json()["title"]) == (entry["name"], entry["title"])
        problem(await http.get("/schemas/none.json"), 404, "forbidden_or_missing")
        problem(await http.get("/schemas/..%2fasyncapi.json"), 404, "forbidden_or_missing")


async def test_an_answer_that_names_a_thing_leads_to_the_calls_about_it(stage: Stage) -> None:
    paths = (await document(stage))["paths"]
    opened = paths["/v1/sessions"]["post"]["responses"]["201"]["links"]
    assert opened["end_session"] == {
        "operationId": "end_session",
        "parameters": {"session_id": "$response.body#/session_id"},
    }
    assert {"read_session", "submit_service_request", "read_context"} <= opened.keys()
    assert "read_service_request" not in opened
    listed = paths["/v1/members/{member_id}/tasks"]["get"]["responses"]["200"]["links"]
    assert listed["read_task"]["parameters"] == {"task_id": "$response.body#/items/0/task_id"}


def anonymous(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def schema_of(whole: dict[str, Any], method: str, path: str, status: int) -> str:
    """Where in the document the schema of that answer stands."""
    (template,) = [template for template in whole["paths"] if anonymous(template) == anonymous(path)]
    (media_type,) = whole["paths"][template][method.lower()]["responses"][str(status)]["content"]
    steps = ["paths", template, method.lower(), "responses", str(status), "content", media_type, "schema"]
    return "".join("/" + quote(step.replace("~", "~0").replace("/", "~1")) for step in steps)


@pytest.mark.parametrize("outcome", ["running", "succeeded", "failed"])
async def test_answers_are_what_the_document_says(stage: Stage, outcome: str) -> None:
    whole = await document(stage)
    registry: Registry[Any] = Registry().with_resource("urn:document", DRAFT202012.create_resource(whole))
    async with stage.http(stage.member()) as http:
        session = await opened(http, metadata={"a": "b"}, intent="x")
        request = await submitted(http, session, subject=DEPENDANT)
        ids = {
            "session": session["session_id"],
            "request": request["service_request_id"],
            "member": "M123456",
            "coverage": "none",
        }
        ids["task"] = request["tasks"][0]["task_id"]
        if outcome == "succeeded":
            ids["coverage"] = await stage.succeed(request)
        elif outcome == "failed":
            await stage.fail(request)
        checked = 0
        # What ends something comes last.
        for call in sorted(CALLS, key=lambda call: call.path.endswith(("/cancel", "/end"))):
            answer = await call.send(http, ids)
            if answer.status_code == 204:
                continue
            schema = schema_of(whole, call.method, call.path, answer.status_code)
            Draft202012Validator({"$ref": f"urn:document#{schema}"}, registry=registry).validate(answer.json())
            checked += answer.status_code < 400
        assert checked >= len(CALLS) - 7, "of a task that the platform does itself, a member makes no move"
