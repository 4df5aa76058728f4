"""What becomes of requests whose service was taken out of the declarations, or changed, between two starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from session_platform.careflow import SERVICES, Careflow, Hand, Outcome, TaskRun, Worker, load_catalogue
from session_platform.careflow.withdrawal import LOOK_EVERY_S, WITHDRAW_AFTER_S, Withdrawal
from session_platform.clock import ManualClock
from session_platform.contract import ProcessingStage, ServiceDeliveryOutcome, TaskOutcome
from session_platform.errors import Conflict
from tests.careflow.made_up import FILES, FUNCTIONS, PAYER_FAILURES, SESSION, Clinic

DANA = Hand(id="C001", name="Dana Reyes")
PRINTER = Hand(id="printer")
INTAKE = {"first_name": "Ada", "born": "1990-01-01"}


def reopened(clinic: Clinic, directory: Path, **files: str | None) -> Clinic:
    """The clinic after another start, with these declarations instead (None: removed)."""
    directory.mkdir()
    for name, text in FILES.items():
        changed = files.get(name.removesuffix(".toml"), text)
        if changed is not None:
            (directory / name).write_text(changed)
    catalogue = load_catalogue(SERVICES, directory, failures=PAYER_FAILURES, functions=FUNCTIONS)
    return replace(clinic, careflow=Careflow(catalogue, clinic.careflow.neighbours))


async def unused(run: TaskRun) -> Outcome:
    raise AssertionError(run.task_type)


def hired(clinic: Clinic) -> Worker:
    executors = dict.fromkeys(clinic.careflow.catalogue.function_names(), unused)
    return Worker(
        store=clinic.store,
        careflow=clinic.careflow,
        executors=executors,
        clock=clinic.clock,
        owner="w1",
        concurrency=4,
    )


async def test_open_requests_of_a_removed_service_end_after_a_while_and_tell_it_in_order(
    clinic: Clinic, clock: ManualClock, tmp_path: Path
) -> None:
    begun, unclaimed = await clinic.submit("ADVICE"), await clinic.submit("ADVICE")
    task_id = begun.tasks[0].task_id
    await clinic.take(task_id, DANA)
    await clinic.start(task_id, DANA)
    told = len(await clinic.events())
    clinic = reopened(clinic, tmp_path / "later", advice=None)
    worker = hired(clinic)
    clinic.rights.clear()
    with capture_logs() as logs:
        await worker.tick()
        await worker.tick()
    assert [(each["event"], each["service"], each["task_type"]) for each in logs] == [
        ("service.undeclared", "ADVICE", "ADVISE")
    ]
    assert [note.split(":")[0] for note in worker.notes()] == ["ADVISE of the service ADVICE is no longer declared"]
    clock.advance(WITHDRAW_AFTER_S - 1)
    await worker.tick()
    assert len(await clinic.events()) == told, "who forgot the directory has a while to notice"
    clock.advance(LOOK_EVERY_S)
    await worker.tick()
    assert await clinic.names(told) == ["task.completed", "service_request.completed"] * 2
    for request in (begun, unclaimed):
        ended = await clinic.view(request.service_request_id)
        assert ended.outcome is ServiceDeliveryOutcome.FAILED
        assert ended.error is not None
        assert ended.error.code == "service_changed"
        assert (await clinic.task(request.tasks[0].task_id)).outcome is TaskOutcome.CANCELED
    assert clinic.rights == ["C001"], "the right that rested on the task is over"
    assert clinic.closed == [SESSION, SESSION]
    clock.advance(LOOK_EVERY_S)
    await worker.tick()
    assert worker.notes() == []


async def test_what_is_declared_again_in_time_goes_on(clinic: Clinic, clock: ManualClock, tmp_path: Path) -> None:
    request = await clinic.submit("ADVICE")
    worker = hired(reopened(clinic, tmp_path / "later", advice=None))
    await worker.tick()
    clock.advance(WITHDRAW_AFTER_S + LOOK_EVERY_S)
    await hired(reopened(clinic, tmp_path / "again")).tick()
    assert (await clinic.view(request.service_request_id)).completed_at is None


async def test_what_is_no_longer_declared_is_claimed_by_nobody_and_can_be_canceled(clinic: Clinic, tmp_path: Path) -> None:
    request = await clinic.submit("ADVICE")
    clinic = reopened(clinic, tmp_path / "later", advice=None)
    with pytest.raises(Conflict, match="no longer offered"):
        await clinic.take(request.tasks[0].task_id, DANA)
    assert clinic.rights == [], "nobody gets a right to a member by a task that cannot be given back"
    assert (await clinic.cancel(request.service_request_id)).outcome is ServiceDeliveryOutcome.CANCELED


@pytest.mark.parametrize(
    ("name", "service", "changed"),
    [
        ("letter", "LETTER", FILES["letter.toml"].replace('"PRINT"', '"PRESS"')),
        ("intake", "INTAKE", FILES["intake.toml"].replace('function = "check"\n', "")),
        ("intake", "INTAKE", FILES["intake.toml"].replace('"FILE"', '"STORE"')),
    ],
    ids=["another task instead", "no function any more", "a task that was ahead"],
)
async def test_a_service_that_changed_under_a_request_ends_it(
    clinic: Clinic, clock: ManualClock, tmp_path: Path, name: str, service: str, changed: str
) -> None:
    request = await clinic.submit(service, data=INTAKE)
    if service == "INTAKE":
        await clinic.succeed(await clinic.claim(request.tasks[0].task_id))
        await clinic.claim(request.tasks[1].task_id)
    else:
        await clinic.start(request.tasks[0].task_id, PRINTER)
    clinic = reopened(clinic, tmp_path / "later", **{name: changed})
    withdrawal = Withdrawal(clinic.store, clinic.careflow, clock)
    for _ in range(2):
        await withdrawal.tick()
        clock.advance(WITHDRAW_AFTER_S)
    ended = await clinic.view(request.service_request_id)
    assert ended.error is not None
    assert ended.error.code == "service_changed"
    assert ended.stage is not ProcessingStage.FINALIZING


async def test_a_change_that_leaves_the_tasks_what_they_are_ends_nothing(
    clinic: Clinic, clock: ManualClock, tmp_path: Path
) -> None:
    advice, letter = await clinic.submit("ADVICE"), await clinic.submit("LETTER")
    clinic = reopened(
        clinic,
        tmp_path / "later",
        advice=FILES["advice.toml"].replace("usual_s = 600", "usual_s = 60").replace("due_s = 3600", ""),
        letter=FILES["letter.toml"].replace('executor = "system"', 'executor = "system"\nfunction = "file"'),
    )
    worker = hired(clinic)
    await worker.tick()
    clock.advance(WITHDRAW_AFTER_S + LOOK_EVERY_S)
    await worker.tick()
    await clinic.take(advice.tasks[0].task_id, DANA)
    await clinic.start(advice.tasks[0].task_id, DANA)
    await clinic.complete(advice.tasks[0].task_id, DANA, advice="Rest.")
    await clinic.start(letter.tasks[0].task_id, PRINTER)
    await clinic.complete(letter.tasks[0].task_id, PRINTER, pages=1)
    for request in (advice, letter):
        assert (await clinic.view(request.service_request_id)).outcome is ServiceDeliveryOutcome.SUCCESS
