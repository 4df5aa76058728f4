"""Everything generated is what the protobuf files say, and a change that would break somebody is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from generator.descriptors import ContractError, compile_contract, read_model
from generator.emitters import EMITTERS

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto-common"
EVENTS = Path("domain/sessions/v1/session_events.proto")
BUF = str(Path(sys.executable).with_name("buf"))


def copy_with(folder: Path, *changes: tuple[str, str]) -> Path:
    """The contract's files in ``folder``, with texts replaced in the events' file."""
    for name in (EVENTS, EVENTS.with_name("event_options.proto"), Path("buf.yaml")):
        text = (PROTO / name).read_text(encoding="utf-8")
        if name == EVENTS:
            for old, new in changes:
                assert text.count(old) == 1, old
                text = text.replace(old, new)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def breaking(folder: Path) -> tuple[int, str]:
    command = [BUF, "breaking", str(folder), "--against", str(PROTO / "baseline.binpb")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def generate(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "generator", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PROTO)},
    )
    return done.returncode, done.stdout + done.stderr


def test_nothing_released_is_broken(tmp_path: Path) -> None:
    assert breaking(copy_with(tmp_path)) == (0, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("  optional string device_id = 11;\n", ""), 'field "11" with name "device_id"'),
        (("  optional string device_id = 11;", "  optional string device_id = 12;"), 'field "11" with name "device_id"'),
        (("  optional string device_id = 11;", "  optional int64 device_id = 11;"), "changed type"),
        (("  optional string device_id = 11;", "  optional string device = 11;"), "device_id"),
        (("  STATE_COMPLETING = 4;\n", ""), 'enum value "4" on enum "SessionState"'),
        (("  CHANNEL_ATHENA = 7;", "  CHANNEL_ATHENA = 8;"), 'enum value "7" on enum "SessionChannel"'),
    ],
    ids=["removed", "renumbered", "retyped", "renamed", "value removed", "value renumbered"],
)
def test_a_breaking_change_is_reported(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    status, output = breaking(copy_with(tmp_path, change))
    assert status != 0
    assert said in output


def test_an_addition_breaks_nothing(tmp_path: Path) -> None:
    added = ("  optional string device_id = 11;\n", "  optional string device_id = 11;\n  optional string locale = 12;\n")
    assert breaking(copy_with(tmp_path, added)) == (0, "")


def test_nothing_generated_is_stale() -> None:
    assert generate("--check") == (0, "")


def test_a_stale_file_is_named_and_not_mended_by_the_check(tmp_path: Path) -> None:
    status, output = generate("--check", "--root", str(tmp_path))
    assert status == 1
    assert "docs/events.md is stale: run 'make generate'." in output
    assert list(tmp_path.iterdir()) == []

    assert generate("--root", str(tmp_path))[0] == 0
    assert generate("--check", "--root", str(tmp_path)) == (0, "")
    generated = tmp_path / "src/session_platform/contract/_generated.py"
    generated.write_text(generated.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert generate("--check", "--root", str(tmp_path))[0] == 1


def test_generating_is_a_function_of_the_contract_alone() -> None:
    model = read_model(compile_contract(PROTO))
    again = read_model(compile_contract(PROTO))
    assert [emit(model) for emit in EMITTERS] == [emit(again) for emit in EMITTERS]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('(phi_ref) = "result_ref"', '(phi_ref) = "nowhere"'), "nowhere"),
        (("  optional string account_id = 3;\n  optional SessionType", "  bytes blob = 3;\n  optional SessionType"), "blob"),
        (
            (
                "  optional string intent = 8 [(phi) = PHI_UNLESS_PUBLIC_CODE];",
                "  repeated string intent = 8 [(phi) = PHI_ALWAYS];",
            ),
            "SessionCreatedEvent.intent",
        ),
        (
            (
                "  optional string care_plan_id = 3 [(required) = true];\n",
                "  optional string care_plan_id = 3 [(required) = true, (phi) = PHI_ALWAYS];\n",
            ),
            "CarePlanUpdatedEvent.care_plan_id",
        ),
        (
            (
                "  map<string, string> metadata = 9 [(phi) = PHI_ALWAYS];",
                "  map<string, string> metadata = 9 [(phi) = PHI_UNLESS_PUBLIC_CODE];",
            ),
            "public code",
        ),
        (
            (
                "  optional string account_id = 3 [(required) = true];\n  optional CoverageChangeType",
                "  optional string account_id = 3;\n  optional CoverageChangeType",
            ),
            "account_id",
        ),
        (("  PRIORITY_UNSPECIFIED = 0;", "  PRIORITY_NONE = 0;"), "UNSPECIFIED"),
        (
            (
                '  optional string target_role = 10 [(text_of) = "AssigneeRole"];',
                '  optional string target_role = 10 [(text_of) = "Role"];',
            ),
            "unknown enum Role",
        ),
        (("message Money {", "message Money"), ""),
    ],
    ids=["ref", "bytes", "phi list", "phi required", "public map", "key optional", "no UNSPECIFIED", "unknown enum", "syntax"],
)
def test_a_contract_that_contradicts_itself_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(ContractError) as caught:
        read_model(compile_contract(copy_with(tmp_path, change)))
    assert said in str(caught.value)
