"""The frames of the wire contract: what a client may say, and how the server's words are written. Pure.

A client's text is judged in two steps, because the contract answers them differently: what is no object with a known ``type``
ends the connection, what has a bad field is refused and the connection stays. An event's bytes are never read or written anew:
an ``event`` frame is a header and the body, concatenated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from session_platform.errors import BadRequest, PlatformError, Unauthenticated

_Id = Annotated[str, Meta(min_length=1, max_length=200)]
_Short = Annotated[str, Meta(max_length=200)]
_FrameId = str | UnsetType

# ------------------------------------------------------------------------------------------------------------ client → server


class Client(Struct, frozen=True):
    """The program at the other end, for people who look at logs."""

    name: _Short | None = None
    version: _Short | None = None
    platform: _Short | None = None


class SessionScope(Struct, frozen=True, tag_field="type", tag="session"):
    session_id: _Id
    events: tuple[str, ...] | None = None


class MemberScope(Struct, frozen=True, tag_field="type", tag="member"):
    member_id: _Id
    events: tuple[str, ...] | None = None


class ServiceRequestScope(Struct, frozen=True, tag_field="type", tag="service_request"):
    service_request_ids: Annotated[tuple[_Id, ...], Meta(min_length=1, max_length=100)]
    events: tuple[str, ...] | None = None


Scope = SessionScope | MemberScope | ServiceRequestScope


class Connect(Struct, frozen=True):
    token: str
    id: _FrameId = UNSET
    device_id: _Id | None = None
    client: Client | None = None
    replaces: _Id | None = None


class Subscribe(Struct, frozen=True):
    """``cursor`` and ``since`` together are a bad request, which `decode` finds."""

    subscription: Scope
    id: _FrameId = UNSET
    cursor: str | None = None
    since: Literal["beginning"] | None = None
    break_glass: str | None = None


class Unsubscribe(Struct, frozen=True):
    subscription_id: str
    id: _FrameId = UNSET


class Ack(Struct, frozen=True):
    cursors: tuple[str, ...]
    id: _FrameId = UNSET


class Heartbeat(Struct, frozen=True):
    session_id: _Id
    active: bool
    id: _FrameId = UNSET


class Refresh(Struct, frozen=True):
    token: str
    id: _FrameId = UNSET


class Ping(Struct, frozen=True):
    id: _FrameId = UNSET


ClientFrame = Connect | Subscribe | Unsubscribe | Ack | Heartbeat | Refresh | Ping

_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    "connect": msgspec.json.Decoder(Connect),
    "subscribe": msgspec.json.Decoder(Subscribe),
    "unsubscribe": msgspec.json.Decoder(Unsubscribe),
    "ack": msgspec.json.Decoder(Ack),
    "heartbeat": msgspec.json.Decoder(Heartbeat),
    "refresh": msgspec.json.Decoder(Refresh),
    "ping": msgspec.json.Decoder(Ping),
}
KINDS: Final = frozenset(_DECODERS)
"""The frame types a client may send."""


class Head(Struct, frozen=True):
    """The part of a client frame that every one has."""

    type: str
    id: Any = UNSET
    token: Any = UNSET

    @property
    def frame_id(self) -> str | None:
        """What an answer repeats: only a string; anything else is a bad field."""
        return self.id if isinstance(self.id, str) else None


_heads: Final = msgspec.json.Decoder(Head)


class NotAFrame(Exception):
    """The text is no JSON object with a ``type``: the connection ends."""


def head_of(text: str) -> Head:
    """The head of a client frame. Raises `NotAFrame`."""
    try:
        return _heads.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise NotAFrame from None


def token_of(head: Head) -> str:
    """The token of a ``connect``, which is judged before any other field. Raises `Unauthenticated` without one."""
    if not isinstance(head.token, str):
        raise Unauthenticated
    return head.token


def decode(kind: str, text: str) -> ClientFrame:
    """The whole frame of a type in `KINDS`; unknown fields are ignored. Raises `BadRequest`."""
    try:
        frame: ClientFrame = _DECODERS[kind].decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise BadRequest from None
    if isinstance(frame, Subscribe) and frame.cursor is not None and frame.since is not None:
        raise BadRequest("Give a cursor or since, not both.")
    return frame


# ------------------------------------------------------------------------------------------------------------ server → client


class Connected(Struct, frozen=True, kw_only=True, tag_field="type", tag="connected"):
    id: _FrameId
    connection_id: str
    subject: str
    expires_at: datetime
    heartbeat_seconds: int
    flags: Mapping[str, bool]
    features: tuple[str, ...]


class Subscribed(Struct, frozen=True, kw_only=True, tag_field="type", tag="subscribed"):
    id: _FrameId
    subscription_id: str
    timeline: str
    cursor: str
    recovered: bool | None


class Unsubscribed(Struct, frozen=True, kw_only=True, tag_field="type", tag="unsubscribed"):
    id: _FrameId
    subscription_id: str
    reason: str | None


class CaughtUp(Struct, frozen=True, kw_only=True, tag_field="type", tag="caught_up"):
    subscription_id: str
    cursor: str


class At(Struct, frozen=True):
    """Where one subscription stands."""

    subscription_id: str
    cursor: str


class Position(Struct, frozen=True, kw_only=True, tag_field="type", tag="position"):
    positions: tuple[At, ...]


class Reset(Struct, frozen=True, kw_only=True, tag_field="type", tag="reset"):
    subscription_ids: tuple[str, ...]
    cursor: str
    reason: str


class Refreshed(Struct, frozen=True, kw_only=True, tag_field="type", tag="refreshed"):
    id: _FrameId
    expires_at: datetime


class Pong(Struct, frozen=True, kw_only=True, tag_field="type", tag="pong"):
    id: _FrameId


class Goodbye(Struct, frozen=True, kw_only=True, tag_field="type", tag="goodbye"):
    reason: str
    reconnect_after_ms: int


class Error(Struct, frozen=True, kw_only=True, tag_field="type", tag="error"):
    id: _FrameId = UNSET
    code: str
    message: str
    retryable: bool
    fatal: bool
    retry_after_ms: int | UnsetType = UNSET


ServerFrame = Connected | Subscribed | Unsubscribed | CaughtUp | Position | Reset | Refreshed | Pong | Goodbye | Error

_encoder: Final = msgspec.json.Encoder()


def encode(frame: ServerFrame) -> bytes:
    """The frame as it goes on the wire."""
    return _encoder.encode(frame)


def event(subscription_ids: Sequence[str], cursor: str, body: bytes, superseded: Sequence[int] = ()) -> bytes:
    """An ``event`` frame around the bytes of an event; ``superseded`` is written as events write their ``timelineseq``. Ids and
    cursors are the platform's own and need no escaping."""
    ids = '","'.join(subscription_ids)
    numbers = ",".join([f'"{seq:020}"' for seq in superseded])
    gone = f',"superseded":[{numbers}]' if superseded else ""
    head = f'{{"type":"event","subscription_ids":["{ids}"],"cursor":"{cursor}"{gone},"event":'
    return b"".join((head.encode(), body, b"}"))


def error(problem: PlatformError, *, fatal: bool, frame_id: str | None = None) -> bytes:
    """An ``error`` frame; ``retry_after_ms`` stands in it where the problem knows."""
    after_s = getattr(problem, "retry_after_s", None)
    return encode(
        Error(
            id=answering(frame_id),
            code=problem.code,
            message=problem.message,
            retryable=problem.retryable,
            fatal=fatal,
            retry_after_ms=UNSET if after_s is None else int(after_s * 1000),
        )
    )


def answering(frame_id: str | None) -> str | UnsetType:
    """The ``id`` of an answer: that of the client's frame, absent when it had none."""
    return UNSET if frame_id is None else frame_id


# ------------------------------------------------------------------------------------------------------------ errors and closes

CLOSE_CODES: Final[Mapping[str, int]] = {
    "bad_request": 4400,
    "unauthenticated": 4401,
    "revoked": 4403,
    "connect_timeout": 4408,
    "replaced": 4409,
    "disabled_by_flag": 4410,
    "rate_limited": 4429,
    "too_slow": 4429,
}
"""How a connection is closed after the fatal error of this code."""
