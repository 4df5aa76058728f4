"""The console script: whatever goes wrong around a command is one sentence, and status 1."""

from __future__ import annotations

import errno
from typing import Any, NoReturn

import pytest

from session_platform.app import cli
from session_platform.errors import Broken, StartError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StartError("Port 1 is taken."), "Port 1 is taken."),
        (Broken("The worker broke."), "The worker broke."),
        (OSError(errno.ENOSPC, "No space left on device"), "The output cannot be used: No space left on device."),
        (PermissionError(errno.EACCES, "Permission denied", "data/secret"), "data/secret cannot be used: Permission denied."),
    ],
)
def test_an_error_is_one_sentence_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    def command(**_: Any) -> NoReturn:
        raise error

    monkeypatch.setattr(cli, "app", command)
    monkeypatch.setattr(cli, "_register", lambda: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr() == ("", f"session-platform: {said}\n")
