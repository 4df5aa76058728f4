"""Which fields of an event may ride a timeline.

The contract marks the fields; the operator's public codes (intents and reasons that are no health data) are an argument.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Any, Final, TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from session_platform.contract._generated import DurableEvent, EphemeralEvent
from session_platform.contract.catalogue import spec_of

E = TypeVar("E", bound=DurableEvent | EphemeralEvent)

DEFAULT_PUBLIC_CODES: Final = frozenset({"check_coverage", "verify_coverage"})


def redact(event: E, public_codes: Set[str] = DEFAULT_PUBLIC_CODES) -> E:
    """The event without its health data; the very same object when it has none."""
    spec = spec_of(type(event))
    hidden = [name for name in spec.phi_fields if getattr(event, name) is not UNSET]
    hidden += [
        name
        for name in spec.conditional_phi_fields
        if (value := getattr(event, name)) is not UNSET and value not in public_codes
    ]
    if not hidden:
        return event
    changes: dict[str, Any] = dict.fromkeys(hidden, UNSET)
    return replace(event, **changes)
