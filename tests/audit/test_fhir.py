"""Every record as a FHIR R4 AuditEvent: valid against the model, and with what BALP's profiles require.

What BALP 1.1.3 says of each profile stands below as data, written off its structure definitions.
"""

from __future__ import annotations

import base64
import json
from typing import Any, NamedTuple

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from hypothesis import given
from hypothesis import strategies as st

from session_platform.access.audit import Period, fhir_lines
from session_platform.access.audit.chain import Entry
from session_platform.access.audit.fhir import PROFILES, audit_event
from session_platform.clock import ManualClock
from session_platform.store.sqlite import SqliteStore
from tests.audit.chains import entry
from tests.audit.records import note, sealed

DCM = "http://dicom.nema.org/resources/ontology/DCM"
PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
SOURCE, DESTINATION = (DCM, "110153"), (DCM, "110152")
RECIPIENT = {(PARTICIPATION, "IRCP")}
WRITERS = {(PARTICIPATION, code) for code in ("AUT", "INF", "CST")}


class Profile(NamedTuple):
    """Fixed values and slices of a profile."""

    action: str
    subtypes: set[str]
    client: tuple[str, str]
    server: tuple[str, str]
    users: set[tuple[str, str]]
    query: bool = False


PROFILE = {
    "Read": Profile("R", {"read", "vread"}, DESTINATION, SOURCE, RECIPIENT),
    "Query": Profile("E", {"search", "search-type", "search-system"}, SOURCE, DESTINATION, RECIPIENT, query=True),
    "Create": Profile("C", {"create"}, SOURCE, DESTINATION, WRITERS),
    "Update": Profile("U", {"update", "patch"}, SOURCE, DESTINATION, WRITERS),
}
ACTIONS = {
    "context.read": "Read",
    "coverage.read": "Read",
    "result.read": "Read",
    "session.read": "Read",
    "timeline.subscribe": "Query",
    "audit.read": "Query",
    "session.create": "Create",
    "service_request.submit": "Create",
    "events.publish": "Create",
    "session.end": "Update",
    "session.join": "Update",
    "service_request.cancel": "Update",
    "task.claim": "Update",
    "panel.put": "Update",
    "panel.delete": "Update",
}


def only(things: list[dict[str, Any]], system: str, code: str) -> dict[str, Any]:
    """The one of ``things`` whose type is that code."""
    found = [each for each in things if (system, code) in codes(each["type"])]
    assert len(found) == 1
    return found[0]


def codes(concept: dict[str, Any]) -> set[tuple[str, str]]:
    """Of a Coding or a CodeableConcept."""
    return {(each["system"], each["code"]) for each in concept.get("coding", [concept])}


def conforms(event: dict[str, Any], name: str, *, patient: bool) -> None:
    """Assert everything that the profile requires."""
    profile = PROFILE[name]
    assert codes(event["type"]) == {("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest")}
    assert all(each["system"] == "http://hl7.org/fhir/restful-interaction" for each in event["subtype"])
    assert {each["code"] for each in event["subtype"]} <= profile.subtypes
    assert event["action"] == profile.action
    assert event["recorded"]
    agents = event["agent"]
    for role in (profile.client, profile.server):
        agent = only(agents, *role)
        assert agent["who"]
        assert agent["network"]
        assert agent["requestor"] is False
        assert "media" not in agent
    users = [agent for agent in agents if codes(agent["type"]) & profile.users]
    assert len(users) == 1
    assert users[0]["requestor"] is True
    assert users[0]["who"]["identifier"]["value"]
    assert not {"media", "network"} & users[0].keys()
    entities = event["entity"]
    thing = only(entities, "http://terminology.hl7.org/CodeSystem/audit-entity-type", "2")
    if profile.query:
        assert codes(thing["role"]) == {("http://terminology.hl7.org/CodeSystem/object-role", "24")}
        assert base64.b64decode(thing["query"], validate=True)
        assert not {"what", "lifecycle", "detail"} & thing.keys()
    else:
        assert thing["role"]["code"] in {"4", "3", "20"}
        assert thing["what"]
    assert not ("name" in thing and "query" in thing), "sev-1"
    if patient:
        person = only(entities, "http://terminology.hl7.org/CodeSystem/audit-entity-type", "1")
        assert codes(person["role"]) == {("http://terminology.hl7.org/CodeSystem/object-role", "1")}
        assert person["what"]["type"] == "Patient"


