"""What is refused, where, and in which words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_platform.careflow import SERVICES, Catalogue, NewRequest, load_catalogue
from session_platform.careflow.submission import PROBLEMS_MAX, REASON_MAX_CHARS, accept, schema_problems
from session_platform.contract import AssigneeRole, ServiceRequestPriority
from session_platform.errors import Invalid
from tests.careflow.made_up import FILES, FUNCTIONS

PLAIN = NewRequest(session_id="sess_1", member_id="M1", initiator_id="M1", service="RTE")
PERSON = {"first_name": "Ada", "born": "1985-04-12"}


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    directory: Path = tmp_path_factory.mktemp("services")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    return load_catalogue(SERVICES, directory, functions=FUNCTIONS)


def refused(catalogue: Catalogue, **fields: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        accept(replace(PLAIN, **fields), catalogue)
    return {problem.pointer: problem.detail for problem in error.value.problems}


def test_what_is_left_out_gets_its_default(catalogue: Catalogue) -> None:
    accepted = accept(PLAIN, catalogue)
    assert (accepted.service.code, accepted.priority, accepted.target_role) == ("RTE", ServiceRequestPriority.STANDARD, None)
    assert accepted.data is None


@pytest.mark.parametrize("role", ["clinician", "CLINICIAN", "Clinician"])
def test_a_role_may_be_written_in_any_case(catalogue: Catalogue, role: str) -> None:
    assert accept(replace(PLAIN, target_role=role), catalogue).target_role is AssigneeRole.CLINICIAN


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"service": "NONE"}, "/service"),
        ({"service": "rte"}, "/service"),
        ({"priority": "SOON"}, "/priority"),
        ({"priority": "UNSPECIFIED"}, "/priority"),
        ({"priority": "standard"}, "/priority"),
        ({"target_role": "UNSPECIFIED"}, "/target_role"),
        ({"target_role": ""}, "/target_role"),
        ({"reason": ""}, "/reason"),
        ({"reason": "x" * (REASON_MAX_CHARS + 1)}, "/reason"),
        ({"reason": "a\x00b"}, "/reason"),
        ({"reason": "a\ud800b"}, "/reason"),
        ({"target_speciality": "x" * 201}, "/target_speciality"),
        ({"current_call_id": "x" * 201}, "/current_call_id"),
        ({"data": {"a": 1}}, "/data"),
        ({"data": []}, "/data"),
        ({"data": False}, "/data"),
    ],
)
def test_each_bad_field_is_named(catalogue: Catalogue, fields: dict[str, Any], pointer: str) -> None:
    assert set(refused(catalogue, **fields)) == {pointer}


def test_everything_wrong_is_named_at_once(catalogue: Catalogue) -> None:
    assert set(refused(catalogue, service="NONE", priority="x", target_role="y", reason="")) == {
        "/service",
        "/priority",
        "/target_role",
        "/reason",
    }


def test_the_longest_reason_and_line_breaks_are_taken(catalogue: Catalogue) -> None:
    accept(replace(PLAIN, reason="x" * REASON_MAX_CHARS), catalogue)
    accept(replace(PLAIN, reason="two\nlines\tand a tab"), catalogue)


@pytest.mark.parametrize("data", [None, {}])
def test_a_service_without_data_takes_none(catalogue: Catalogue, data: object) -> None:
    assert accept(replace(PLAIN, data=data), catalogue).data is None


def test_good_data_is_kept_as_it_is(catalogue: Catalogue) -> None:
    accepted = accept(replace(PLAIN, service="INTAKE", data=PERSON), catalogue)
    assert accepted.data is not None
    assert msgspec.json.decode(accepted.data) == PERSON


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (None, {"/data/first_name": "is required", "/data/born": "is required"}),
        ({"first_name": "Ada"}, {"/data/born": "is required"}),
        ({**PERSON, "born": "yesterday"}, {"/data/born": "must be a valid date"}),
        ({**PERSON, "first_name": 7}, {"/data/first_name": "must be of type string"}),
        ({**PERSON, "first_name": ""}, {"/data/first_name": "must have at least 1 characters"}),
        ({**PERSON, "visits": [1, 2, 3]}, {"/data/visits": "must have at most 2 entries"}),
        ({**PERSON, "secret": 1}, {"/data": "has a field that this service does not take"}),
        ("Ada", {"/data": "must be of type object"}),
        ({**PERSON, "first_name": "\ud800"}, {"/data": "must not contain broken Unicode"}),
    ],
)
def test_bad_data_is_named_by_pointer(catalogue: Catalogue, data: object, problems: dict[str, str]) -> None:
    assert refused(catalogue, service="INTAKE", data=data) == problems


def test_a_pointer_escapes_what_json_pointers_escape() -> None:
    schema = {"properties": {"a/b~c": {"items": {"type": "integer"}}}}
    found = schema_problems(schema, {"a/b~c": [1, "x"]}, "data")
    assert [(problem.pointer, problem.detail) for problem in found] == [("/data/a~1b~0c/1", "must be of type integer")]


def test_other_rules_of_a_schema_have_general_words() -> None:
    found = schema_problems({"not": {"required": ["a"]}}, {"a": "Ada"}, "data")
    assert [(problem.pointer, problem.detail) for problem in found] == [("/data", "is not what the service declares")]


def test_the_list_of_problems_has_an_end() -> None:
    assert len(schema_problems({"items": {"type": "integer"}}, ["x"] * 1000, "data")) == PROBLEMS_MAX
    required = [f"f{number}" for number in range(200)]
    assert len(schema_problems({"required": required}, {}, "data")) == PROBLEMS_MAX


secrets = st.text("zq", min_size=6, max_size=12)


@given(secret=secrets, place=st.sampled_from(["first_name", "born", "visits", "whole"]))
def test_no_answer_repeats_what_was_submitted(catalogue: Catalogue, secret: str, place: str) -> None:
    data: Any = [secret] if place == "whole" else {**PERSON, place: [secret, secret, secret], secret: secret}
    said = refused(catalogue, service="INTAKE", data=data, priority=secret, target_role=secret, reason=secret * 200)
    assert secret not in str(said)
