"""Any event of the contract, for property tests: every field may hold any value of its type, or be unset."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, inspect

from session_platform.contract import (
    CATALOGUE,
    DurableEvent,
    EphemeralEvent,
    EventSpec,
    Sealed,
    SealedEphemeral,
    seal,
    seal_ephemeral,
)

AT = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
DURABLE = [spec for spec in CATALOGUE.values() if spec.event_class != "EPHEMERAL"]
EPHEMERAL = [spec for spec in CATALOGUE.values() if spec.event_class == "EPHEMERAL"]

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
times = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones())  # noqa: DTZ001


def any_event(spec: EventSpec) -> st.SearchStrategy[Any]:
    """Any event of this type."""
    return _struct(spec.struct)


def any_durable() -> st.SearchStrategy[DurableEvent]:
    return st.sampled_from(DURABLE).flatmap(any_event)


def sealed(event: DurableEvent, **changes: Any) -> Sealed:
    """The event sealed as the seventh of its timeline."""
    return seal(event, **{**_ENVELOPE, "seq": 7, "epoch": 1, **changes})


def sealed_ephemeral(event: EphemeralEvent) -> SealedEphemeral:
    return seal_ephemeral(event, **_ENVELOPE)


_ENVELOPE: dict[str, Any] = {"event_id": "evt_1", "source": "/jarvis/sessions", "time": AT, "traceparent": TRACEPARENT}


def _struct(cls: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    fields = {
        field.name: st.just(UNSET) | _of(field.type) if field.default is UNSET else _of(field.type) for field in info.fields
    }
    return st.builds(cls, **fields)


_SCALARS: dict[type[inspect.Type], st.SearchStrategy[Any]] = {
    inspect.StrType: text,
    inspect.BoolType: st.booleans(),
    inspect.FloatType: st.floats(allow_nan=False, allow_infinity=False),
    inspect.DateTimeType: times,
    inspect.AnyType: json_values,
}


def _of(info: inspect.Type) -> st.SearchStrategy[Any]:
    match info:
        case inspect.IntType(ge=ge, le=le):
            return st.integers(ge, le)
        case inspect.EnumType(cls=enum):
            return st.sampled_from(list(enum))
        case inspect.StructType(cls=struct):
            return st.deferred(lambda: _struct(struct))
        case inspect.VarTupleType(item_type=item):
            return st.lists(_of(item), max_size=3).map(tuple)
        case inspect.DictType(value_type=value):
            return st.dictionaries(text, _of(value), max_size=3)
    return _SCALARS[type(info)]
