"""Services as data: what is there, and how a mistake in a file is reported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_platform.careflow import SERVICES, Failure, load_catalogue
from session_platform.contract import AssigneeRole
from session_platform.errors import StartError

GOOD = """code = "X"
title = "A service"
[[tasks]]
type = "X_TASK"
title = "Do it"
executor = "system"
usual_s = 4
"""
PERSONS = GOOD.replace('"system"', '"human"\nrole = "CLINICIAN"')
SECOND = GOOD[GOOD.index("[[tasks]]") :]


def loaded_error(directory: Path) -> str:
    with pytest.raises(StartError) as error:
        load_catalogue(directory)
    return str(error.value)


def test_the_coverage_check_is_one_system_task_without_data_that_ends_within_two_minutes() -> None:
    rte = load_catalogue(SERVICES).services["RTE"]
    assert [(task.type, task.executor, task.max_attempts, task.attempt_timeout_s) for task in rte.tasks] == [
        ("RTE_CHECK", "system", 3, 30)
    ]
    assert rte.data_schema is None
    longest_s = 3 * (30 + 5) + 2 + 4
    assert longest_s < 120, "also when the worker has to stop every attempt itself"


def test_an_enrollment_is_three_tasks_of_the_platform_in_order_and_a_form() -> None:
    enrollment = load_catalogue(SERVICES).services["ENROLLMENT_INSTANT_COVERAGE"]
    assert enrollment.order == "sequence"
    assert [(task.type, task.done_by) for task in enrollment.tasks] == [
        ("STONE_CREATION", "system"),
        ("PDID_RETRIEVAL", "system"),
        ("RTE_CHECK", "system"),
    ]
    assert enrollment.data_schema is not None
    assert enrollment.data_schema["required"] == ["first_name", "last_name", "date_of_birth"]
    assert set(enrollment.data_schema["properties"]) == {"first_name", "last_name", "date_of_birth"}


@pytest.mark.parametrize("code", ["EMO", "VPC", "Claims"])
def test_services_by_people_are_one_task_for_staff_with_a_form_and_a_due_date(code: str) -> None:
    (task,) = load_catalogue(SERVICES).services[code].tasks
    assert task.done_by == "human"
    assert task.role in {AssigneeRole.CARE_TEAM, AssigneeRole.CLINICIAN}
    assert task.form
    assert task.due_s


def test_an_operators_directory_is_read_by_the_same_loader(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("no service")
    catalogue = load_catalogue(SERVICES, tmp_path)
    assert set(catalogue.services) == {"RTE", "ENROLLMENT_INSTANT_COVERAGE", "EMO", "VPC", "Claims", "X"}
    assert catalogue.function_names().keys() == {"RTE_CHECK", "STONE_CREATION", "PDID_RETRIEVAL"}
    assert catalogue.find("Y") is None
    assert catalogue.services["X"].task("Y_TASK") is None
    assert catalogue.services["X"].tasks[0].done_by == "service", "without a function another backend does it"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('code = "X\n', 1, "this is no TOML"),
        (GOOD + "[[tasks]\n", 8, "this is no TOML"),
        (GOOD + 'role = "', 8, "this is no TOML"),
        ("", 1, "`code`"),
        ("# A comment.\n\n" + GOOD.replace('code = "X"', 'code = "no spaces"'), 3, "code: "),
        (GOOD.replace("usual_s = 4", "usual_s = -1"), 7, "tasks[0].usual_s: "),
        (GOOD.replace("usual_s = 4", 'usual_s = "soon"'), 7, "tasks[0].usual_s: "),
        (GOOD.replace("usual_s = 4", "usual_s = 4\nmax_attempts = 0"), 8, "tasks[0].max_attempts: "),
        (GOOD + SECOND.replace("X_TASK", "Y_TASK").replace("usual_s = 4", "usual_s = 0"), 12, "tasks[1].usual_s: "),
        (GOOD + "\n# What is this?\ncolour = 1", 10, "tasks[0].colour: "),
        (GOOD.replace("system", "robot"), 6, "tasks[0].executor: "),
        (GOOD.replace("system", "human"), 3, "tasks[0].role: "),
        (GOOD + 'role = "MEMBER"', 8, "tasks[0].role: "),
        (GOOD + "form = {}", 8, "tasks[0].form: only a human task"),
        (PERSONS + 'function = "coverage_check"', 9, "tasks[0].function: only a system task"),
        (GOOD + 'speciality = "PSYCHIATRY"', 8, "tasks[0].speciality: "),
        (PERSONS + '[tasks.form]\n[tasks.form.properties.a]\ntype = "no-type"', 11, "tasks[0].form.properties.a.type: "),
        (GOOD + SECOND, 9, "tasks[1].type: "),
        ('code = "X"\ntitle = "x"\ntasks = []', 3, "tasks: "),
        (GOOD + '[failures.bad]\nmessage = "Bad."', 8, "failures.bad: "),
        (GOOD + '[failures.bad]\nmessage = "Bad."\nretriable = true', 10, "failures.bad.retriable: "),
        (GOOD + '[failures."no good"]\nmessage = "Bad."\nretryable = true', 8, "failures.no good: "),
        (GOOD.replace('"X"', '"X\\n"'), 1, "code: "),
        (GOOD.replace("usual_s = 4", "usual_s = inf"), 7, "tasks[0].usual_s: "),
        (GOOD + "due_s = 1e12", 8, "tasks[0].due_s: "),
        ('note = "a\u2028b"\n' + GOOD, 1, "note: "),
        (GOOD.replace("Do it", "Do\u2028it") + "colour = 1", 8, "tasks[0].colour: "),
        (GOOD + '[data_schema]\ntype = "no-type"', 9, "data_schema.type: is no JSON Schema"),
        (GOOD + '[data_schema]\nallOf = [\n  {type = "object"},\n  {type = 3},\n]', 9, "data_schema.allOf[1].type: "),
        (GOOD + '[data_schema.properties.a]\n"$ref" = "#/$defs/missing"', 8, "data_schema: has a reference that leads nowhere"),
        (GOOD + '[data_schema]\nallOf = [{"$ref" = "https://example.org/x.json"}]', 8, "has a reference that leads nowhere"),
        (GOOD + '[data_schema]\n"$dynamicRef" = "https://example.org/x"', 8, "data_schema: has a reference that leads nowhere"),
        (GOOD + '[data_schema]\n"$ref" = "#"', 8, "data_schema: has a reference that leads back to itself"),
        (GOOD + '[data_schema]\ntype = ["string", "null"]', 9, "data_schema.type: must be object"),
        (PERSONS + '[tasks.form]\ntype = "array"', 10, "tasks[0].form.type: must be object"),
        (GOOD + "[data_schema.properties.a]\nconst = 1979-05-27", 9, "data_schema.properties.a.const: is no value of JSON"),
        (GOOD + "[data_schema.properties.a]\nenum = [1, nan]", 9, "data_schema.properties.a.enum[1]: is no value of JSON"),
        (GOOD + "[data_schema]\nminProperties = 99999999999999999999", 9, "data_schema.minProperties: is no value of JSON"),
        (GOOD + 'function = "no_such"', 8, "tasks[0].function: the platform has no such function"),
        (GOOD + 'function = "a b"', 8, "tasks[0].function: "),
        (GOOD + 'function = "no.such.module:work"', 8, "tasks[0].function: cannot be imported (ModuleNotFoundError"),
        (GOOD + 'function = "json:no_such"', 8, "tasks[0].function: cannot be imported (AttributeError"),
        (GOOD + 'function = "json:dumps"', 8, "tasks[0].function: is no coroutine function"),
    ],
)
def test_a_mistake_is_reported_with_its_file_and_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    message = loaded_error(tmp_path)
    assert message.startswith(f"{path}:{line}: ")
    assert said in message
    assert "\n" not in message


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is no directory"):
        load_catalogue(tmp_path / "none")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"x\.toml cannot be read"):
        load_catalogue(tmp_path)


def test_a_service_is_declared_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text(GOOD)
    message = loaded_error(tmp_path)
    assert "a.toml" in message
    assert message.startswith(f"{tmp_path / 'b.toml'}:1: code: ")


def test_tasks_of_one_type_are_one_queue_and_have_one_function(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text(GOOD.replace('"X"', '"Y"'))
    load_catalogue(tmp_path)
    (tmp_path / "b.toml").write_text(GOOD.replace('"X"', '"Y"') + 'function = "coverage_check"')
    assert loaded_error(tmp_path).startswith(f"{tmp_path / 'b.toml'}:4: tasks[0].type: ")


def test_a_schema_may_refer_to_its_own_parts(tmp_path: Path) -> None:
    schema = '[data_schema]\n"$ref" = "#/$defs/whole"\n[data_schema."$defs".whole]\ntype = "object"'
    (tmp_path / "x.toml").write_text(GOOD + schema)
    assert load_catalogue(tmp_path).services["X"].data_schema is not None


def test_a_failure_is_what_the_service_says_then_its_executor_then_the_platform(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(GOOD + '[failures.timed_out]\nmessage = "Own words."\nretryable = false')
    theirs = {"away": Failure(message="Away.", retryable=True), "timed_out": Failure(message="Theirs.", retryable=True)}
    catalogue = load_catalogue(tmp_path, SERVICES, failures=theirs)

    def said(service: str, code: str) -> str | None:
        failure = catalogue.failure(catalogue.services[service], code)
        return None if failure is None else failure.message

    assert [said("X", code) for code in ("timed_out", "away", "other")] == ["Own words.", "Away.", None]
    assert said("RTE", "timed_out") == "Theirs."
    assert said("RTE", "internal_error")


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for an operator's modules."""
    modules = tmp_path / "modules"
    modules.mkdir()
    monkeypatch.syspath_prepend(str(modules))
    before = set(sys.modules)
    yield modules
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_an_operators_function_is_brought_by_its_declaration(tmp_path: Path, on_path: Path) -> None:
    (on_path / "operators_own.py").write_text("async def work(run):\n    return run\n")
    (tmp_path / "x.toml").write_text(GOOD + 'function = "operators_own:work"')
    catalogue = load_catalogue(tmp_path)
    assert catalogue.function_names() == {"X_TASK": "operators_own:work"}
    assert catalogue.functions["operators_own:work"].__name__ == "work"


