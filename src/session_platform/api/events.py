"""``POST /v1/events``: what a backend publishes, in any of the three HTTP bindings of CloudEvents."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from session_platform.api.call import SERVICE, Call, answer, by
from session_platform.api.contracts import published_event
from session_platform.api.describe import READING_BODY, Schema, described, of
from session_platform.api.reading import bounded
from session_platform.contract import CATALOGUE
from session_platform.errors import DisabledByFlag, Invalid
from session_platform.ingest import Outcome, RawEvent, Taken, binding

CREATION: Final = CATALOGUE["session.created"].type
router = APIRouter()


class TakenEvent(Struct, frozen=True):
    """``outcome``: ``accepted``; ``duplicate``, it was taken before; ``unchanged``, it says what is so already."""

    source: str
    id: str
    outcome: Outcome


class Receipt(Struct, frozen=True):
    """``accepted`` counts the events that are new on a timeline; ``events`` says what became of each, in the order sent."""

    accepted: int
    events: tuple[TakenEvent, ...]


EVENT: Final = published_event()
TAKES: Final[Schema] = {
    "required": True,
    "description": "In binary mode the attributes are ce-* headers, and the body is the data.",
    "content": {
        binding.STRUCTURED: {"schema": EVENT},
        binding.BATCH: {"schema": {"type": "array", "items": EVENT, "maxItems": binding.EVENTS_MAX}},
        binding.BINARY: {"schema": {"type": "object"}},
    },
}
DESCRIPTION: Final = described("Publish events.", schema=of(Receipt), status=202, problems=READING_BODY)


@router.post("/v1/events", **{**DESCRIPTION, "openapi_extra": {**DESCRIPTION["openapi_extra"], "requestBody": TAKES}})
async def publish_events(request: Request, call: Annotated[Call, by("events.publish", SERVICE)]) -> Response:
    """Whatever is refused is on record, and none of it taken."""
    body = await bounded(request)
    try:
        events = binding.read(request.headers.items(), body)
        taken = await _published(call, events)
    except Invalid as error:
        await call.refused(error.code)
        raise
    told = tuple(TakenEvent(*each) for each in taken)
    return answer(Receipt(sum(each.outcome is Outcome.ACCEPTED for each in told), told), 202)


async def _published(call: Call, events: list[RawEvent]) -> list[Taken]:
    if not call.platform.flags(call.identity).get("enable-digital-sessions", True) and any(
        each.attributes.get("type") == CREATION for each in events
    ):
        raise DisabledByFlag
    return await call.platform.ingest.publish(call.identity.subject, events, call.allowed, call.traceparent)
