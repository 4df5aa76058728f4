"""Programs that the pages' samples are written for: found, or obtained as a developer would obtain them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.servers.packages import Package, found_or_installed

PACKAGES: Final[Mapping[str, Package]] = {
    "go": Package("Go", "golang-go", "go"),
    "ruby": Package("Ruby", "ruby", "ruby"),
    "node": Package("Node.js", "nodejs", "node"),
    "curl": Package("curl", "curl", "curl"),
    "jq": Package("jq", "jq", "jq"),
}
ELSEWHERE: Final = (Path("/usr/local/go/bin"), Path("/opt/homebrew/bin"), Path("/usr/local/bin"))


def program(name: str) -> str:
    """Where the program is, installed if it was not there. Raises `PackageMissing`."""
    return found_or_installed(lambda: _found(name), PACKAGES[name])


def _found(name: str) -> str | None:
    return shutil.which(name) or next((str(place / name) for place in ELSEWHERE if (place / name).is_file()), None)


def node_environment() -> Mapping[str, str]:
    """What makes this machine's Node have the browsers' WebSocket: 22 has it, 20 hides it behind an option."""
    version = subprocess.run([program("node"), "--version"], capture_output=True, text=True, check=True).stdout
    major = int(re.match(r"v(\d+)", version)[1])  # type: ignore[index]
    return {} if major >= 22 else {"NODE_OPTIONS": "--experimental-websocket --no-warnings"}
