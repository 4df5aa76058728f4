"""The JSON Schemas are true: what the codec writes fits them, and what it refuses they refuse."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from session_platform.api import published_contracts
from session_platform.contract import CATALOGUE, DurableEvent, EphemeralEvent, EventSpec, decode_data
from tests.contract.events import EPHEMERAL, any_durable, any_event, json_values, sealed, sealed_ephemeral
from tests.contract.published import contract, schema

SPECS = list(CATALOGUE.values())
FORMS = [name + form for name in [*CATALOGUE, "event"] for form in ("", ".delivered")] + ["event.published"]
SELDOM_SET = {name: spec for name, spec in CATALOGUE.items() if spec.phi_fields}
ENVELOPE = ("specversion", "id", "source", "type", "data")


def test_every_event_has_its_schemas_and_each_is_one() -> None:
    assert sorted(set(published_contracts()) - {"openapi", "asyncapi"}) == sorted(FORMS)
    for name in FORMS:
        document = contract(name)
        Draft202012Validator.check_schema(document)
        assert document["$id"] == f"urn:session-platform:schema:{name}"


@settings(deadline=None)
@given(any_durable())
def test_every_durable_event_fits_its_schemas_in_full_and_as_delivered(event: DurableEvent) -> None:
    assume(event.member_id)  # the platform has no member without an id, and CloudEvents no empty partition key
    made = sealed(event, extensions={"tenant": "a", "sampled": True, "shard": 7})
    full, delivered = json.loads(made.full), json.loads(made.redacted)
    schema("event").validate(full)
    schema(made.name).validate(full["data"])
    schema("event.delivered").validate(delivered)
    schema(f"{made.name}.delivered").validate(delivered["data"])


@settings(deadline=None)
@given(st.sampled_from(EPHEMERAL).flatmap(any_event))
def test_every_ephemeral_event_fits_its_schemas(event: EphemeralEvent) -> None:
    assume(event.member_id)
    body = json.loads(sealed_ephemeral(event).body)
    for form in ("", ".delivered"):
        schema(f"event{form}").validate(body)
    assert not schema("event").is_valid({**body, "timelineseq": "0" * 19 + "1"})


@pytest.mark.parametrize("spec", SELDOM_SET.values(), ids=sorted(SELDOM_SET))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_health_data_is_forbidden_in_what_is_delivered(spec: EventSpec, data: st.DataObject) -> None:
    event = data.draw(any_event(spec))
    assume(any(getattr(event, name) is not msgspec.UNSET for name in spec.phi_fields))
    full = json.loads(sealed(event).full)
    assert not schema("event.delivered").is_valid(full)
    assert not schema(f"{spec.name}.delivered").is_valid(full["data"])


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something could be changed."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def changed(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    """The JSON with something else at a place; ``...``: without it."""
    if not at:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(at) == 1 and new is ...:
        del copy[at[0]]
    else:
        copy[at[0]] = changed(copy[at[0]], at[1:], new)
    return copy


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_what_the_codec_refuses_the_schema_refuses(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(SPECS))
    whole = json.loads(msgspec.json.encode(data.draw(any_event(spec))))
    at = data.draw(st.sampled_from(places(whole)[1:]))
    new = data.draw(st.just(...) | st.sampled_from(["UNSPECIFIED", "", None, -1, 2**63, True]) | json_values)
    mutant = changed(whole, at, new)
    try:
        decode_data(spec.name, json.dumps(mutant).encode())
    except msgspec.ValidationError:
        assert not schema(spec.name).is_valid(mutant), (at, new)


@pytest.mark.parametrize("spec", SPECS, ids=list(CATALOGUE))
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_every_field_and_attribute_that_must_be_there_is_missed(spec: EventSpec, data: st.DataObject) -> None:
    event = data.draw(any_event(spec))
    ephemeral = spec.event_class == "EPHEMERAL"
    body = json.loads(sealed_ephemeral(event).body if ephemeral else sealed(event).full)
    for name in contract(spec.name)["$defs"][spec.struct.__name__]["required"]:
        lacking = {key: value for key, value in body["data"].items() if key != name}
        assert not schema(spec.name).is_valid(lacking)
        assert not schema("event").is_valid({**body, "data": lacking})
    for name in body:
        assert not schema("event").is_valid({key: value for key, value in body.items() if key != name})


@settings(deadline=None)
@given(any_durable())
def test_a_backend_may_publish_what_another_would_read_but_for_what_the_platform_mints(event: DurableEvent) -> None:
    spec = next(spec for spec in SPECS if spec.struct is type(event))
    full = json.loads(sealed(event).full)
    published = {name: full[name] for name in ENVELOPE}
    published["data"] = {name: value for name, value in full["data"].items() if name not in spec.refs.values()}
    validator = schema("event.published")
    validator.validate(published)
    assert not validator.is_valid({**published, "timelineseq": full["timelineseq"]})
    assert not validator.is_valid({**published, "data": {**published["data"], "no_such_field": 1}})
    for ref in spec.refs.values():
        assert not validator.is_valid({**published, "data": {**published["data"], ref: "/v1/coverages/cov_1"}})
