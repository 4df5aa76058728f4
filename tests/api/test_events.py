"""``POST /v1/events`` as a backend meets it, and what its members then read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from session_platform.access import Rights
from session_platform.app.wiring_backends import backends
from session_platform.careflow import assigned as assigned_to
from session_platform.clock import ManualClock
from session_platform.errors import Unavailable
from session_platform.ids import IdMint
from session_platform.sessions import participates
from session_platform.store import Tx
from session_platform.store.sqlite import SqliteStore
from tests.api.stage import Stage, accounts_of, pointers, problem, raised
from tests.ingest.published import (
    BATCH,
    MEMBER,
    OTHER,
    STRUCTURED,
    active,
    assigned,
    body,
    care_plan,
    completed,
    coverage,
    covered,
    created,
    done,
    ended,
    in_progress,
    processing,
    submitted,
)
from tests.protocol_page import blocks

R = TypeVar("R")
EVENTS = "/v1/events"


async def post(http: httpx2.AsyncClient, *events: dict[str, Any]) -> httpx2.Response:
    return await http.post(EVENTS, content=body(*events), headers={"Content-Type": BATCH})


def backend(stage: Stage, name: str = "claims") -> Any:
    return stage.http(stage.token("service", sub=name))


def outcomes(answer: httpx2.Response) -> list[str]:
    assert answer.status_code == 202, answer.text
    return [each["outcome"] for each in answer.json()["events"]]


async def test_a_batch_is_answered_with_what_became_of_each_event(stage: Stage) -> None:
    async with backend(stage) as http:
        first, second = created(), submitted(session_id="s1")
        answer = await post(http, first, second, first, covered())
        assert answer.status_code == 202
        assert answer.json() == {
            "accepted": 3,
            "events": [
                {"source": "/claims/core", "id": first["id"], "outcome": "accepted"},
                {"source": "/claims/core", "id": second["id"], "outcome": "accepted"},
                {"source": "/claims/core", "id": first["id"], "outcome": "duplicate"},
                {"source": "/claims/core", "id": answer.json()["events"][3]["id"], "outcome": "accepted"},
            ],
        }
        assert (await post(http)).json() == {"accepted": 0, "events": []}
        assert outcomes(await post(http, covered())) == ["unchanged"]


async def test_the_example_on_the_protocol_page_happens_as_written(stage: Stage) -> None:
    (_, batch), (_, receipt) = blocks("json batch", "json receipt")
    async with backend(stage, "second-opinion") as http:
        answer = await http.post(EVENTS, content=batch, headers={"Content-Type": BATCH})
    assert (answer.status_code, answer.json()) == (202, json.loads(receipt))


@pytest.mark.parametrize("write", [to_structured, to_binary])
async def test_the_library_of_the_specification_is_understood(stage: Stage, write: Callable[..., Any]) -> None:
    event = care_plan()
    attributes = {name: value for name, value in event.items() if name != "data"} | {"datacontenttype": "application/json"}
    attributes |= {"time": stage.clock.now(), "comexampletenant": "Zoë 🙂"}
    message = write(CloudEvent(attributes, event["data"]), JSONFormat())
    async with backend(stage) as http:
        assert outcomes(await http.post(EVENTS, content=message.body, headers=message.headers)) == ["accepted"]
        assert outcomes(await http.post(EVENTS, content=message.body, headers=message.headers)) == ["duplicate"]
        assert outcomes(await post(http, event)) == ["duplicate"], "one event, whatever it came in"
    told = await stage.store.read(lambda reader: reader.one("SELECT full_body FROM outbox"))
    assert told is not None
    assert json.loads(told[0])["comexampletenant"] == "Zoë 🙂"


async def test_pointers_lead_into_the_message_as_it_was_sent(stage: Stage) -> None:
    async with backend(stage) as http:
        event = care_plan("nobody")
        assert pointers(await post(http, care_plan(), event)) == {"/1/data/member_id"}
        structured = await http.post(EVENTS, content=json.dumps(event), headers={"Content-Type": STRUCTURED})
        assert pointers(structured) == {"/data/member_id"}
        headers = {f"ce-{name}": event[name] for name in ("specversion", "id", "source", "type")}
        binary = await http.post(EVENTS, json=event["data"], headers=headers)
        assert pointers(binary) == {"/data/member_id"}
        binary = await http.post(EVENTS, json={**event["data"], "x": 1}, headers={**headers, "ce-type": "unknown"})
        assert pointers(binary) == {"/header/ce-type"}
        assert pointers(await http.post(EVENTS, json=event["data"])) == {
            *("/header/ce-specversion", "/header/ce-id", "/header/ce-source", "/header/ce-type")
        }
    assert await stage.events() == []


async def test_only_a_service_publishes(stage: Stage) -> None:
    staff = stage.token("clinician", sub="C002", staff_id="C002", name="Dr. Ito")
    for token in (stage.member(), staff, stage.token("admin")):
        async with stage.http(token) as http:
            problem(await post(http, created()), 403, "forbidden")
    async with stage.http() as http:
        problem(await post(http, created()), 401, "unauthenticated")
    assert await stage.events() == []


async def test_a_source_of_another_service_is_forbidden(stage: Stage) -> None:
    async with backend(stage) as claims, backend(stage, "labs") as labs:
        await post(claims, created())
        problem(await post(labs, created("s2")), 403, "forbidden")
        problem(await post(labs, {**created("s2"), "source": "/jarvis/sessions"}), 403, "forbidden")
        assert outcomes(await post(labs, {**created("s2"), "source": "/labs"})) == ["accepted"]


async def test_a_body_has_its_bound_and_its_type(stage: Stage) -> None:
    async with backend(stage) as http:
        large = care_plan(updated_goals=["g" * 100] * 2700)
        problem(await post(http, large), 413, "too_large")
        for content_type in (
            "text/plain",
            "application/cloudevents+avro",
            "application/cloudevents-batch+json; charset=latin-1",
        ):
            answer = await http.post(EVENTS, content=body(created()), headers={"Content-Type": content_type})
            problem(answer, 415, "unsupported_media_type")
        problem(await http.post(EVENTS, content=body(created())), 415, "unsupported_media_type")
        assert pointers(await http.post(EVENTS, content=b"[", headers={"Content-Type": BATCH})) == {""}
        answer = await http.get(EVENTS)
        problem(answer, 405, "method_not_allowed")


async def test_as_many_events_as_a_body_holds_are_one_batch(stage: Stage) -> None:
    plan = care_plan()
    batch = [{**plan, "id": str(number)} for number in range(1000)]
    async with backend(stage) as http:
        assert len(body(*batch)) < 256 * 1024
        answer = await post(http, *batch)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1000)
        assert pointers(await post(http, *batch, {**plan, "id": "x"})) == {""}


async def test_what_a_backend_introduces_is_fully_there_for_its_member(stage: Stage) -> None:
    async with backend(stage) as http, stage.http(stage.member()) as member, stage.http(stage.member(OTHER)) as other:
        await post(
            http,
            created(intent="second_opinion", device_id="phone"),
            submitted(session_id="s1", subject_account_id="A789012", reason="knee"),
            processing(percent=30, estimated_completion_seconds=60),
            assigned(service_request_id="r1", assignee_role="MEMBER", title="Fill in the form"),
            assigned("t2", session_id="s1", assignee_id="C001"),
            covered(),
            care_plan(session_id="s1"),
        )
        session = (await member.get("/v1/sessions/s1")).json()
        assert (session["state"], session["intent"]) == ("WAITING", "second_opinion")
        assert (await member.get("/v1/sessions/active?device_id=phone")).json()["session_id"] == "s1"
        assert (await member.get(f"/v1/members/{MEMBER}/sessions/active")).json()["session_id"] == "s1"
        request = (await member.get("/v1/service-requests/r1")).json()
        assert (request["status"], request["percent_complete"], request["estimated_completion_seconds"]) == (
            "PROCESSING",
            30,
            60,
        )
        tasks = (await member.get(f"/v1/members/{MEMBER}/tasks?status=active&assignee=me")).json()["items"]
        assert [(each["task_id"], each["title"]) for each in tasks] == [("t1", "Fill in the form")]
        context = (await member.get(f"/v1/members/{MEMBER}/context")).json()
        assert [each["session_id"] for each in context["sessions"]] == ["s1"]
        assert [each["service_request_id"] for each in context["service_requests"]] == ["r1"]
        assert {each["task_id"] for each in context["tasks"]} == {"t1", "t2"}
        assert [each["coverage_status"] for each in context["coverage"]] == ["ACTIVE"]
        assert context["timelineseq"] == "00000000000000000007"
        problem(await member.get("/v1/service-requests/r1/result"), 409, "conflict")

        await post(http, active(state="COMPLETING"))
        assert (await member.get("/v1/sessions/s1")).json()["state"] == "COMPLETING"
        await post(http, in_progress(), done(task_result={"a": 1}), completed(result_data={"opinion": "operate"}), ended())
        assert (await member.get("/v1/service-requests/r1/result")).json() == {"opinion": "operate"}
        assert (await member.get("/v1/tasks/t1")).json()["task_result"] == {"a": 1}
        assert (await member.get("/v1/tasks/t2")).json()["service_request_id"] is None
        assert (await member.get("/v1/sessions/s1")).json()["state"] == "ENDED"

        for path in ("sessions/s1", "service-requests/r1", "service-requests/r1/result", "tasks/t1", "tasks/t2"):
            problem(await other.get(f"/v1/{path}"), 404, "forbidden_or_missing")


async def test_a_coverage_is_read_at_its_reference(stage: Stage) -> None:
    async with backend(stage) as http, stage.http(stage.member()) as member:
        await post(http, covered(coverage=coverage(plan_name="Gold")))
        row = await stage.store.read(lambda reader: reader.one("SELECT redacted_body FROM outbox"))
        assert row is not None
        ref = json.loads(row[0])["data"]["coverage_ref"]
        assert (await member.get(ref)).json()["coverage"]["plan_name"] == "Gold"


async def test_no_command_moves_what_a_backend_runs(stage: Stage) -> None:
    stage = stage.with_parts(rights=Rights((participates, assigned_to), accounts_of))
    staff = stage.token("care_team", sub="C001", staff_id="C001", name="Dana Reyes")
    async with backend(stage) as http, stage.http(stage.member()) as member, stage.http(staff) as dana:
        await post(
            http,
            created(),
            submitted(session_id="s1"),
            assigned("t1", service_request_id="r1", assignee_role="MEMBER"),
            assigned("t2", assignee_id="C001"),
            assigned("t3", assignee_role="CARE_TEAM"),
            assigned("t4", assignee_role="SYSTEM"),
        )
        problem(await member.post("/v1/sessions/s1/end"), 409, "conflict")
        problem(await http.post("/v1/sessions/s1/end"), 409, "conflict")
        problem(await member.post("/v1/service-requests/r1/cancel"), 409, "conflict")
        problem(await member.post("/v1/tasks/t1/start"), 409, "conflict")
        problem(await member.post("/v1/tasks/t1/complete", json={"outcome": "SUCCESS", "result": {}}), 409, "conflict")
        problem(await dana.post("/v1/tasks/t2/start"), 409, "conflict")
        problem(await dana.post("/v1/tasks/t3/claim"), 409, "conflict")
        problem(await http.post("/v1/tasks/t4/start"), 409, "conflict")
        assert [each["task_id"] for each in (await dana.get("/v1/tasks?assignee=me")).json()["items"]] == ["t2"]
        queue = [each["task_id"] for each in (await dana.get("/v1/tasks")).json()["items"]]
        assert "t3" not in queue, "nobody may claim it here"

        assert (await member.post("/v1/sessions/s1/heartbeat", json={"active": True})).status_code == 204
        assert (await member.post("/v1/sessions/s1/service-requests", json={"service": "RTE"})).status_code == 202
        assert (await dana.get("/v1/sessions/s1")).status_code == 200, "whose task is open may see the member"
        await post(http, done("t2"))
        problem(await dana.get("/v1/sessions/s1"), 404, "forbidden_or_missing")


async def test_every_call_is_on_record_once(stage: Stage) -> None:
    async with backend(stage) as http, backend(stage, "labs") as labs, stage.http(stage.member()) as member:
        await post(http, created())
        await post(http, care_plan(), care_plan(OTHER))
        await post(http, created())
        await http.post(EVENTS, content=b"{", headers={"Content-Type": STRUCTURED})
        await post(labs, created())
        await post(member, created())
    publish = [each for each in await stage.audit() if each[1] == "events.publish"]
    assert publish == [
        ("claims", "events.publish", "allowed", MEMBER, None),
        ("claims", "events.publish", "allowed", None, None),
        ("claims", "events.publish", "refused", None, "invalid"),
        ("claims", "events.publish", "refused", None, "invalid"),
        ("labs", "events.publish", "refused", None, "forbidden"),
        (MEMBER, "events.publish", "refused", None, "forbidden"),
    ]


async def test_no_answer_repeats_what_was_sent(stage: Stage) -> None:
    secret = "Zq7secret"
    async with backend(stage) as http:
        wrong = created(secret, intent=secret * 40, device_id="", metadata={secret: secret}, account_id=secret)
        for batch in ([wrong], [{**created(), "id": secret, "ext": [secret]}], [completed(secret)], [care_plan(secret)]):
            assert secret not in (await post(http, *batch)).text


async def test_no_session_is_introduced_while_sessions_are_switched_off(stage: Stage) -> None:
    stage.flags["enable-digital-sessions"] = False
    async with backend(stage) as http:
        problem(await post(http, care_plan(), created()), 403, "disabled_by_flag")
        assert outcomes(await post(http, care_plan())) == ["accepted"]


async def test_the_trace_of_the_call_goes_on_in_its_events(stage: Stage) -> None:
    trace, own = (f"00-{digit * 32}-{digit * 16}-01" for digit in "ab")
    async with backend(stage) as http:
        http.headers["traceparent"] = trace
        await post(http, care_plan(), {**care_plan(), "traceparent": own})
    rows = await stage.store.read(lambda reader: reader.all("SELECT full_body FROM outbox ORDER BY id"))
    assert [json.loads(row[0])["traceparent"] for row in rows] == [trace, own]


async def test_posts_at_once_take_each_event_once(stage: Stage) -> None:
    async with backend(stage) as http:
        batch = [created(), submitted(session_id="s1"), completed(), care_plan(OTHER)]
        answers = await asyncio.gather(*(post(http, *batch) for _ in range(6)))
    assert sorted(outcomes(each) for each in answers) == [["accepted"] * 4, *[["duplicate"] * 4] * 5]
    assert len(await stage.events()) == 4


class Dying:
    """A store that commits once more and then is gone, as when the process dies before it answered."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.dies = True

    async def run(self, command: Callable[[Tx], R], /, *timelines: str, traceparent: str | None = None) -> R:
        result = await self._store.run(command, *timelines, traceparent=traceparent)
        if self.dies:
            raise Unavailable
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


async def test_a_batch_whose_answer_was_lost_is_repeated_and_nothing_doubles(stage: Stage) -> None:
    dying = Dying(stage.store)
    ingest = backends(dying, stage.platform.sessions, stage.platform.careflow)
    batch = [created(), submitted(session_id="s1"), completed(result_data={})]
    async with backend(stage.with_parts(ingest=ingest)) as http:
        problem(await post(http, *batch), 503, "unavailable")
        dying.dies = False
        assert outcomes(await post(http, *batch)) == ["duplicate"] * 3
    assert await stage.events() == ["session.created", "service_request.submitted", "service_request.completed"]


async def test_what_was_taken_is_known_after_a_restart(tmp_path: Path, clock: ManualClock) -> None:
    batch = [created(), care_plan()]
    for expected in ("accepted", "duplicate"):
        store = await SqliteStore.open(tmp_path / "data", clock, IdMint())
        async with raised(store, clock) as stage, backend(stage) as http:
            assert outcomes(await post(http, *batch)) == [expected] * 2
            assert await stage.events() == ["session.created", "care_plan.updated"]
        await store.close()
