"""A change of a contract that would break who relies on it is found and said; an addition is none."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_platform.api import published_contracts
from session_platform.contract import breaking
from session_platform.contract.breaking import Way
from tests.contract.published import contract

Change = Callable[[dict[str, Any]], Any]
SESSION = ("paths", "/v1/sessions/{session_id}", "get")
OPEN = ("paths", "/v1/sessions", "post")
TASKS = ("paths", "/v1/members/{member_id}/tasks", "get")


def at(*steps: str | int) -> Callable[[dict[str, Any]], Any]:
    def reach(document: dict[str, Any]) -> Any:
        place: Any = document
        for step in steps:
            place = place[step]
        return place

    return reach


def without(*steps: str | int) -> Change:
    return lambda document: at(*steps[:-1])(document).pop(steps[-1])


def with_value(value: Any, *steps: str | int) -> Change:
    return lambda document: at(*steps[:-1])(document).update({steps[-1]: value})


def shape(name: str, *steps: str) -> tuple[str, ...]:
    return ("components", "schemas", name, *steps)


def told(name: str, change: Change) -> list[str]:
    """What the change to this build's contract would break."""
    before = contract(name)
    now = copy.deepcopy(before)
    change(now)
    if name == "openapi":
        return breaking.of_openapi(before, now)
    return breaking.of_asyncapi(before, now) if name == "asyncapi" else breaking.of_schema(before, now, breaking.way_of(name))


@pytest.mark.parametrize("name", sorted(published_contracts()))
def test_no_contract_breaks_itself(name: str) -> None:
    assert told(name, lambda document: None) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(*SESSION), "GET /v1/sessions/{session_id} is gone."),
        (
            without(*shape("SessionView", "properties", "state")),
            "GET /v1/sessions/{session_id}: answer 200: /state is gone.",
        ),
        (
            lambda document: at(*shape("SessionView", "required"))(document).remove("state"),
            "GET /v1/sessions/{session_id}: answer 200: /state may now be absent.",
        ),
        (
            with_value({"type": "integer"}, *shape("SessionView", "properties", "session_id")),
            "GET /v1/sessions/{session_id}: answer 200: /session_id may now be integer, before only string.",
        ),
        (
            with_value({"type": ["string", "null"]}, *shape("SessionView", "properties", "session_id")),
            "GET /v1/sessions/{session_id}: answer 200: /session_id may now be null, before only string.",
        ),
        (
            lambda document: at(*shape("SessionChannel", "enum"))(document).remove("ATHENA"),
            "POST /v1/sessions: body: /channel may no longer be ATHENA.",
        ),
        (
            without(*shape("SessionToOpen", "properties", "intent")),
            "POST /v1/sessions: body: /intent is gone.",
        ),
        (
            lambda document: at(*shape("SessionToOpen", "required"))(document).append("device_id"),
            "POST /v1/sessions: body: /device_id is required now.",
        ),
        (
            without(*OPEN, "requestBody", "content", "application/json"),
            "POST /v1/sessions: it takes no application/json any more.",
        ),
        (without(*OPEN, "responses", "201"), "POST /v1/sessions: it answers no 201 any more."),
        (
            lambda document: at(*TASKS, "parameters")(document).pop(),
            "GET /v1/members/{member_id}/tasks: parameter page_token (query) is gone.",
        ),
        (
            lambda document: at(*TASKS, "parameters")(document).append(
                {"name": "x", "in": "query", "required": True, "schema": {"type": "string"}}
            ),
            "GET /v1/members/{member_id}/tasks: parameter x (query) is required now.",
        ),
        (
            with_value(1, *TASKS, "parameters", -2, "schema", "maximum"),
            "GET /v1/members/{member_id}/tasks: parameter limit (query): the whole is bounded by maximum 1, before 500.",
        ),
        (with_value([{"token": []}], "paths", "/healthz", "get", "security"), "GET /healthz: it needs a token now."),
        (
            with_value(True, "paths", "/v1/sessions/{session_id}/end", "post", "requestBody", "required"),
            "POST /v1/sessions/{session_id}/end: a body is required now.",
        ),
        (
            lambda document: at("paths", "/metrics", "get", "responses", "200", "content")(document).update(
                {"text/html": at("paths", "/metrics", "get", "responses", "200", "content")(document).pop("text/plain")}
            ),
            "GET /metrics: its answer 200 is no text/plain any more.",
        ),
    ],
)
def test_a_breaking_change_of_a_call_is_said(change: Change, said: str) -> None:
    sentences = told("openapi", change)
    assert said in sentences, sentences


