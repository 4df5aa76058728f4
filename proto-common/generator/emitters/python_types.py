"""Python: msgspec structs, enums and the catalogue, once for the server and once for the SDK (they share no code).

The two differ in one thing: the SDK's enums take a value they do not know as it is, so that a new value on the server breaks no
client; the server refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import assert_never

from generator.model import Enum, EnumRef, Event, Field, Files, Message, MessageRef, Model, Phi, Scalar, Topic

SERVER = "src/session_platform/contract/_generated.py"
SDK = "sdk/python/src/digital_session/_generated.py"

_TYPES = {
    Scalar.TEXT: "str",
    Scalar.BOOL: "bool",
    Scalar.INT32: "Int32",
    Scalar.INT64: "Int64",
    Scalar.DOUBLE: "float",
    Scalar.TIMESTAMP: "Timestamp",
    Scalar.JSON_OBJECT: "dict[str, Any]",
    Scalar.TEXT_MAP: "dict[str, str]",
}

_HEAD = '''\
# Generated from proto-common/domain/sessions/v1 by proto-common/generator. Do not edit: `make generate` writes it anew.
"""Events, enums and the catalogue of the session contract.

A field that is not set is ``UNSET`` and absent in JSON; a list is always there. Times are aware and in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import force_setattr

Timestamp = Annotated[datetime, Meta(tz=True)]
Int32 = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


def _in_utc(struct: Struct, *names: str) -> None:
    for name in names:
        value = getattr(struct, name)
        if value is UNSET or value.tzinfo is UTC:
            continue
        if value.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
        try:
            force_setattr(struct, name, value.astimezone(UTC))
        except OverflowError:
            raise ValueError(f"{name} is outside the years that UTC has") from None
'''

_CATALOGUE = '''\


class EventClass(StrEnum):
    """How an event is delivered."""

    DURABLE = "DURABLE"
    EPHEMERAL = "EPHEMERAL"
    LATEST_WINS = "LATEST_WINS"


class TopicSpec(NamedTuple):
    """A topic of the event log; ``key`` is the field whose value is a record's key."""

    topic: str
    key: str
    partitions: int
    retention_days: int


class EventSpec(NamedTuple):
    """All that the contract says about one event.

    ``name`` is short (``task.assigned``), ``type`` the CloudEvents type, ``suffix`` what ``type`` and ``topic`` have in common,
    ``source`` the platform's own. ``phi_fields`` never ride a timeline, ``conditional_phi_fields`` only as a public code;
    ``refs`` maps a redacted field to the field that stands in for it.
    """

    name: str
    type: str
    suffix: str
    topic: str
    key: str
    partitions: int
    retention_days: int
    event_class: EventClass
    source: str
    struct: EventStruct
    phi_fields: tuple[str, ...]
    conditional_phi_fields: tuple[str, ...]
    refs: Mapping[str, str]
