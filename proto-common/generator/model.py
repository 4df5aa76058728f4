"""The contract as emitters see it: plain frozen values, no protobuf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Scalar(StrEnum):
    """The scalar types the contract uses."""

    TEXT = "string"
    BOOL = "bool"
    INT32 = "int32"
    INT64 = "int64"
    DOUBLE = "double"
    TIMESTAMP = "timestamp"
    JSON_OBJECT = "json"
    TEXT_MAP = "map<string, string>"


class Phi(StrEnum):
    """Whether a field is protected health information."""

    NEVER = "never"
    ALWAYS = "always"
    UNLESS_PUBLIC_CODE = "unless a public code"


@dataclass(frozen=True, slots=True)
class EnumRef:
    """A field's type is this enum of the contract."""

    name: str


@dataclass(frozen=True, slots=True)
class MessageRef:
    """A field's type is this message of the contract."""

    name: str


FieldType = Scalar | EnumRef | MessageRef


@dataclass(frozen=True, slots=True)
class Field:
    """``ref`` is the field that stands in for this one in the redacted form, if there is one."""

    name: str
    number: int
    type: FieldType
    repeated: bool
    required: bool
    phi: Phi
    ref: str | None
    doc: str


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of the event log; ``key`` is the field whose value is a record's key."""

    topic: str
    key: str
    partitions: int
    retention_days: int


@dataclass(frozen=True, slots=True)
class Event:
    """What makes a message an event; ``type`` is the CloudEvents type, ``event_class`` DURABLE, EPHEMERAL or LATEST_WINS."""

    name: str
    type: str
    topic: Topic
    event_class: str
    source: str


@dataclass(frozen=True, slots=True)
class Message:
    name: str
    fields: tuple[Field, ...]
    event: Event | None
    doc: str


@dataclass(frozen=True, slots=True)
class EnumValue:
    """``short`` is how the value is written in JSON and in code."""

    short: str
    number: int
    doc: str


@dataclass(frozen=True, slots=True)
class Enum:
    """Without its UNSPECIFIED value, which is never sent and refused on input."""

    name: str
    values: tuple[EnumValue, ...]
    any_case: bool
    doc: str


@dataclass(frozen=True, slots=True)
class Model:
    """Messages and enums in the order of the file; ``type_prefix`` plus a topic's name is an event's CloudEvents type."""

    enums: tuple[Enum, ...]
    messages: tuple[Message, ...]
    timeline: Topic
    type_prefix: str

    @property
    def events(self) -> tuple[tuple[Message, Event], ...]:
        """The messages that are events, each with what makes it one."""
        return tuple((message, message.event) for message in self.messages if message.event is not None)


Files = Mapping[str, str]
"""What an emitter returns: path from the repository's root → content."""
