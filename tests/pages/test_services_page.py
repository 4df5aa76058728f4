"""The example on the services page is a service: it is loaded, and its function runs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from session_platform.careflow import SERVICES, Failed, Succeeded, TaskRun, load_catalogue
from session_platform.errors import StartError

PAGE = (Path(__file__).parents[2] / "docs" / "services.md").read_text()


def block(info: str) -> str:
    """The code block that opens with this info string."""
    found = re.search(rf"^```{re.escape(info)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, info
    return found.group(1)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory with the page's declaration; its module is importable."""
    (tmp_path / "clinic_records.py").write_text(block("python clinic_records.py"))
    (tmp_path / "second_opinion.toml").write_text(block("toml services/second_opinion.toml"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "clinic_records", raising=False)
    return tmp_path


def test_the_example_has_a_task_of_each_kind(example: Path) -> None:
    service = load_catalogue(SERVICES, example).services["SECOND_OPINION"]
    assert [task.done_by for task in service.tasks] == ["system", "human", "service"]


async def test_the_function_of_the_example_answers_and_fails_as_declared(example: Path) -> None:
    catalogue = load_catalogue(example)
    collect = catalogue.functions["clinic_records:collect"]
    run = TaskRun(
        task_id="task_1", task_type="COLLECT_RECORDS", attempt=1, try_number=1, service_request_id="sr_1", session_id=None,
        member_id="M1", subject="A1", data={"diagnosis": "angina"}, timeout_s=120,
    )  # fmt: skip
    done = await collect(run)
    assert isinstance(done, Succeeded)
    assert json.loads(done.result) == {"records": 3}
    failed = await collect(
        TaskRun(**{**{name: getattr(run, name) for name in run.__slots__}, "data": {"diagnosis": "unknown"}})
    )
    assert isinstance(failed, Failed)
    assert catalogue.failure(catalogue.services["SECOND_OPINION"], failed.code) is not None


def test_a_mistake_in_the_example_is_reported_as_the_page_says(example: Path) -> None:
    path = example / "second_opinion.toml"
    path.write_text(path.read_text().replace('role = "CLINICIAN"\nspeciality = "PSYCHIATRY"\n', ""))
    with pytest.raises(StartError) as error:
        load_catalogue(example)
    shown = block("text").strip().removeprefix("session-platform: services/")
    line = re.compile(r":\d+: ")
    assert line.sub(":N: ", str(error.value)) == line.sub(":N: ", f"{example}/{shown}")
    assert f":{path.read_text().splitlines().index('[[tasks]]', 25) + 1}: " in str(error.value)


@pytest.mark.parametrize("code", sorted(load_catalogue(SERVICES).services))
def test_the_page_has_a_row_for_each_service_with_its_tasks_and_data(code: str) -> None:
    service = load_catalogue(SERVICES).services[code]
    row = re.search(rf"^\| `{code}` \|.*$", PAGE, re.MULTILINE)
    assert row is not None
    for task in service.tasks:
        assert task.type in row.group(0)
    for name in (service.data_schema or {}).get("properties", {}):
        assert f"`{name}`" in row.group(0)


def test_the_page_explains_every_key_of_a_declaration() -> None:
    from session_platform.careflow.catalogue import ServiceDefinition, TaskDefinition

    rows = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    for name in (*ServiceDefinition.__struct_fields__, *TaskDefinition.__struct_fields__):
        assert f"`{name}`" in rows or name in {"tasks", "failures"}, name
