"""From protobuf descriptors to the model. Raises `ContractError` where the contract contradicts itself.

buf compiles the files without network; protobuf reads what it wrote, our own options included.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from generator.model import Enum, EnumRef, EnumValue, Event, Field, FieldType, Message, MessageRef, Model, Phi, Scalar, Topic

PACKAGE = "includedhealth.sessions.v1"
EVENTS_FILE = "domain/sessions/v1/session_events.proto"

_Proto = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    _Proto.TYPE_STRING: Scalar.TEXT,
    _Proto.TYPE_BOOL: Scalar.BOOL,
    _Proto.TYPE_INT32: Scalar.INT32,
    _Proto.TYPE_INT64: Scalar.INT64,
    _Proto.TYPE_DOUBLE: Scalar.DOUBLE,
}
_PHI = {0: Phi.NEVER, 1: Phi.ALWAYS, 2: Phi.UNLESS_PUBLIC_CODE}
_EVENT_CLASSES = {1: "DURABLE", 2: "EPHEMERAL", 3: "LATEST_WINS"}
# Field numbers in FileDescriptorProto and DescriptorProto: comments are found by such paths.
_MESSAGES, _ENUMS, _FIELDS, _VALUES = 4, 5, 2, 2


class ContractError(Exception):
    """The protobuf files contradict themselves or use what the contract does not have."""


def compile_contract(folder: Path) -> bytes:
    """The descriptor set of the module in ``folder``, comments included."""
    beside_python = Path(sys.executable).with_name("buf")
    buf = str(beside_python) if beside_python.exists() else shutil.which("buf") or "buf"
    done = subprocess.run([buf, "build", str(folder), "-o", "-#format=binpb"], capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise ContractError(done.stderr.decode() or done.stdout.decode())
    return done.stdout


def read_model(descriptor_set: bytes) -> Model:
    """The model of a compiled contract."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptor_set).file:
        pool.Add(file)
    # Parsed once more with this pool's own classes: only they know our options.
    known = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    parsed: Any = known.FromString(descriptor_set)
    file = next(each for each in parsed.file if each.name == EVENTS_FILE)
    return _Reader(pool, file).model()


class _Reader:
    """Reads one file; ``_option`` and ``_doc`` need its pool and its comments everywhere."""

    def __init__(self, pool: Any, file: Any) -> None:
        self._pool = pool
        self._file = file
        self._docs = {tuple(place.path): " ".join(place.leading_comments.split()) for place in file.source_code_info.location}

    def model(self) -> Model:
        model = Model(
            enums=tuple(self._enum(index, enum) for index, enum in enumerate(self._file.enum_type)),
            messages=tuple(self._message(index, message) for index, message in enumerate(self._file.message_type)),
            timeline=_topic(self._option(self._file, "timeline")),
            type_prefix=self._option(self._file, "type_prefix"),
        )
        _check(model)
        return model

    def _option(self, element: Any, name: str) -> Any:
        return element.options.Extensions[self._pool.FindExtensionByName(f"{PACKAGE}.{name}")]

    def _doc(self, *path: int) -> str:
        return self._docs.get(path, "")

    def _enum(self, index: int, enum: Any) -> Enum:
        unspecified = enum.value[0].name
        if not unspecified.endswith("UNSPECIFIED"):
            raise ContractError(f"{enum.name} does not begin with its UNSPECIFIED value")
        prefix = unspecified.removesuffix("UNSPECIFIED")
        values = [
            EnumValue(value.name.removeprefix(prefix), value.number, self._doc(_ENUMS, index, _VALUES, place))
            for place, value in enumerate(enum.value)
        ]
        return Enum(enum.name, tuple(values[1:]), self._option(enum, "any_case"), self._doc(_ENUMS, index))

    def _message(self, index: int, message: Any) -> Message:
        maps = {nested.name for nested in message.nested_type if nested.options.map_entry}
        fields = tuple(
            self._field(field, maps, self._doc(_MESSAGES, index, _FIELDS, place)) for place, field in enumerate(message.field)
        )
        return Message(message.name, fields, self._event(message), self._doc(_MESSAGES, index))

    def _event(self, message: Any) -> Event | None:
        name = self._option(message, "event_name")
        if not name:
            return None
        topic = Topic(*(self._option(message, option) for option in ("topic", "key", "partitions", "retention_days")))
        return Event(
            name=name,
            type=self._option(self._file, "type_prefix") + topic.topic,
            topic=topic,
            event_class=_EVENT_CLASSES[self._option(message, "event_class")],
            source=self._option(message, "source"),
        )

    def _field(self, field: Any, maps: set[str], doc: str) -> Field:
        is_map = field.type_name.rpartition(".")[2] in maps
        return Field(
            name=field.name,
            number=field.number,
            type=Scalar.TEXT_MAP if is_map else self._type(field),
            repeated=field.label == _Proto.LABEL_REPEATED and not is_map,
            required=self._option(field, "required"),
            phi=_PHI[self._option(field, "phi")],
            ref=self._option(field, "phi_ref") or None,
            doc=doc,
        )

    def _type(self, field: Any) -> FieldType:
        name = field.type_name.rpartition(".")[2]
        if self._option(field, "json"):
            return Scalar.JSON_OBJECT
        if text_of := self._option(field, "text_of"):
            return EnumRef(text_of)
        if field.type == _Proto.TYPE_ENUM:
            return EnumRef(name)
        if field.type == _Proto.TYPE_MESSAGE:
            return Scalar.TIMESTAMP if field.type_name == ".google.protobuf.Timestamp" else MessageRef(name)
        if field.type not in _SCALARS:
            raise ContractError(f"{field.name} has a type the contract does not use")
        return _SCALARS[field.type]


def _topic(option: Any) -> Topic:
    return Topic(option.topic, option.key, option.partitions, option.retention_days)


def _check(model: Model) -> None:
    enums = {enum.name for enum in model.enums}
    for message in model.messages:
        names = {field.name for field in message.fields}
        for field in message.fields:
            _check_field(message, field, names, enums)
        if message.event is not None:
            needed = {message.event.topic.key, model.timeline.key}
            missing = needed - {field.name for field in message.fields if field.required}
            if missing:
                raise ContractError(f"{message.name}: the keys {sorted(missing)} must be required fields")


def _check_field(message: Message, field: Field, names: set[str], enums: set[str]) -> None:
    where = f"{message.name}.{field.name}"
    if isinstance(field.type, EnumRef) and field.type.name not in enums:
        raise ContractError(f"{where} names the unknown enum {field.type.name}")
    if field.phi is not Phi.NEVER and (message.event is None or field.repeated or field.required):
        raise ContractError(f"{where}: only an event's own optional single field can be left out of the redacted form")
    if field.phi is Phi.UNLESS_PUBLIC_CODE and field.type is not Scalar.TEXT:
        raise ContractError(f"{where}: only text can be a public code")
    if field.ref is not None and (field.ref not in names or field.phi is Phi.NEVER):
        raise ContractError(f"{where}: its stand-in {field.ref} is no field of the event")
