"""Services as data: what is there, and how a mistake in a file is reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_platform.careflow import SERVICES, Failure, load_catalogue
from session_platform.errors import StartError

GOOD = """code = "X"
title = "A service"
[[tasks]]
type = "X_TASK"
title = "Do it"
executor = "system"
usual_s = 4
"""


def test_the_coverage_check_is_one_system_task_without_data_that_ends_within_two_minutes() -> None:
    rte = load_catalogue(SERVICES).services["RTE"]
    assert [(task.type, task.executor, task.max_attempts, task.attempt_timeout_s) for task in rte.tasks] == [
        ("RTE_CHECK", "system", 3, 30)
    ]
    assert rte.data_schema is None
    longest_s = 3 * (30 + 5) + 2 + 4
    assert longest_s < 120, "also when the worker has to stop every attempt itself"


def test_an_operators_directory_is_read_by_the_same_loader(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(GOOD)
    (tmp_path / "notes.txt").write_text("no service")
    catalogue = load_catalogue(SERVICES, tmp_path)
    assert set(catalogue.services) == {"RTE", "X"}
    assert catalogue.task_types() == {"RTE_CHECK", "X_TASK"}
    assert catalogue.find("Y") is None
    assert catalogue.services["X"].task("Y_TASK") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('code = "X\n', "line 1"),
        ("", "`code`"),
        (GOOD.replace('code = "X"', 'code = "no spaces"'), "$.code"),
        (GOOD.replace("usual_s = 4", "usual_s = -1"), "$.tasks[0].usual_s"),
        (GOOD.replace("usual_s = 4", 'usual_s = "soon"'), "$.tasks[0].usual_s"),
        (GOOD.replace("usual_s = 4", "usual_s = 4\nmax_attempts = 0"), "$.tasks[0].max_attempts"),
        (GOOD + "colour = 1", "colour"),
        (GOOD.replace("system", "robot"), "$.tasks[0].executor"),
        (GOOD.replace("system", "human"), "tasks[0].role"),
        (GOOD + 'role = "MEMBER"', "tasks[0].role"),
        (GOOD + "form = {}", "tasks[0].form"),
        (GOOD + GOOD[GOOD.index("[[tasks]]") :], "tasks[1].type"),
        ('code = "X"\ntitle = "x"\ntasks = []', "$.tasks"),
        (GOOD + '[failures.bad]\nmessage = "Bad."', "$.failures[...]"),
        (GOOD + '[data_schema]\ntype = "no-type"', "data_schema: is no JSON Schema at $.type"),
        (GOOD + '[data_schema.properties.a]\n"$ref" = "#/$defs/missing"', "data_schema: has a reference that leads nowhere"),
        (GOOD + '[data_schema]\nallOf = [{"$ref" = "https://example.org/x.json"}]', "data_schema: has a reference that leads"),
    ],
)
def test_a_mistake_is_reported_with_its_file_and_its_key_or_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(StartError) as error:
        load_catalogue(tmp_path)
    assert str(error.value).startswith(str(path))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="is no directory"):
        load_catalogue(tmp_path / "none")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match=r"x\.toml cannot be read"):
        load_catalogue(tmp_path)


def test_a_service_is_declared_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(GOOD)
    (tmp_path / "b.toml").write_text(GOOD)
    with pytest.raises(StartError) as error:
        load_catalogue(tmp_path)
    assert "a.toml" in str(error.value)
    assert "b.toml" in str(error.value)


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
