"""An event as bytes: CloudEvents 1.0, structured JSON, in full and redacted.

An event is serialised once, here; everything behind passes these bytes through. What routing needs stands beside them, so that
nobody has to read them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from session_platform.contract._generated import CATALOGUE, DurableEvent, EphemeralEvent
from session_platform.contract.catalogue import spec_of
from session_platform.contract.redaction import DEFAULT_PUBLIC_CODES, redact

EVENT_MAX_BYTES: Final = 512 * 1024
SEQ_DIGITS: Final = 20

Attribute = str | int | bool
"""Value of a CloudEvents extension attribute."""

_encoder: Final = msgspec.json.Encoder()
_decoders: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(spec.struct) for name, spec in CATALOGUE.items()
}


class Sealed(NamedTuple):
    """A durable event as it is stored: ``full`` for the domain topic, ``redacted`` for the timeline (the same object as
    ``full`` when there is nothing to hide), and the headers that routing reads. ``tag`` is `tag_of` its id."""

    event_id: str
    name: str
    timeline: str
    epoch: int
    seq: int
    tag: int
    session_id: str | None
    service_request_id: str | None
    full: bytes
    redacted: bytes


class SealedEphemeral(NamedTuple):
    """An unnumbered event: live only."""

    event_id: str
    name: str
    timeline: str
    session_id: str
    service_request_id: str | None
    body: bytes


class _Head(Struct, frozen=True):
    """The envelope's attributes in the order they are written; ``data`` follows them."""

    specversion: str
    id: str
    source: str
    type: str
    time: datetime
    datacontenttype: str
    partitionkey: str
    timelineseq: str | UnsetType
    timelineepoch: int | UnsetType
    traceparent: str


RESERVED: Final = frozenset(_Head.__struct_fields__) | {"data", "data_base64"}
"""Attribute names that an extension may not take: the envelope writes them itself."""


def seal(  # noqa: PLR0913 - an envelope has so many attributes; all go by name
    event: DurableEvent,
    *,
    event_id: str,
    source: str,
    time: datetime,
    seq: int,
    epoch: int,
    traceparent: str,
    public_codes: Set[str] = DEFAULT_PUBLIC_CODES,
    extensions: Mapping[str, Attribute] | None = None,
) -> Sealed:
    """The event under number ``seq`` of its member's timeline. ``time`` is aware; ``extensions`` are the attributes beside the
    envelope's own.

    Raises `ValueError` for an event above `EVENT_MAX_BYTES`, for text or nesting that JSON cannot hold, and for an extension
    that is no CloudEvents attribute.
    """
    spec = spec_of(type(event))
    head = _head(
        _Head(
            specversion="1.0",
            id=event_id,
            source=source,
            type=spec.type,
            time=time.astimezone(UTC),
            datacontenttype="application/json",
            partitionkey=event.member_id,
            timelineseq=f"{seq:0{SEQ_DIGITS}d}",
            timelineepoch=epoch,
            traceparent=traceparent,
        ),
        extensions or {},
    )
    full = _whole(head, event)
    if len(full) > EVENT_MAX_BYTES:
        raise ValueError(f"{spec.name} has {len(full)} bytes, at most {EVENT_MAX_BYTES} are allowed")
    public = redact(event, public_codes)
    return Sealed(
        event_id=event_id,
        name=spec.name,
        timeline=event.member_id,
        epoch=epoch,
        seq=seq,
        tag=tag_of(event_id),
        session_id=_text(event, "session_id"),
        service_request_id=_text(event, "service_request_id"),
        full=full,
        redacted=full if public is event else _whole(head, public),
    )


def seal_ephemeral(
    event: EphemeralEvent,
    *,
    event_id: str,
    source: str,
    time: datetime,
    traceparent: str,
    extensions: Mapping[str, Attribute] | None = None,
) -> SealedEphemeral:
    """The event without a number: it has no place in the timeline and is never replayed. Raises as `seal`."""
    spec = spec_of(type(event))
    head = _Head(
        specversion="1.0",
        id=event_id,
        source=source,
        type=spec.type,
        time=time.astimezone(UTC),
        datacontenttype="application/json",
        partitionkey=event.member_id,
        timelineseq=UNSET,
        timelineepoch=UNSET,
        traceparent=traceparent,
    )
    return SealedEphemeral(
        event_id=event_id,
        name=spec.name,
        timeline=event.member_id,
        session_id=event.session_id,
        service_request_id=_text(event, "service_request_id"),
        body=_whole(_head(head, extensions or {}), redact(event, frozenset())),
    )


def decode_data(name: str, data: bytes) -> DurableEvent | EphemeralEvent:
    """The event in a ``data`` object of the event type with this short name; unknown fields are ignored.

    Raises `msgspec.ValidationError` (it names the path) for a missing required field, null, a wrong type, an unknown enum value
    or UNSPECIFIED, and `KeyError` for a name that the contract does not know.
    """
    try:
        event: DurableEvent | EphemeralEvent = _decoders[name].decode(data)
    except RecursionError:
        raise msgspec.ValidationError("The data is nested too deeply") from None
    return event


def tag_of(event_id: str) -> int:
    """32 bits of an event's id: with its number it tells two histories apart that both have such a number."""
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=4).digest())


def _head(head: _Head, extensions: Mapping[str, Attribute]) -> bytes:
    """The attributes as an object that is still open, ready for ``data``."""
    opened = _encoder.encode(head)[:-1]
    if not extensions:
        return opened
    for name, value in extensions.items():
        if name in RESERVED or not (name.isascii() and name.isalnum() and name == name.lower()):
            raise ValueError("an extension attribute has a name that CloudEvents or this contract does not allow")
        if isinstance(value, int) and not -(2**31) <= value < 2**31:
            raise ValueError("an extension attribute is an integer of more than 32 bits")
    return opened + b"," + _encoder.encode(dict(extensions))[1:-1]


def _whole(head: bytes, event: DurableEvent | EphemeralEvent) -> bytes:
    try:
        data = _encoder.encode(event)
    except RecursionError:
        raise ValueError("the data is nested too deeply") from None
    return b"".join((head, b',"data":', data, b"}"))


def _text(event: DurableEvent | EphemeralEvent, field: str) -> str | None:
    value = getattr(event, field, UNSET)
    return value if isinstance(value, str) else None
