"""Putting back what an event only refers to: health data never rides a timeline, a ``*_ref`` stands in its place."""

from __future__ import annotations

import re
from collections.abc import Callable

from digital_session._generated import CATALOGUE
from digital_session._rest import Rest
from digital_session.errors import DigitalSessionError, NotFoundError
from digital_session.events import Envelope, Record

# Only what the platform mints: a path below /v1/ of the own origin, without a step back, a query or an escape.
_REF = re.compile(r"/v1(/[A-Za-z0-9_-]+)+")


class Hydrator:
    """Fetches references. A server fault is retried for as long as it lasts, since what comes after has to wait its turn."""

    def __init__(self, rest: Rest, report: Callable[[DigitalSessionError], None], *, enabled: bool) -> None:
        self._rest = rest
        self._report = report
        self._enabled = enabled

    async def whole(self, envelope: Envelope) -> Envelope:
        """``envelope`` with every referenced field in its data; one that is not to be had stays absent."""
        spec = CATALOGUE.get(envelope.name)
        data = envelope.get("data")
        if spec is None or not self._enabled or not isinstance(data, Record):
            return envelope
        found = {
            field: await self._field(field, data[ref]) for field, ref in spec.refs.items() if ref in data and field not in data
        }
        there = {field: value for field, value in found.items() if value is not None}
        return Envelope({**envelope, "data": Record({**data, **there})}) if there else envelope

    async def result(self, ref: str) -> Record:
        """What a ``result_ref`` names: the bare result. Raises a typed error when it is not to be had."""
        if not is_followed(ref):
            raise NotFoundError("The reference is not one of the platform's own.")
        body = await self._rest.get(ref, tries=None)
        return body if isinstance(body, Record) else Record()

    async def _field(self, field: str, ref: object) -> object:
        if not is_followed(ref):
            return None
        try:
            body = await self._rest.get(str(ref), tries=None)
        except NotFoundError:
            return None
        except DigitalSessionError as error:
            self._report(error)
            return None
        if field == "result_data":
            return body
        return body.get(field) if isinstance(body, Record) else None


def is_followed(ref: object) -> bool:
    """Whether ``ref`` is a reference that the platform may have minted."""
    return isinstance(ref, str) and _REF.fullmatch(ref) is not None
