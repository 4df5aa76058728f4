"""An event as a backend makes it, and as CloudEvents 1.0 in structured JSON writes it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, Final, NamedTuple

PREFIX: Final = "com.includedhealth.sessions."
_ATTRIBUTES: Final = frozenset({"specversion", "id", "source", "type", "time", "datacontenttype", "data", "data_base64"})


def _new_id() -> str:
    return f"evt_{uuid.uuid4().hex}"


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a member: ``Event("session.created", {"session_id": …, "member_id": …})``.

    ``type`` is the short name, or a whole CloudEvents type. ``data`` is JSON with dates, aware datetimes and enums; it names
    the member. ``id`` is minted here, once: whoever publishes the same object twice is heard once. ``time`` is when it
    happened. ``extensions`` are CloudEvents extension attributes, such as ``traceparent``.

    Raises `ValueError` or `TypeError`, here and not where it is sent, for data without a member or that JSON cannot hold.
    """

    type: str
    data: Mapping[str, Any]
    id: str = field(default_factory=_new_id)
    time: datetime = field(default_factory=_now)
    extensions: Mapping[str, str | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.type or not self.id:
            raise ValueError("An event has a type and an id.")
        if not isinstance(self.data.get("member_id"), str):
            raise ValueError("An event's data names its member in member_id.")  # noqa: TRY004 (what it holds, not what was passed)
        if self.time.utcoffset() is None:
            raise ValueError("An event's time has a time zone.")
        if _ATTRIBUTES & self.extensions.keys():
            raise ValueError("An extension may not take the name of a CloudEvents attribute.")
        _encoded(self.data)

    @property
    def member_id(self) -> str:
        """Whose timeline it belongs to."""
        member_id: str = self.data["member_id"]
        return member_id

    def sealed(self, source: str) -> Envelope:
        """The event as it goes over the wire, published by ``source``."""
        head = {"specversion": "1.0", "id": self.id, "source": source, "type": full_type(self.type), "time": self.time}
        body = _encoded({**head, "datacontenttype": "application/json", **self.extensions, "data": self.data})
        return Envelope(self.id, self.member_id, body)


class Envelope(NamedTuple):
    """A CloudEvent that is written down: ``body`` is its structured JSON."""

    event_id: str
    member_id: str
    body: str


def full_type(name: str) -> str:
    """``task.in_progress`` is ``com.includedhealth.sessions.task.in-progress``; a whole type stays as it is."""
    if name.startswith(PREFIX):
        return name
    suffix = name.replace("_", "-")
    return PREFIX + (suffix.replace("session.", "lifecycle.", 1) if suffix.startswith("session.") else suffix)


def body_of(envelopes: Sequence[Envelope]) -> tuple[str, str]:
    """(content type, body) of a request that publishes them together: all are taken or none."""
    if len(envelopes) == 1:
        return "application/cloudevents+json", envelopes[0].body
    return "application/cloudevents-batch+json", f"[{','.join(each.body for each in envelopes)}]"


def _encoded(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("An event's text is not valid Unicode.") from None
    return text


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case datetime():
            if value.utcoffset() is None:
                raise ValueError("A datetime in an event has a time zone.")
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Mapping():
            return dict(value)
    raise TypeError(f"An event cannot hold a {type(value).__name__}.")