@pytest.mark.parametrize(
    "change",
    [
        with_value({"get": {"operationId": "x", "responses": {"200": {"description": ""}}}}, "paths", "/v1/new"),
        with_value({"type": "string"}, *shape("SessionView", "properties", "new")),
        with_value({"type": "string"}, *shape("SessionToOpen", "properties", "new")),
        lambda document: at(*shape("SessionChannel", "enum"))(document).append("NEW"),
        lambda document: at(*shape("SessionView", "required"))(document).append("new"),
        lambda document: at(*TASKS, "parameters")(document).append({"name": "x", "in": "query", "schema": {"type": "string"}}),
        without(*SESSION, "responses", "404"),
        with_value(999, *TASKS, "parameters", -2, "schema", "maximum"),
        lambda document: at("paths")(document).update(
            {"/v1/sessions/{id}": at("paths")(document).pop("/v1/sessions/{session_id}")}
        ),
    ],
)
def test_an_addition_to_a_call_breaks_nothing(change: Change) -> None:
    assert told("openapi", change) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("channels", "sessions.task.completed"), "Channel sessions.task.completed is gone."),
        (without("channels", "gateway", "messages", "client.ack"), "Channel gateway: message client.ack is gone."),
        (
            with_value(7, "channels", "sessions.task.completed", "bindings", "kafka", "partitions"),
            "Channel sessions.task.completed: 7 partitions instead of 100: keys move, and order is lost meanwhile.",
        ),
        (
            with_value("member_id", "channels", "sessions.task.completed", "x-key"),
            "Channel sessions.task.completed: records are keyed by member_id and no more by task_id: their order changes.",
        ),
        (
            with_value(
                3_600_000, "channels", "sessions.task.completed", "bindings", "kafka", "topicConfiguration", "retention.ms"
            ),
            "Channel sessions.task.completed: records are kept 1 hours and no more 720.",
        ),
        (without(*shape("Connected", "properties", "flags")), "gateway, server.connected: /flags is gone."),
        (
            lambda document: at(*shape("Subscribe", "required"))(document).append("cursor"),
            "gateway, client.subscribe: /cursor is required now.",
        ),
        (
            lambda document: at(*shape("Subscribe", "properties", "subscription", "anyOf"))(document).pop(0),
            "gateway, client.subscribe: /subscription: the variant SessionScope is gone.",
        ),
        (
            without(*shape("TaskCompletedEventDelivered", "properties", "outcome")),
            "gateway, server.event: /event/data/outcome is gone.",
        ),
    ],
)
def test_a_breaking_change_of_a_frame_or_topic_is_said(change: Change, said: str) -> None:
    assert said in told("asyncapi", change)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("task.completed", without("$defs", "TaskCompletedEvent", "properties", "task_type"), "/task_type is gone."),
        (
            "task.completed",
            lambda document: at("$defs", "TaskOutcome", "enum")(document).remove("CANCELED"),
            "/outcome may no longer be CANCELED.",
        ),
        (
            "task.completed",
            lambda document: at("$defs", "TaskCompletedEvent", "required")(document).append("outcome"),
            "/outcome is required now.",
        ),
        ("event.delivered", lambda document: document["oneOf"].pop(), "the whole: the variant without a name is gone."),
        (
            "event.published",
            without("$defs", "CoverageDetailsPublished", "properties", "payer_id"),
            "/data/coverage/payer_id is gone.",
        ),
        (
            "coverage.updated",
            with_value({"type": "string"}, "$defs", "CoverageDetails", "properties", "benefits", "items"),
            "/coverage/benefits/* may no longer be object.",
        ),
    ],
)
def test_a_breaking_change_of_an_event_is_said(name: str, change: Change, said: str) -> None:
    assert said in told(name, change)


def test_what_is_only_sent_may_get_new_values_and_lose_old_ones() -> None:
    before, fewer, more = ({"type": "string", "enum": values} for values in (["A", "B"], ["A"], ["A", "B", "C"]))
    for now in (fewer, more):
        assert breaking.of_schema(before, now, Way.SENT) == []
    assert breaking.of_schema(before, more, Way.TAKEN) == []
    assert breaking.of_schema(before, fewer, Way.TAKEN) == ["the whole may no longer be B."]


def test_a_schema_that_contains_itself_is_compared_to_its_end() -> None:
    def tree(**more: Any) -> dict[str, Any]:
        node = {"type": "object", "properties": {"value": {"type": "string"}, "next": {"$ref": "#/$defs/Node"}, **more}}
        return {"$ref": "#/$defs/Node", "$defs": {"Node": node}}

    assert breaking.of_schema(tree(), tree(extra={"type": "string"}), Way.SENT) == []
    assert breaking.of_schema(tree(extra={"type": "string"}), tree(), Way.SENT) == ["/extra is gone.", "/next/extra is gone."]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_whichever_field_of_an_event_goes_is_missed(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(set(published_contracts()) - {"openapi", "asyncapi"})))
    definitions = contract(name)["$defs"]
    owner = data.draw(st.sampled_from(sorted(each for each in definitions if "properties" in definitions[each])))
    sent = sorted(field for field, schema in definitions[owner]["properties"].items() if schema is not False)
    field = data.draw(st.sampled_from(sent))
    sentences = told(name, without("$defs", owner, "properties", field))
    assert any(f"/{field} is gone." in each or "the variant" in each for each in sentences)
