"""Answers of a payer for tests: the parts that a test is about, the rest ordinary."""

from __future__ import annotations

from typing import Any

import msgspec

Json = dict[str, Any]


def answer(*plans: Json, errors: list[Json] | None = None, **fields: Any) -> bytes:
    """The body of a 200."""
    body: Json = {"id": "ec_1", "x12": "ISA*00~", "payer": {"type": "PAYER", "name": {"organization": "BLUE CROSS"}}}
    if errors is not None:
        body["errors"] = errors
    if plans:
        body["plans"] = list(plans)
    return msgspec.json.encode(body | fields)


def plan(*statuses: str | Json, name: str | None = None, **benefits: list[Json]) -> Json:
    """A plan; a status as text is one of the plan as a whole."""
    entries = [status if isinstance(status, dict) else entry(status=status) for status in statuses]
    found: Json = {"benefits": {"statuses": entries, **benefits}}
    return found if name is None else {"name": name, **found}


def entry(code: str = "30", network: str = "IN_NETWORK", **fields: Any) -> Json:
    """A status or benefit for an X12 service type code."""
    return {
        "coverageLevel": "INDIVIDUAL",
        "network": {"indicator": network},
        "service": {"value": code, "definition": f"Service {code}", "system": "STC"},
        **fields,
    }


def error(code: str, followup: str = "Please Correct and Resubmit", **fields: Any) -> Json:
    """An AAA error."""
    return {"code": code, "description": "As the payer puts it", "followupAction": followup, "location": "SUBSCRIBER", **fields}


ACTIVE = answer(plan("ACTIVE_COVERAGE", name="Gold"), subscriber={"dates": {"plan": {"start": "2026-01-01"}}})
NOT_FOUND = answer(errors=[error("75")])
UNAVAILABLE = answer(errors=[error("42", "Resubmission Allowed")])
