"""The API is what it says of itself: schemathesis asks all of it as everybody, in single calls and along its links.

A failure prints how to ask again; ``FUZZ_SEED`` repeats a run, ``FUZZ_EXAMPLES`` makes it longer (``make fuzz``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from tests.api.fuzzing import fuzzed

SEED: Final = int(os.environ.get("FUZZ_SEED", "20"))
EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "5"))

READS: Final = frozenset(
    {
        "GET /v1/sessions/{session_id}",
        "GET /v1/members/{member_id}/sessions/active",
        "GET /v1/service-requests/{service_request_id}",
        "GET /v1/members/{member_id}/tasks",
        "GET /v1/members/{member_id}/context",
        "GET /v1/members/{member_id}/coverage",
        "GET /v1/coverages/{coverage_id}",
    }
)
ACTS: Final = frozenset(
    {
        "POST /v1/sessions",
        "POST /v1/sessions/{session_id}/service-requests",
        "POST /v1/service-requests/{service_request_id}/cancel",
        "POST /v1/sessions/{session_id}/end",
    }
)
REACHED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "member": READS | ACTS | {"GET /v1/services", "GET /v1/flags", "GET /healthz", "GET /schemas/{name}.json"},
        # A body of theirs needs a member's id, which chance mostly leaves out.
        "care_team": (READS | ACTS | {"GET /v1/tasks"}) - {"POST /v1/sessions"},
        "clinician": frozenset({"GET /v1/tasks"}),
        "service": frozenset({"POST /v1/sessions/{session_id}/end"}),
        "admin": frozenset(
            {
                "GET /v1/audit",
                "GET /v1/flags",
                "POST /v1/admin/members/{member_id}/disconnect",
                "POST /v1/admin/tokens/revoke",
                "PUT /v1/admin/staff/{staff_id}/panel/{member_id}",
            }
        ),
    }
)
"""What a run must have been answered with success, so that it says something."""
SEEDS_MAX: Final = 4
"""Chance alone reaches all of it, as a rule at once: the ids that the platform mints differ from run to run."""


@pytest.mark.parametrize("role", sorted(REACHED))
def test_whatever_is_asked_is_answered_as_the_document_says(tmp_path: Path, role: str) -> None:
    answered: set[str] = set()
    for seed in range(SEED, SEED + SEEDS_MAX):
        report = fuzzed(tmp_path / f"store-{seed}", role, seed, EXAMPLES)
        assert not report.findings, f"FUZZ_SEED={seed} FUZZ_EXAMPLES={EXAMPLES}\n" + "\n".join(map(str, report.findings))
        answered |= report.answered
        if REACHED[role] <= answered:
            return
    pytest.fail(f"never answered with success: {sorted(REACHED[role] - answered)}")
