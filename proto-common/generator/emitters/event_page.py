"""docs/events.md: the events and the topic table for people."""

from __future__ import annotations

from typing import assert_never

from generator.model import Enum, EnumRef, Event, Field, Files, Message, MessageRef, Model, Phi, Scalar

PAGE = "docs/events.md"

_HEAD = """\
<!-- Generated from proto-common/domain/sessions/v1 by proto-common/generator: `make generate` writes it anew. -->
# The events

Every event is a CloudEvent in structured JSON; below are its topic and its `data`. A field that is not set is absent, a list is
always there. **PHI** fields never ride a timeline: they are absent there, and the field named behind the arrow says where the
value is read.

## Topics

| event | CloudEvents type | topic | key | partitions | retention | class |
|---|---|---|---|---|---|---|
"""


def emit(model: Model) -> Files:
    """One page."""
    rows = "".join(_row(event) for _, event in model.events)
    timeline = model.timeline
    rows += (
        f"| (all durable ones, redacted) | as above | `{timeline.topic}` | `{timeline.key}` | {timeline.partitions} "
        f"| {timeline.retention_days} d | the ordered stream |\n"
    )
    messages = "".join(_section(message) for message in model.messages)
    enums = "".join(_enum(enum) for enum in model.enums)
    return {PAGE: f"{_HEAD}{rows}\n## Data\n{messages}\n## Enums\n\n| enum | values |\n|---|---|\n{enums}"}


def _row(event: Event) -> str:
    topic = event.topic
    event_class = event.event_class.lower().replace("latest_wins", "durable, latest wins")
    return (
        f"| `{event.name}` | `{event.type}` | `{topic.topic}` | `{topic.key}` | {topic.partitions} "
        f"| {topic.retention_days} d | {event_class} |\n"
    )


def _section(message: Message) -> str:
    title = f"`{message.event.name}` ({message.name})" if message.event else f"`{message.name}`"
    rows = "".join(f"| {f.number} | `{f.name}` | {_type(f)} | {_remarks(f)} |\n" for f in message.fields)
    return f"\n### {title}\n\n{message.doc}\n\n| no. | field | type | |\n|---|---|---|---|\n{rows}"


def _type(field: Field) -> str:
    match field.type:
        case Scalar.JSON_OBJECT:
            name = "JSON object"
        case Scalar():
            name = field.type.value
        case EnumRef(name) | MessageRef(name):
            pass
        case _:
            assert_never(field.type)
    return f"list of {name}" if field.repeated else name


def _remarks(field: Field) -> str:
    phi = {
        Phi.NEVER: "",
        Phi.ALWAYS: "**PHI**",
        Phi.UNLESS_PUBLIC_CODE: "**PHI** unless it is a public code",
    }[field.phi]
    ref = f" → `{field.ref}`" if field.ref else ""
    return "; ".join(part for part in ("always there" if field.required else "", phi + ref, field.doc.rstrip(".")) if part)


def _enum(enum: Enum) -> str:
    return f"| `{enum.name}` | {', '.join(f'`{value.short}`' for value in enum.values)} |\n"
