"""Settings come from the environment and the command line, and a bad one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from session_platform.app.settings import PREFIX, Settings
from session_platform.errors import StartError


def test_the_command_line_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}PORT", "9000")
    assert Settings.load().port == 9000
    assert Settings.load(port=9001).port == 9001
    assert Settings.load(port=None).port == 9000


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}ALLOWED_ORIGINS", "https://a.example.org, https://b.example.org,")
    assert Settings.load().allowed_origins == ("https://a.example.org", "https://b.example.org")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("PORT", "70000"),
        ("SIMULATOR_SPEED", "0"),
        ("RETENTION_DAYS", "6"),
        ("INSECURE", "x"),
        ("CLEARINGHOUSE_PROVIDER_NPI", "12345"),
        ("CLEARINGHOUSE_PROVIDER_NPI", "1234567a93"),
        ("CLEARINGHOUSE_PROVIDER_NAME", ""),
    ],
)
def test_a_bad_setting_is_named_in_one_sentence(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}{name}", value)
    with pytest.raises(StartError) as refused:
        Settings.load()
    assert f"{PREFIX}{name}" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_every_setting_is_listed_with_its_source_and_meaning_and_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}CLEARINGHOUSE_API_KEY", "very-secret")
    rows = {variable: (value, source, meaning) for variable, value, source, meaning in Settings.load().sources()}
    assert set(rows) == {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    assert all(meaning for _, _, meaning in rows.values())
    assert rows[f"{PREFIX}CLEARINGHOUSE_API_KEY"][:2] == ("********", "environment")
    assert rows[f"{PREFIX}PORT"][1] == "default"


def test_nothing_can_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().data = Path("elsewhere")
