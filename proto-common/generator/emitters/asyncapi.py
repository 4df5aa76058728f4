"""AsyncAPI 3.0: the WebSocket with every frame that goes either way, and the Kafka topics with their keys and retention.

Events and topics come from the model, frames from the structs that the gateway reads and writes: they are the only place where
a frame is defined, so this emitter imports them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, get_args

import msgspec
from msgspec import UnsetType

from generator.descriptors import ContractError
from generator.emitters.json_schemas import FOLDER, HERE, SEQ, Form, Schema, definitions, envelope_name, needed, written
from generator.model import Event, Files, Message, Model, Topic
from session_platform.gateway import frames

SUBPROTOCOL: Final = "digital-session.v1"
ANSWERS: Final[Mapping[str, str | None]] = {
    "connect": "connected",
    "subscribe": "subscribed",
    "unsubscribe": "unsubscribed",
    "ack": None,
    "heartbeat": None,
    "refresh": "refreshed",
    "ping": "pong",
}
"""What answers a client's frame; an ``error`` may instead."""
GATEWAY: Final = "gateway"
_SCHEMAS: Final = "#/components/schemas/"
_DAY_MS: Final = 24 * 3600 * 1000
_ABOUT: Final = (
    "What the Digital Session Platform sends and receives beside REST (see /openapi.json). Receivers ignore fields, frames, "
    "event types and enum values that they do not know. Text frames of JSON: a client's has at most 64 KiB, a server's 1 MiB."
)


def emit(model: Model) -> Files:
    """One document. Raises `ContractError` when a frame and a message of the contract share a name."""
    events = definitions(model)
    spoken, heard = _named(frames.ClientFrame), _named(frames.ServerFrame)
    shapes = _frame_schemas(spoken, heard)
    delivered = [envelope_name(message, Form.DELIVERED) for message, _ in model.events]
    shapes["Event"] = _event_frame(delivered)
    if clash := shapes.keys() & events.keys():
        raise ContractError(f"frames and messages share the names {sorted(clash)}")
    full = [envelope_name(message, Form.FULL) for message, _ in model.events]
    schemas = {**shapes, **_pointing_at_components(needed([*delivered, *full], events))}
    messages = {
        **{f"client.{kind}": _message(kind, kind.title().replace("_", "")) for kind in spoken},
        **{f"server.{kind}": _message(kind, _of_kind(kind, heard)) for kind in (*heard, "event")},
        **{event.name: _record(message, event, Form.FULL) for message, event in model.events},
        **{
            f"{event.name}.delivered": _record(message, event, Form.DELIVERED, model.timeline.key)
            for message, event in model.events
            if event.event_class != "EPHEMERAL"
        },
    }
    topics = _topics(model)
    document = {
        "asyncapi": "3.0.0",
        "info": {"title": "Digital Session Platform", "version": "1", "description": _ABOUT},
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {GATEWAY: _gateway([name for name in messages if name.startswith(("client.", "server."))]), **topics},
        "operations": {**_gateway_operations(spoken, heard), **_topic_operations(topics)},
        "components": {"messages": messages, "schemas": schemas},
    }
    return {f"{FOLDER}/asyncapi.json": written(document)}


def _named(union: Any) -> dict[str, type[msgspec.Struct]]:
    """The structs of a union of frames by their ``type``."""
    return {struct.__struct_config__.tag or struct.__name__.lower(): struct for struct in get_args(union)}


def _of_kind(kind: str, heard: Mapping[str, type[msgspec.Struct]]) -> str:
    return heard[kind].__name__ if kind in heard else "Event"


def _frame_schemas(spoken: Mapping[str, type[msgspec.Struct]], heard: Mapping[str, type[msgspec.Struct]]) -> dict[str, Schema]:
    structs = [*spoken.values(), *heard.values()]
    _, found = msgspec.json.schema_components(structs, ref_template=_SCHEMAS + "{name}")
    shapes: dict[str, Schema] = {name: _draft_07(schema) for name, schema in found.items()}
    for kind, struct in spoken.items():
        # The gateway reads a frame's type before it chooses the struct.
        shape = shapes[struct.__name__]
        shape["properties"] = {"type": {"const": kind}, **shape["properties"]}
        shape["required"] = ["type", *shape.get("required", [])]
    for struct in structs:
        shape, fields = shapes[struct.__name__], msgspec.structs.fields(struct)
        optional = {field.name for field in fields if UnsetType in get_args(field.type)}
        shape["required"] = [name for name in shape["required"] if name not in optional]
        for field in fields:
            if field.type is datetime:
                shape["properties"][field.name]["format"] = "date-time"
    shapes["Subscribe"]["not"] = {"required": ["cursor", "since"], "properties": {"cursor": _TEXT, "since": _TEXT}}
    return shapes


_TEXT: Final[Schema] = {"type": "string"}


def _draft_07(schema: Any) -> Any:
    """Without OpenAPI's discriminator, which AsyncAPI takes for something else."""
    match schema:
        case dict():
            return {name: _draft_07(each) for name, each in schema.items() if name != "discriminator"}
        case list():
            return [_draft_07(each) for each in schema]
        case _:
            return schema