def test_a_module_that_breaks_while_it_is_imported_is_named_by_kind_and_place(tmp_path: Path, on_path: Path) -> None:
    (on_path / "operators_broken.py").write_text('\nraise RuntimeError("the secret")\n')
    (tmp_path / "x.toml").write_text(GOOD + 'function = "operators_broken:work"')
    message = loaded_error(tmp_path)
    assert "RuntimeError at modules/operators_broken.py:2" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import sys\nsys.exit(3)", "SystemExit at modules/operators_odd.py:2"),
        ("\n\nasync def work(run:\n    return run", "SyntaxError at operators_odd.py:3"),
        ("async def work():\n    return 1", "take the attempt"),
        ("async def work(run, more):\n    return 1", "take the attempt"),
        ("async def work(run):\n    yield 1", "is no coroutine function"),
    ],
    ids=["exits", "is no Python", "takes nothing", "takes two", "is a generator"],
)
def test_a_function_that_could_never_work_is_found_at_the_start(tmp_path: Path, on_path: Path, source: str, said: str) -> None:
    (on_path / "operators_odd.py").write_text(source)
    (tmp_path / "x.toml").write_text(GOOD + 'function = "operators_odd:work"')
    message = loaded_error(tmp_path)
    assert message.startswith(f"{tmp_path / 'x.toml'}:8: tasks[0].function: ")
    assert said in message


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(GOOD, encoding="utf-8-sig")
    assert load_catalogue(tmp_path).find("X") is not None
