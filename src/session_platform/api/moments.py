"""A time in a body or parameter: RFC 3339 with its offset, as text and in no other way."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from pydantic import BeforeValidator, WithJsonSchema

SCHEMA: Final = {"type": "string", "format": "date-time"}


def moment(value: Any) -> datetime:
    """The time that ``value`` says, in UTC. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError("no text")  # noqa: TRY004 (pydantic takes this one for a refusal)
    try:
        said: datetime = msgspec.convert(value, Annotated[datetime, Meta(tz=True)])
        return said.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise ValueError("no RFC 3339 time") from None


Moment = Annotated[datetime, BeforeValidator(moment), WithJsonSchema(SCHEMA)]