def _event_frame(envelopes: Iterable[str]) -> Schema:
    """The one server frame that is no struct: it is assembled around the bytes of an event."""
    return {
        "title": "Event",
        "description": "`superseded` lists the events that gave way to a newer one of the same request.",
        "type": "object",
        "properties": {
            "type": {"const": "event"},
            "subscription_ids": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "cursor": {"type": "string"},
            "superseded": {"type": "array", "items": SEQ, "minItems": 1},
            "event": {"oneOf": [{"$ref": _SCHEMAS + name} for name in envelopes]},
        },
        "required": ["type", "subscription_ids", "cursor", "event"],
    }


def _pointing_at_components(value: Any) -> Any:
    match value:
        case {"$ref": str(reference)}:
            return {"$ref": _SCHEMAS + reference.removeprefix(HERE)}
        case dict():
            return {name: _pointing_at_components(each) for name, each in value.items()}
        case list():
            return [_pointing_at_components(each) for each in value]
        case _:
            return value


def _message(name: str, schema: str) -> Schema:
    return {"name": name, "payload": {"$ref": _SCHEMAS + schema}}


def _record(message: Message, event: Event, form: Form, key: str | None = None) -> Schema:
    said = _message(event.name, envelope_name(message, form))
    described = {"type": "string", "description": f"`{key or event.topic.key}` of the event's data."}
    media_type = "application/cloudevents+json"
    return {
        **said,
        "summary": message.doc,
        "contentType": media_type,
        "bindings": {"kafka": {"key": described, "bindingVersion": "0.5.0"}},
    }


def _servers() -> Schema:
    return {
        GATEWAY: {
            "host": "{host}",
            "pathname": "/v1",
            "protocol": "wss",
            "description": "The token travels in the `connect` frame, never in the address.",
            "variables": {"host": {"default": "localhost:8080", "description": "The one address of the platform."}},
        },
        "log": {
            "host": "{bootstrap}",
            "protocol": "kafka-secure",
            "description": "For backends inside; only where the platform runs distributed.",
            "variables": {"bootstrap": {"default": "localhost:9092", "description": "The brokers to begin with."}},
        },
    }


def _gateway(messages: list[str]) -> Schema:
    subprotocol = {"type": "object", "properties": {"Sec-WebSocket-Protocol": {"type": "string", "const": SUBPROTOCOL}}}
    return {
        "address": "/",
        "title": "The WebSocket",
        "servers": [{"$ref": f"#/servers/{GATEWAY}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {**subprotocol, "required": ["Sec-WebSocket-Protocol"]},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": dict(frames.CLOSE_CODES),
    }


def _gateway_operations(spoken: Iterable[str], heard: Iterable[str]) -> Schema:
    channel = {"$ref": f"#/channels/{GATEWAY}"}
    operations: Schema = {}
    for kind in spoken:
        asked: Schema = {"action": "receive", "channel": channel, "messages": [_through(GATEWAY, f"client.{kind}")]}
        answer = ANSWERS[kind]
        if answer is not None:
            replies = [_through(GATEWAY, f"server.{name}") for name in (answer, "error")]
            asked["reply"] = {"channel": channel, "messages": replies}
        operations[f"{GATEWAY}.{kind}"] = asked
    unasked = [_through(GATEWAY, f"server.{kind}") for kind in (*heard, "event") if kind not in ANSWERS.values()]
    unasked.append(_through(GATEWAY, "server.unsubscribed"))
    operations[f"{GATEWAY}.send"] = {
        "action": "send",
        "channel": channel,
        "summary": "What is sent unasked; `unsubscribed` when the right to a subscription ends.",
        "messages": unasked,
    }
    return operations


def _topics(model: Model) -> Schema:
    durable = [f"{event.name}.delivered" for _, event in model.events if event.event_class != "EPHEMERAL"]
    return {
        model.timeline.topic: _topic(
            model.timeline, durable, "Every durable event of a member, in order, without health data."
        ),
        **{event.topic.topic: _topic(event.topic, [event.name], message.doc) for message, event in model.events},
    }


def _topic(topic: Topic, messages: Iterable[str], said: str) -> Schema:
    kept = {"cleanup.policy": ["delete"], "retention.ms": topic.retention_days * _DAY_MS}
    return {
        "address": topic.topic,
        "description": f"{said} Keyed by `{topic.key}`, kept {topic.retention_days} days.",
        "servers": [{"$ref": "#/servers/log"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {
            "kafka": {
                "topic": topic.topic,
                "partitions": topic.partitions,
                "topicConfiguration": kept,
                "bindingVersion": "0.5.0",
            }
        },
        "x-key": topic.key,
    }


def _topic_operations(topics: Schema) -> Schema:
    return {
        f"publish.{name}": {"action": "send", "channel": {"$ref": f"#/channels/{name}"}, "summary": topic["description"]}
        for name, topic in topics.items()
    }


def _through(channel: str, message: str) -> Schema:
    return {"$ref": f"#/channels/{channel}/messages/{message}"}
