"""Health data never rides a timeline: whatever an event holds, its redacted bytes hold no value of a PHI field and all else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Struct
from msgspec.structs import replace

from session_platform.contract import (
    CATALOGUE,
    CoverageBenefit,
    CoverageDetails,
    CoverageStatus,
    DurableEvent,
    Money,
    ServiceRequestCompletedEvent,
    ServiceRequestSubmittedEvent,
    SessionCreatedEvent,
    redact,
)
from tests.contract.events import DURABLE, any_durable, any_event, sealed

# Written out from the contract's page, not read from the catalogue: forgetting a mark must fail here.
PHI = {
    "session.created": {"metadata"},
    "service_request.completed": {"result_data"},
    "task.completed": {"task_result"},
    "rte.completed": {"coverage"},
    "coverage.updated": {"coverage"},
}
PHI_UNLESS_PUBLIC = {"session.created": {"intent"}, "service_request.submitted": {"reason", "target_speciality"}}
REFS = {
    "service_request.completed": {"result_data": "result_ref"},
    "task.completed": {"task_result": "task_ref"},
    "rte.completed": {"coverage": "coverage_ref"},
    "coverage.updated": {"coverage": "coverage_ref"},
}
MARK = "PLANTED-7f3a"


def test_exactly_these_fields_are_marked() -> None:
    specs = CATALOGUE.values()
    assert {spec.name: set(spec.phi_fields) for spec in specs if spec.phi_fields} == PHI
    assert {spec.name: set(spec.conditional_phi_fields) for spec in specs if spec.conditional_phi_fields} == PHI_UNLESS_PUBLIC
    assert {spec.name: dict(spec.refs) for spec in specs if spec.refs} == REFS


def planted(event: DurableEvent, name: str) -> DurableEvent:
    """The event with marks in every text of every field that may carry health data, and its refs in place."""
    fields: dict[str, Any] = {}
    for field in PHI.get(name, set()) | PHI_UNLESS_PUBLIC.get(name, set()):
        fields[field] = _marked(field)
    for ref in REFS.get(name, {}).values():
        fields[ref] = f"/v1/ref/{ref}"
    return replace(event, **fields)


def _marked(field: str) -> Any:
    if field in PHI["session.created"]:
        return {MARK: "x", "screen": MARK}
    if field in {"result_data", "task_result"}:
        return {MARK: [{"deep": [MARK, 1]}], "coverage": {"plan_name": MARK}}
    if field == "coverage":
        money = Money(amount=MARK, currency=MARK)
        benefit = CoverageBenefit(service_type=MARK, coverage_level=MARK, copay=money, deductible=money)
        return CoverageDetails(
            account_id=MARK,
            coverage_status=CoverageStatus.ACTIVE,
            plan_name=MARK,
            member_id_at_payer=MARK,
            benefits=(benefit,),
        )
    return f"about {MARK}"


@pytest.mark.parametrize("spec", DURABLE, ids=lambda spec: spec.name)
@settings(deadline=None)
@given(data=st.data())
def test_the_redacted_bytes_hold_no_health_data_and_everything_else(spec: Any, data: st.DataObject) -> None:
    event = planted(data.draw(any_event(spec)), spec.name)
    hidden = PHI.get(spec.name, set()) | PHI_UNLESS_PUBLIC.get(spec.name, set())

    got = sealed(event)

    assert MARK.encode() not in got.redacted
    assert (MARK.encode() in got.full) == bool(hidden)
    full, redacted = json.loads(got.full), json.loads(got.redacted)
    expected = {name: value for name, value in full["data"].items() if name not in hidden}
    assert redacted == {**full, "data": expected}
    for ref in REFS.get(spec.name, {}).values():
        assert redacted["data"][ref] == f"/v1/ref/{ref}"


@settings(deadline=None)
@given(any_durable())
def test_of_any_event_only_marked_fields_are_missing(event: DurableEvent) -> None:
    got = sealed(event)
    full, redacted = json.loads(got.full), json.loads(got.redacted)
    missing = full["data"].keys() - redacted["data"].keys()
    assert missing <= PHI.get(got.name, set()) | PHI_UNLESS_PUBLIC.get(got.name, set())
    assert PHI.get(got.name, set()).isdisjoint(redacted["data"])
    assert {name: full["data"][name] for name in redacted["data"]} == redacted["data"]


@settings(deadline=None)
@given(any_durable())
def test_redacting_twice_changes_nothing_more(event: DurableEvent) -> None:
    once = redact(event)
    assert redact(once) is once


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (SessionCreatedEvent(session_id="s", member_id="M1", intent="check_coverage"), "intent"),
        (ServiceRequestSubmittedEvent(service_request_id="r", member_id="M1", reason="verify_coverage"), "reason"),
    ],
)
def test_a_public_code_stays(event: DurableEvent, field: str) -> None:
    assert sealed(event).redacted is sealed(event).full or sealed(event).redacted == sealed(event).full
    assert field in json.loads(sealed(event).redacted)["data"]


@pytest.mark.parametrize("near", ["Check_Coverage", "check_coverage ", "check_coverage\nand more", "", "check"])
def test_only_the_very_code_is_public(near: str) -> None:
    event = SessionCreatedEvent(session_id="s", member_id="M1", intent=near)
    assert redact(event) == SessionCreatedEvent(session_id="s", member_id="M1")


def test_the_operator_says_which_codes_are_public() -> None:
    event = ServiceRequestSubmittedEvent(
        service_request_id="r", member_id="M1", reason="check_coverage", target_speciality="DERMATOLOGY"
    )
    got = json.loads(sealed(event, public_codes=frozenset({"DERMATOLOGY"})).redacted)["data"]
    assert "reason" not in got
    assert got["target_speciality"] == "DERMATOLOGY"


def test_redacting_leaves_the_event_itself_alone() -> None:
    event = ServiceRequestCompletedEvent(service_request_id="r", member_id="M1", result_data={"x": 1})
    redacted = redact(event)
    assert redacted.result_data is UNSET
    assert event.result_data == {"x": 1}
    assert isinstance(redacted, Struct)
