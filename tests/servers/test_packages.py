"""Installing a package, with an apt that only writes down what it was told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.servers.packages import MARK, Package, PackageMissing, found_or_installed, installing

PACKAGE: Final = Package("Redis", "redis-server", "redis")
APT: Final = """#!/bin/sh
echo "$@" >> "$0.said"
"$POLICY" ; echo "a service may start: $?" >> "$0.said"
case "$*" in *install*) exit "$STATUS" ;; esac
"""

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="Homebrew starts no services")


class Apt:
    def __init__(self, place: Path) -> None:
        self.policy = place / "policy-rc.d"
        self._program = place / "apt-get"
        self._program.write_text(APT)
        self._program.chmod(0o755)

    def install(self, status: int = 0) -> int:
        command = installing(PACKAGE, self.policy)
        assert command is not None
        path = f"{self._program.parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "POLICY": str(self.policy), "STATUS": str(status)}
        return subprocess.run(command[command.index("sh") :], env=environment, check=False).returncode

    def said(self) -> str:
        return Path(f"{self._program}.said").read_text()


@pytest.mark.parametrize("status", [0, 100])
def test_no_service_starts_while_a_package_is_installed_and_the_guard_goes_afterwards(tmp_path: Path, status: int) -> None:
    apt = Apt(tmp_path)
    assert apt.install(status) == status
    assert "install -y --no-install-recommends redis-server\na service may start: 101\n" in apt.said()
    assert not apt.policy.exists()


def test_a_guard_of_somebody_else_stays(tmp_path: Path) -> None:
    apt = Apt(tmp_path)
    apt.policy.write_text("#!/bin/sh\nexit 104\n")
    apt.policy.chmod(0o755)
    assert apt.install() == 0
    assert "a service may start: 104" in apt.said()
    assert apt.policy.read_text() == "#!/bin/sh\nexit 104\n"


def test_a_guard_left_by_an_install_that_was_killed_goes_with_the_next(tmp_path: Path) -> None:
    apt = Apt(tmp_path)
    apt.policy.write_text(f"#!/bin/sh\n{MARK}\n")
    assert apt.install() == 0
    assert not apt.policy.exists()


def test_where_nothing_can_install_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageMissing, match=r"^The tests need Redis: install it \(Debian: apt install redis-server\)\.$"):
        found_or_installed(lambda: None, PACKAGE)


def test_what_is_there_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found_or_installed(lambda: tmp_path, PACKAGE) == tmp_path
