"""schemathesis over the whole API: the real rooms and a real store, in process, with a token of one role."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.config._checks import NEGATIVE_DATA_REJECTION_EXPECTED_STATUSES
from schemathesis.engine import events, from_schema
from schemathesis.python.asgi import get_client, shutdown_lifespans

from session_platform import directory
from session_platform.access import Rights
from session_platform.careflow import assigned
from session_platform.clock import ManualClock
from session_platform.ids import IdMint
from session_platform.sessions import participates
from session_platform.store.sqlite import SqliteStore
from tests.api.stage import Stage, accounts_of, opened, raised, submitted

KNOWN: Final[Mapping[str, list[str]]] = {
    "members": ["M123456", "M200001", "nobody"],
    "accounts": ["A789012", "A789013"],
    "staff": ["C001", "C002", "nobody"],
    "services": ["RTE", "EMO", "VPC", "Claims"],
}
"""Ids that a description cannot name and chance does not find; those of things that a `Served` made come to them."""
REFERENCES: Final = re.compile(
    r"/(query/page_token|member_id|staff_id|participants(/\d+)?|service|subject|data(/.*)?|result(/.*)?|metadata)"
)
"""Where a body or parameter names a thing, or is bound in bytes (`metadata`)."""
OF_EVENTS: Final = re.compile(r"/header/ce-\w+|(/\d+)?/(data/.*|[a-z0-9]*)")
"""Where an event says something that its type or the state of things forbids: the ingest's tests hold which. In binary mode its
attributes are headers, which only its media type makes necessary."""
BINDINGS: Final[Mapping[str, str]] = {
    "path.member_id": "members",
    "path.staff_id": "staff",
    "path.session_id": "sessions",
    "path.service_request_id": "requests",
    "path.task_id": "tasks",
    "path.coverage_id": "coverages",
    "path.name": "schemas",
    "body.member_id": "members",
    "body.staff_id": "staff",
    "body.service": "services",
    "body.subject": "accounts",
}


Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True)
class Finding:
    """A broken promise, and how to see it again."""

    call: str
    check: str
    told: str
    again: str

    def __str__(self) -> str:
        return f"{self.call}: {self.check}: {self.told}\n  {self.again}"


class Served:
    """The API as an ASGI application that raises its stage, store and all, when it starts; ``known`` are the ids of what is
    there then: a member's open sessions, requests for each service, and one that succeeded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.stage: Stage
        self.known: dict[str, list[str]] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self.stage.app({**scope, "client": ("127.0.0.1", 5)}, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        clock = ManualClock()
        store = await SqliteStore.open(self._folder, clock, IdMint())
        async with raised(store, clock) as stage:
            self.stage = stage.with_parts(rights=Rights((participates, assigned, directory.on_panel), accounts_of))
            self.known = await self._peopled()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await store.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _peopled(self) -> dict[str, list[str]]:
        async with self.stage.http(self.stage.member()) as http:
            sessions = [await opened(http) for _ in range(6)]
            requests = [await submitted(http, sessions[0], service=each) for each in ["RTE", *KNOWN["services"]] * 2]
            # Others than those, since whoever cancels a request ends its tasks.
            work = [await submitted(http, sessions[0], service=each) for each in ["EMO", "Claims"] * 5]
        coverage = await self.stage.succeed(requests[0])
        return {
            "sessions": [each["session_id"] for each in sessions],
            "requests": [each["service_request_id"] for each in requests],
            "tasks": [task["task_id"] for each in work for task in each["tasks"]],
            "coverages": [coverage],
            "schemas": ["event", "task.completed.delivered"],
        }


def token_of(role: str, stage: Stage) -> str:
    match role:
        case "member":
            return stage.member()
        case "care_team" | "clinician":
            return stage.token(role, staff_id="C001" if role == "care_team" else "C002", name="Somebody")
        case _:
            return stage.token(role)


MAY_USE: Final[Mapping[str, str]] = {
    "member": r"^/(?!v1/(admin|audit|events))",
    "care_team": r"^/v1/(?!admin|audit|events|flags|services)",
    "clinician": r"^/v1/(tasks|members|service-requests)",
    "service": r"^/v1/(sessions|tasks|events)",
    "admin": r"^/v1/(admin|audit|flags)",
}
"""The paths of the calls that a role may use, the public ones once: that the others are refused is tested on each call."""


@dataclass
class Report:
    """What was found, and which calls were answered with success: what was never reached was not tested."""

    findings: list[Finding] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)


