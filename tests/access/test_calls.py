"""The API's routes against the policy: each call is in the table, and lets in exactly the roles that the table names."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from fastapi.routing import APIRoute

from session_platform.access.policy import CALLS, Role
from session_platform.api.app import RESOURCES
from session_platform.clock import ManualClock
from session_platform.store.sqlite import SqliteStore
from tests.api.stage import Stage, raised

UNAUTHENTICATED = "operations", "contracts"
REST = sorted(call for call in CALLS if " " in call)


def declared() -> set[str]:
    """Every call that wants a token, as its route says it."""
    return {
        f"{method} {route.path}"
        for resource in RESOURCES
        if resource.__name__.rpartition(".")[2] not in UNAUTHENTICATED
        for route in resource.router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


@pytest.fixture
async def stage(store: SqliteStore, clock: ManualClock) -> AsyncIterator[Stage]:
    async with raised(store, clock) as stage:
        yield stage


def token(stage: Stage, role: Role) -> str:
    match role:
        case Role.MEMBER:
            return stage.member()
        case Role.CARE_TEAM | Role.CLINICIAN:
            return stage.token(role.value, staff_id="C001", name="Dana")
        case Role.SERVICE | Role.ADMIN:
            return stage.token(role.value)


def test_the_table_names_every_call_of_the_api_and_no_other() -> None:
    assert declared() == set(REST)


async def test_every_call_refuses_exactly_the_roles_that_the_table_does_not_name(stage: Stage) -> None:
    refused: dict[str, set[Role]] = {call: set() for call in REST}
    for role in Role:
        async with stage.http(token(stage, role)) as http:
            for call in REST:
                method, path = call.split(" ")
                answer = await http.request(method, re.sub(r"{(\w+)}", r"nobody_\1", path))
                assert answer.status_code not in {401, 405, 500}, call
                if answer.status_code == 403:
                    refused[call].add(role)
    assert refused == {call: set(Role) - CALLS[call].roles for call in REST}
