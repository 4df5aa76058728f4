"""Made-up services, and a clinic that offers them: careflow over a real store, with sessions that are two sets."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from session_platform.careflow import (
    SERVICES,
    Careflow,
    Completion,
    Failed,
    Failure,
    Hand,
    Neighbours,
    NewRequest,
    RequestView,
    Succeeded,
    TaskRun,
    TaskView,
    load_catalogue,
)
from session_platform.careflow.catalogue import OWN_FUNCTIONS
from session_platform.clock import ManualClock
from session_platform.contract import TaskOutcome
from session_platform.errors import Conflict
from session_platform.store import Reader, Store, Tx, outbox

MEMBER: Final = "M1"
SESSION: Final = "sess_1"
PREFIX: Final = "com.includedhealth.sessions."
RESULT: Final = b'{"answer":42}'
PAYER_FAILURES: Final = {
    "subscriber_not_found": Failure(message="The insurance company does not know this person.", retryable=False),
    "payer_unavailable": Failure(message="The insurance company is not available.", retryable=True),
    "payer_timeout": Failure(message="The insurance company did not answer.", retryable=True, answered=False),
    "payer_rejected": Failure(message="The insurance company rejected the check.", retryable=False),
}
NOTHING_ELSE_WAITS: Final = 0.5
"""A jitter in the middle."""

FILES: Final = {
    "intake.toml": """
code = "INTAKE"
title = "Intake"
[data_schema]
type = "object"
required = ["first_name", "born"]
additionalProperties = false
[data_schema.properties.first_name]
type = "string"
minLength = 1
[data_schema.properties.born]
type = "string"
format = "date"
[data_schema.properties.visits]
type = "array"
maxItems = 2
[[tasks]]
type = "FIND"
title = "Find the person"
executor = "system"
function = "find"
usual_s = 10
max_attempts = 3
back_off_s = 4
[[tasks]]
type = "CHECK"
title = "Check the papers"
executor = "system"
function = "check"
usual_s = 20
[[tasks]]
type = "FILE"
title = "File them"
executor = "system"
function = "file"
usual_s = 10
[failures.lost]
message = "The papers are lost."
retryable = true
[failures.unreachable]
message = "Nobody answered."
retryable = true
answered = false
[failures.refused]
message = "They were refused."
retryable = false
""",
    "survey.toml": """
code = "SURVEY"
title = "Survey"
order = "parallel"
[[tasks]]
type = "LEFT"
title = "Left"
executor = "system"
function = "left"
usual_s = 10
[[tasks]]
type = "RIGHT"
title = "Right"
executor = "system"
function = "right"
usual_s = 30
[failures.refused]
message = "It was refused."
retryable = false
""",
    "form.toml": """
code = "FORM"
title = "A form to fill in"
[[tasks]]
type = "FILL_IN"
title = "Fill in the form"
executor = "human"
role = "MEMBER"
usual_s = 3600
due_s = 86400
[tasks.form]
type = "object"
required = ["name"]
additionalProperties = false
properties.name.type = "string"
[[tasks]]
type = "FILE"
title = "File it"
executor = "system"
function = "file"
usual_s = 10
""",
    "advice.toml": """
code = "ADVICE"
title = "Advice"
[[tasks]]
type = "ADVISE"
title = "Give advice"
executor = "human"
role = "CARE_TEAM"
usual_s = 600
due_s = 3600
[tasks.form]
type = "object"
required = ["advice"]
additionalProperties = false
properties.advice.type = "string"
[failures.gone]
message = "The advisor is gone."
retryable = true
""",
    "letter.toml": """