@pytest.mark.parametrize(("action", "name"), ACTIONS.items(), ids=ACTIONS)
@pytest.mark.parametrize("member_id", ["M123456", None], ids=["patient", "no patient"])
def test_what_was_done_claims_its_profile_and_keeps_it(action: str, name: str, member_id: str | None) -> None:
    event = audit_event(entry(1, action=action, member_id=member_id, session_id="sess_1"))
    AuditEvent.model_validate(event)
    prefix = "" if member_id is None else "Patient"
    assert event["meta"]["profile"] == [f"{PROFILES}{prefix}{name}"]
    assert event["outcome"] == "0"
    conforms(event, name, patient=member_id is not None)


@pytest.mark.parametrize(("action", "name"), ACTIONS.items(), ids=ACTIONS)
def test_a_refusal_has_the_same_shape_and_claims_no_profile_of_success(action: str, name: str) -> None:
    event = audit_event(entry(1, action=action, outcome="refused", reason="forbidden_or_missing"))
    AuditEvent.model_validate(event)
    assert "meta" not in event
    assert (event["outcome"], event["outcomeDesc"]) == ("4", "forbidden_or_missing")
    conforms(event, name, patient=True)


def test_a_break_glass_is_a_security_alert_with_its_purpose_and_reason() -> None:
    event = audit_event(entry(1, action="break_glass", reason="unconscious in the ER"))
    AuditEvent.model_validate(event)
    assert codes(event["type"]) == {(DCM, "110113")}
    assert codes(event["subtype"][0]) == {(DCM, "110127")}
    btg = ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "BTG")
    assert codes(event["purposeOfEvent"][0]) == {btg}
    assert event["purposeOfEvent"][0]["text"] == "unconscious in the ER"
    assert codes(event["agent"][2]["purposeOfUse"][0]) == {btg}


def test_what_was_read_through_broken_glass_says_so_and_is_still_a_read() -> None:
    event = audit_event(entry(1, action="context.read", reason="break_glass"))
    AuditEvent.model_validate(event)
    conforms(event, "Read", patient=True)
    assert event["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"


def test_a_subscription_through_broken_glass_says_why() -> None:
    event = audit_event(entry(1, action="timeline.subscribe", reason="unconscious in the ER"))
    AuditEvent.model_validate(event)
    conforms(event, "Query", patient=True)
    assert (event["purposeOfEvent"][0]["coding"][0]["code"], event["purposeOfEvent"][0]["text"]) == (
        "BTG",
        "unconscious in the ER",
    )


def test_an_operators_act_says_whom_it_was_about() -> None:
    event = audit_event(entry(1, action="token.revoke", member_id=None, reason="sub user-7, issued before 2026"))
    AuditEvent.model_validate(event)
    assert event["subtype"][0]["code"] == "operation"
    assert event["entity"][0]["description"] == "sub user-7, issued before 2026"


TEXT = st.text(min_size=1, max_size=20)


@given(
    st.builds(
        Entry,
        audit_id=st.from_regex(r"aud_[0-9a-z]{26}", fullmatch=True),
        at=st.just("2026-01-15T10:00:00.000000Z"),
        actor=TEXT,
        action=TEXT | st.sampled_from(sorted(ACTIONS)),
        member_id=st.none() | TEXT,
        session_id=st.none() | TEXT,
        outcome=st.sampled_from(["allowed", "refused"]),
        reason=st.none() | TEXT,
    )
)
def test_any_record_is_a_valid_resource(record: Entry) -> None:
    event = audit_event(record)
    AuditEvent.model_validate(event)
    assert event["recorded"] == record.at


async def test_the_export_is_one_resource_a_line_for_the_time_asked_for(store: SqliteStore, clock: ManualClock) -> None:
    await sealed(store, clock, 4)
    clock.advance(60)
    since = clock.now()
    await sealed(store, clock, 2)
    await note(store)
    lines = await store.read(lambda reader: list(fhir_lines(reader)))
    assert len(lines) == 7
    ids = [AuditEvent.model_validate_json(line).id for line in lines]
    assert len(set(ids)) == 7
    part = await store.read(lambda reader: list(fhir_lines(reader, Period(since=since))))
    assert part == lines[4:]
    assert all(json.loads(line)["resourceType"] == "AuditEvent" for line in part)
