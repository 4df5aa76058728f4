"""Requests to the simulated clearinghouse."""

from __future__ import annotations

import json
from typing import Any

from session_platform.simulators.clearinghouse.service import PATH
from session_platform.simulators.http import Request

KEY = {"authorization": "Key test"}


def body(member_id: str = "W300007", **fields: Any) -> dict[str, Any]:
    """An acceptable request's body."""
    return {
        "payerId": "BCBS1",
        "provider": {"name": {"organization": "Clinic"}, "npi": "1999999984"},
        "subscriber": {
            "memberId": member_id,
            "dateOfBirth": "1985-04-12",
            "name": {"person": {"firstName": "Demo", "lastName": "Member"}},
        },
        "encounter": {"services": [{"value": "30", "system": "STC"}]},
        **fields,
    }


def request(sent: object = None, *, key: str | None = None, **changes: Any) -> Request:
    """A request over HTTP; ``key`` is its idempotency key."""
    headers = KEY | ({"idempotency-key": key} if key else {})
    content = sent if isinstance(sent, bytes) else json.dumps(body() if sent is None else sent).encode()
    return Request(**{"method": "POST", "path": PATH, "headers": headers, "body": content, **changes})
