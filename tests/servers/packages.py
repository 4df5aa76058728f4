"""Programs from the machine's own packages: apt as root or by sudo, Homebrew on macOS."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from tests.servers.locks import exclusively

CACHE: Final = Path(__file__).parents[2] / ".cache" / "servers"
POLICY: Final = Path("/usr/sbin/policy-rc.d")
"""Where Debian asks whether a package may start its service."""

MARK: Final = "# Put here by the tests of session-platform while they install a package; remove it if it is still here later."
APT: Final = """
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=$1; mark=$2; shift 2
if [ ! -e "$policy" ] || grep -qF "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\\n%s\\nexit 101\\n' "$mark" > "$policy"
    chmod 755 "$policy"
fi
apt-get -qq -o DPkg::Lock::Timeout=300 update
apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$@" >/dev/null
"""
"""Installs, and keeps what it installs from starting a service on its default port."""

T = TypeVar("T")


class PackageMissing(Exception):
    """One sentence: what is missing, and how to install it."""


@dataclass(frozen=True, slots=True)
class Package:
    """``title`` is what people call it; the rest is its package at Debian's and at Homebrew's."""

    title: str
    debian: str
    brew: str


def found_or_installed(find: Callable[[], T | None], package: Package) -> T:
    """What ``find`` finds, installed if it was not there; one process at a time. Raises `PackageMissing`."""
    found = find()
    if found is None:
        with exclusively(CACHE / "installed.lock"):
            found = find()
            if found is None:
                _install(package)
                found = find()
    if found is None:
        raise PackageMissing(f"The tests need {package.title}, and installing it brought none that is new enough.")
    return found


def say(line: str) -> None:
    print(line, file=sys.__stderr__, flush=True)


def _install(package: Package) -> None:
    command = installing(package)
    if command is None:
        raise PackageMissing(f"The tests need {package.title}: install it (Debian: apt install {package.debian}).")
    say(f"Installing {package.title} for the tests, with {'Homebrew' if command[0] == 'brew' else 'apt'} …")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PackageMissing(
            f"The tests need {package.title}, and it could not be installed (Debian: apt install {package.debian}): {last}"
        )


def installing(package: Package, policy: Path = POLICY) -> list[str] | None:
    """The command that installs it here, or None where we know of none."""
    if sys.platform == "darwin" and shutil.which("brew"):
        return ["brew", "install", "--quiet", package.brew]
    if shutil.which("apt-get") and (os.geteuid() == 0 or shutil.which("sudo")):
        root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
        return [*root, "sh", "-c", APT, "sh", str(policy), MARK, package.debian]
    return None
