"""From an event, or its name, to what the contract says about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from session_platform.contract._generated import CATALOGUE, EventSpec

_BY_STRUCT: Final[Mapping[type[Struct], EventSpec]] = MappingProxyType({spec.struct: spec for spec in CATALOGUE.values()})
_BY_TYPE: Final = MappingProxyType({spec.type: spec for spec in CATALOGUE.values()})


def spec_of(struct: type[Struct]) -> EventSpec:
    """What the contract says about events of this Python type. Raises `KeyError` for one that is no event."""
    return _BY_STRUCT[struct]


def spec_of_type(cloudevents_type: str) -> EventSpec | None:
    """What the contract says about a CloudEvents ``type``; None for one that it does not know."""
    return _BY_TYPE.get(cloudevents_type)