def fuzzed(folder: Path, role: str, seed: int, examples: int) -> Report:
    """Ask everything of the API with a token of ``role``: what it answers against its own description."""
    report = Report()
    app = Served(folder)
    try:
        with get_client(app):
            config = _config(seed, examples, {**KNOWN, **app.known})
        schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=config)
        schema.config.update(headers={"Authorization": f"Bearer {token_of(role, app.stage)}"})
        for event in from_schema(schema.include(path_regex=MAY_USE[role])).execute():
            report.findings += _found(event)
            report.answered |= _answered(event)
    finally:
        shutdown_lifespans()
    return report


def _config(seed: int, examples: int, known: Mapping[str, list[str]]) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "dictionaries": {name: {"values": values} for name, values in known.items()},
            "parameters": {place: {"dictionary": name, "probability": 0.8} for place, name in BINDINGS.items()},
            "generation": {"max-examples": examples},
            # Beside its own: a body may be too large before anybody can see that it is also wrong.
            "checks": {"negative_data_rejection": {"expected-statuses": [*NEGATIVE_DATA_REJECTION_EXPECTED_STATUSES, "413"]}},
            "continue-on-failure": True,
        }
    )


def _found(event: events.EngineEvent) -> Iterator[Finding]:
    if isinstance(event, events.NonFatalError | events.FatalError):
        yield Finding("engine", type(event).__name__, str(getattr(event, "value", getattr(event, "exception", event))), "")
    if not isinstance(event, events.ScenarioFinished):
        return
    for case_id, checks in event.recorder.checks.items():
        answer = event.recorder.interactions[case_id].response
        for check in checks:
            info, call = check.failure_info, event.recorder.cases[case_id].value
            if info is None or (check.name == "positive_data_acceptance" and beyond_description(call, answer)):
                continue
            told = f"{info.failure.title}: {info.failure.message} {answer and answer.text[:500]}"
            yield Finding(f"{event.phase.value} {call.operation.label}", check.name, told, info.code_sample)


def _answered(event: events.EngineEvent) -> set[str]:
    if not isinstance(event, events.ScenarioFinished):
        return set()
    calls = {
        event.recorder.cases[case_id].value.operation.label: interaction.request.method
        for case_id, interaction in event.recorder.interactions.items()
        if interaction.response is not None and interaction.response.status_code < 300 and case_id in event.recorder.cases
    }
    # It also tries methods that a path does not have, OPTIONS among them.
    return {label for label, method in calls.items() if label.startswith(method)}


def beyond_description(call: Any, answer: Any) -> bool:
    """Whether a request was refused only for what a description cannot say: which things there are, what a service asks for,
    what an event means, and that no number anywhere has more than 64 bits."""
    if answer is None or answer.status_code != 422:
        return False
    sayable = OF_EVENTS if call.operation.label == "POST /v1/events" else REFERENCES
    pointers = {each["pointer"] for each in answer.json()["errors"]}
    return all(sayable.fullmatch(each) for each in pointers) or (pointers == {""} and has_wide_number(call.body))


def has_wide_number(value: Any) -> bool:
    """Whether JSON has an integer that 64 bits do not hold."""
    if isinstance(value, dict | list):
        return any(has_wide_number(each) for each in (value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(2**63) <= value < 2**63