'''


def emit(model: Model) -> Files:
    """The same module twice; see the module's docstring for the difference."""
    return {SERVER: _module(model, open_enums=False), SDK: _module(model, open_enums=True)}


def _module(model: Model, *, open_enums: bool) -> str:
    blocks = [_enum(enum, open_enums=open_enums) for enum in model.enums]
    blocks += [_struct(message) for message in _leaves_first(model.messages)]
    durable = [message.name for message, event in model.events if event.event_class != "EPHEMERAL"]
    ephemeral = [message.name for message, event in model.events if event.event_class == "EPHEMERAL"]
    union = "\n    | ".join(durable)
    catalogue = "\n".join(_spec(message, event) for message, event in model.events)
    topics = "\n".join(_topic(topic) for topic in (*(event.topic for _, event in model.events), model.timeline))
    blocks.append(
        f"\n\nDurableEvent = (\n    {union}\n)\nEphemeralEvent = {' | '.join(ephemeral)}\n"
        "EventStruct = type[DurableEvent] | type[EphemeralEvent]\n"
    )
    blocks.append(_CATALOGUE)
    blocks.append(
        f"\n\nCATALOGUE: Final[Mapping[str, EventSpec]] = MappingProxyType({{\n{catalogue}\n}})\n"
        f"TIMELINE_TOPIC: Final = {_text(model.timeline.topic)}\n"
        f"TOPICS: Final[tuple[TopicSpec, ...]] = (\n{topics}\n)\n"
    )
    return _HEAD + "".join(blocks)


def _leaves_first(messages: tuple[Message, ...]) -> list[Message]:
    return sorted(messages, key=lambda message: message.event is not None)


def _doc(text: str, indent: str = "    ") -> str:
    lines = wrap(text, 120)
    return f'{indent}"""{lines[0]}"""\n' if len(lines) == 1 else f'{indent}"""' + f"\n{indent}".join(lines) + f'\n{indent}"""\n'


def _enum(enum: Enum, *, open_enums: bool) -> str:
    lines = [f"\n\nclass {enum.name}(StrEnum):\n", _doc(enum.doc), "\n"]
    for value in enum.values:
        lines += [f"    # {value.doc}\n"] if value.doc else []
        lines.append(f'    {value.short} = "{value.short}"\n')
    if open_enums:
        lines.append(_OPEN.format(name=enum.name))
    elif enum.any_case:
        lines.append(_ANY_CASE.format(name=enum.name))
    return "".join(lines)


_OPEN = '''
    @classmethod
    def _missing_(cls, value: object) -> {name} | None:
        """A value from a newer server: kept as it is."""
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown
'''

_ANY_CASE = '''
    @classmethod
    def _missing_(cls, value: object) -> {name} | None:
        """Input in any case is accepted."""
        return cls._member_map_.get(value.upper()) if isinstance(value, str) else None  # type: ignore[return-value]
'''


def _struct(message: Message) -> str:
    lines = [f"\n\nclass {message.name}(Struct, frozen=True, kw_only=True):\n", _doc(message.doc), "\n"]
    for field in message.fields:
        lines += [f"    # {field.doc}\n"] if field.doc else []
        lines.append(f"    {field.name}: {_annotation(field)}\n")
    times = ", ".join(f'"{field.name}"' for field in message.fields if field.type is Scalar.TIMESTAMP)
    if times:
        lines.append(f"\n    def __post_init__(self) -> None:\n        _in_utc(self, {times})\n")
    return "".join(lines)


def _annotation(field: Field) -> str:
    match field.type:
        case Scalar():
            name = _TYPES[field.type]
        case EnumRef(name) | MessageRef(name):
            pass
        case _:
            assert_never(field.type)
    if field.repeated:
        return f"tuple[{name}, ...] = ()"
    return name if field.required else f"{name} | UnsetType = UNSET"


def _spec(message: Message, event: Event) -> str:
    suffix = event.topic.topic.partition(".")[2]
    values = {
        "name": _text(event.name),
        "type": _text(event.type),
        "suffix": _text(suffix),
        "topic": _text(event.topic.topic),
        "key": _text(event.topic.key),
        "partitions": str(event.topic.partitions),
        "retention_days": str(event.topic.retention_days),
        "event_class": f"EventClass.{event.event_class}",
        "source": _text(event.source),
        "struct": message.name,
        "phi_fields": _texts(field.name for field in message.fields if field.phi is Phi.ALWAYS),
        "conditional_phi_fields": _texts(field.name for field in message.fields if field.phi is Phi.UNLESS_PUBLIC_CODE),
        "refs": "{" + ", ".join(f"{_text(f.name)}: {_text(f.ref)}" for f in message.fields if f.ref is not None) + "}",
    }
    body = "".join(f"        {name}={value},\n" for name, value in values.items())
    return f"    {_text(event.name)}: EventSpec(\n{body}    ),"


def _topic(topic: Topic) -> str:
    return f"    TopicSpec({_text(topic.topic)}, {_text(topic.key)}, {topic.partitions}, {topic.retention_days}),"


def _text(value: str) -> str:
    return f'"{value}"'


def _texts(values: Iterable[str]) -> str:
    items = [_text(value) for value in values]
    return "(" + ", ".join(items) + ("," if len(items) == 1 else "") + ")"