code = "LETTER"
title = "A letter"
[data_schema]
type = "object"
[[tasks]]
type = "PRINT"
title = "Print it"
executor = "system"
usual_s = 10
attempt_timeout_s = 30
max_attempts = 3
[failures.jam]
message = "The paper is jammed."
retryable = true
[failures.no_such_address]
message = "There is no such address."
retryable = false
""",
}
FUNCTIONS: Final = {"find", "check", "file", "left", "right", *OWN_FUNCTIONS}


@dataclass
class Clinic:
    """Careflow as its callers have it; ``opened``, ``closed`` and ``active`` are what it told the sessions, ``rights`` whose it
    told access of."""

    store: Store
    clock: ManualClock
    careflow: Careflow
    opened: list[str]
    closed: list[str]
    active: list[str]
    rights: list[str]
    ended: set[str] = field(default_factory=set)

    async def run(self, command: Callable[[Tx], Any]) -> Any:
        return await self.store.run(command, MEMBER)

    async def submit(self, service: str = "RTE", **fields: Any) -> RequestView:
        new = NewRequest(**{"session_id": SESSION, "member_id": MEMBER, "initiator_id": MEMBER, "service": service, **fields})
        view: RequestView = await self.run(lambda tx: self.careflow.submit(tx, new))
        return view

    async def view(self, service_request_id: str) -> RequestView:
        view = await self.store.read(lambda reader: self.careflow.view(reader, service_request_id, self.clock.now()))
        assert view is not None
        return view

    async def claim(self, task_id: str, owner: str = "w1") -> TaskRun:
        run = await self.claim_if_possible(task_id, owner)
        assert run is not None
        return run

    async def claim_if_possible(self, task_id: str, owner: str = "w1") -> TaskRun | None:
        run: TaskRun | None = await self.run(lambda tx: self.careflow.claim(tx, task_id, owner))
        return run

    async def succeed(self, run: TaskRun, result: bytes = RESULT) -> None:
        await self.run(lambda tx: self.careflow.succeed(tx, run, Succeeded(result)))

    async def fail(self, run: TaskRun, code: str, payer_errors: bytes | None = None, jitter: float = 1.0) -> None:
        await self.run(lambda tx: self.careflow.fail(tx, run, Failed(code, payer_errors), jitter))

    async def cancel(self, service_request_id: str, actor: str = MEMBER) -> RequestView:
        view: RequestView = await self.run(lambda tx: self.careflow.cancel(tx, service_request_id, actor))
        return view

    async def take(self, task_id: str, who: Hand) -> TaskView:
        view: TaskView = await self.run(lambda tx: self.careflow.hands.claim(tx, task_id, who))
        return view

    async def release(self, task_id: str, who: Hand) -> TaskView:
        view: TaskView = await self.run(lambda tx: self.careflow.hands.release(tx, task_id, who))
        return view

    async def start(self, task_id: str, who: Hand) -> TaskView:
        view: TaskView = await self.run(lambda tx: self.careflow.hands.start(tx, task_id, who))
        return view

    async def complete(
        self, task_id: str, who: Hand, outcome: str = "SUCCESS", attempt: int | None = None, **result: Any
    ) -> TaskView:
        digest = json.dumps([outcome, attempt, result], sort_keys=True).encode()
        completion = Completion(outcome=TaskOutcome(outcome), result=result, attempt=attempt, digest=digest)
        view: TaskView = await self.run(lambda tx: self.careflow.hands.complete(tx, task_id, who, completion))
        return view

    async def lapse(self, task_id: str) -> None:
        await self.run(lambda tx: self.careflow.hands.lapse(tx, task_id))

    async def task(self, task_id: str) -> TaskView:
        view = await self.store.read(lambda reader: self.careflow.task(reader, task_id))
        assert view is not None
        return view

    async def events(self, after: int = 0) -> list[tuple[str, dict[str, Any]]]:
        """(short suffix, data) of everything told after this number."""
        return await self.store.read(lambda reader: told(reader, after))

    async def names(self, after: int = 0) -> list[str]:
        return [name for name, _ in await self.events(after)]


def told(reader: Reader, after: int = 0, member_id: str = MEMBER) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for event in outbox.page(reader, member_id, after, 10_000):
        cloud_event = json.loads(event.body)
        found.append((event.name, cloud_event["data"]))
    return found


def open_clinic(store: Store, clock: ManualClock, services: Path) -> Clinic:
    """``services`` is a directory of the test's own for the made-up services."""
    services.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (services / name).write_text(text)
    opened: list[str] = []
    closed: list[str] = []
    ended: set[str] = set()

    def open_request(tx: Tx, session_id: str) -> None:
        if session_id in ended:
            raise Conflict
        opened.append(session_id)

    active: list[str] = []
    rights: list[str] = []
    neighbours = Neighbours(
        opened=open_request,
        closed=lambda tx, session_id: closed.append(session_id),
        active=lambda tx, session_id: active.append(session_id),
        rights_changed=lambda tx, member_id, staff_id: rights.append(staff_id),
    )
    careflow = Careflow(load_catalogue(SERVICES, services, failures=PAYER_FAILURES, functions=FUNCTIONS), neighbours)
    return Clinic(store, clock, careflow, opened, closed, active, rights, ended)
