"""What we send and read, against the clearinghouse's own shapes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.clock import ManualClock
from session_platform.contract import CoverageStatus, Money
from session_platform.eligibility import FAILURES, coverage, wire
from session_platform.eligibility.clearinghouse import _refusal
from session_platform.eligibility.reading import NoCoverage, read
from tests.eligibility import stedi
from tests.eligibility.insured import Person

UNTYPED: dict[tuple[type, str], type[msgspec.Struct]] = {
    (wire.Answer, "payer"): wire.Payer,
    (wire.Answer, "subscriber"): wire.Patient,
    (wire.Answer, "plans"): wire.Plan,
    (wire.Answer, "errors"): wire.PayerError,
    (wire.Benefits, "statuses"): wire.Status,
    (wire.Benefits, "coPayment"): wire.Benefit,
    (wire.Benefits, "coInsurance"): wire.Benefit,
    (wire.Benefits, "deductible"): wire.Benefit,
    (wire.Benefits, "outOfPocket"): wire.Benefit,
}
"""What stands behind the fields that are read entry by entry."""
NOT_EVERYWHERE = {
    ("ELIGIBILITY_CHECK_ELIGIBILITY_AND_BENEFIT_DATE_RANGES", "policy"),
    ("ELIGIBILITY_CHECK_ELIGIBILITY_AND_BENEFIT_DATE_RANGES", "enrollment"),
    ("ELIGIBILITY_CHECK_DEPENDENT", "memberId"),
    ("ELIGIBILITY_CHECK_CO_PAYMENT", "percent"),
    ("ELIGIBILITY_CHECK_DEDUCTIBLE", "percent"),
    ("ELIGIBILITY_CHECK_OUT_OF_POCKET", "percent"),
    ("ELIGIBILITY_CHECK_CO_INSURANCE", "amount"),
}
"""One type of ours reads several shapes: fields that one of them lacks."""
texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=35)


@pytest.fixture(scope="session")
def shapes() -> stedi.Shapes:
    return stedi.shapes()


def test_we_call_the_operation_where_it_is(shapes: stedi.Shapes) -> None:
    assert shapes[stedi.OPERATION].traits["http"] == {"method": "POST", "uri": wire.PATH, "code": 200}


@given(first=texts, last=texts, member_id=texts.filter(lambda text: len(text) != 1))
def test_whatever_the_directory_holds_the_request_is_of_their_shape(first: str, last: str, member_id: str) -> None:
    provider = wire.Provider(name=wire.ProviderName(organization="Clinic"), npi="1999999984")
    sent = wire.encode(wire.question(Person(first_name=first, last_name=last, member_id_at_payer=member_id), provider))
    assert stedi.shapes().problems(stedi.REQUEST, json.loads(sent)) == []


def test_every_field_we_read_is_one_of_theirs_with_the_type_we_expect(shapes: stedi.Shapes) -> None:
    seen: set[tuple[type, str]] = set()
    walk(shapes, wire.Answer, stedi.ANSWER, seen)
    walk(shapes, wire.Patient, "ELIGIBILITY_CHECK_DEPENDENT", seen)
    read_types = {kind for kind in vars(wire).values() if isinstance(kind, type) and issubclass(kind, wire._Read)} - {
        wire._Read
    }
    assert {kind for kind, _ in seen} == read_types


def walk(shapes: stedi.Shapes, ours: type[msgspec.Struct], theirs: str, seen: set[tuple[type, str]]) -> None:
    if (ours, theirs) in seen:
        return
    seen.add((ours, theirs))
    info = msgspec.inspect.type_info(ours)
    assert isinstance(info, msgspec.inspect.StructType)
    for field in info.fields:
        name = field.encode_name
        if (theirs, name) in NOT_EVERYWHERE:
            assert name not in shapes[theirs].members
            continue
        assert name in shapes[theirs].members, f"{theirs} has no {name}"
        target = shapes[theirs].members[name].target
        kind = shapes[target].kind if shapes.find(target) else target
        if kind == "LIST":
            target = shapes[target].members["member"].target
        inner: type[msgspec.Struct] | None = UNTYPED.get((ours, name)) or struct_in(field.type)
        if inner is not None:
            walk(shapes, inner, target, seen)
        elif (ours, name) != (wire.Answer, "dependent"):
            assert kind in {"STRING", "ENUM"}, f"{theirs}.{name} is no text"


def struct_in(kind: msgspec.inspect.Type) -> type[msgspec.Struct] | None:
    parts = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    return next((part.cls for part in parts if isinstance(part, msgspec.inspect.StructType)), None)


def test_every_value_we_tell_apart_is_one_of_theirs(shapes: stedi.Shapes) -> None:
    assert set(coverage.STATUSES) == shapes.enum("ELIGIBILITY_CHECK_COVERAGE_STATUS")
    assert set(coverage._IN_NETWORK) < shapes.enum("ELIGIBILITY_CHECK_NETWORK_INDICATOR")
    periods = shapes.enum("ELIGIBILITY_CHECK_TIME_PERIOD")
    assert {period for period in coverage._WHOLE_PERIODS if period} | {coverage._REMAINING} <= periods
    assert "STC" in shapes.enum("ELIGIBILITY_CHECK_RESPONSE_SERVICE_CODE_SYSTEM")


def test_each_of_their_errors_is_retryable_here_when_it_is_there(shapes: stedi.Shapes) -> None:
    for name in stedi.ERRORS:
        traits = shapes[name].traits
        assert FAILURES[_refusal(traits["httpError"])].retryable == ("retryable" in traits)


def test_their_own_example_is_understood(shapes: stedi.Shapes) -> None:
    example: dict[str, Any] = next(e for e in shapes[stedi.OPERATION].traits["examples"] if "output" in e)
    assert shapes.problems(stedi.ANSWER, example["output"]) == []
    person = Person(payer_id="61101", member_id_at_payer="HUMANA123")
    found = read(json.dumps(example["output"]).encode(), person, ManualClock().now())
    assert not isinstance(found, NoCoverage)
    assert found.coverage_status is CoverageStatus.ACTIVE
    assert (found.payer_name, found.plan_name, found.group_number) == ("HUMANA", "Humana Gold Plan", "11223344")
    assert (found.effective_date, found.termination_date) == ("2024-01-01", msgspec.UNSET)
    whole_plan = next(b for b in found.benefits if b.service_type_code == "30")
    assert whole_plan.out_of_pocket == Money(amount="8000.00", currency="USD")
    assert whole_plan.in_network is True
