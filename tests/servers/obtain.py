"""Where the servers' programs are: found on this machine, or obtained once and kept in ``.cache/servers``."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.servers import kafka_files
from tests.servers.packages import Package, found_or_installed

POSTGRES: Final = Package("PostgreSQL 15 or newer", "postgresql", "postgresql@17")
REDIS: Final = Package("Redis 7 or newer", "redis-server", "redis")
JAVA: Final = Package("Java 17 or newer", "default-jre-headless", "openjdk")
MAVEN: Final = Package("Maven", "maven", "maven")
VERSION: Final = re.compile(r'(?:PostgreSQL\) |v=|version ")(\d+)')
"""In what postgres, redis-server and java say of themselves."""
BREW: Final = (Path("/opt/homebrew/opt"), Path("/usr/local/opt"))


def postgres() -> Path:
    """The directory of ``initdb`` and ``postgres``. Raises `PackageMissing`, as all of these do."""
    return found_or_installed(_postgres, POSTGRES)


def redis() -> Path:
    """The program ``redis-server``."""
    return found_or_installed(_redis, REDIS)


def java() -> Path:
    """The program ``java``."""
    return found_or_installed(_java, JAVA)


def kafka() -> kafka_files.KafkaFiles:
    """A broker's jars, and what makes it start fast."""
    return kafka_files.obtained(java(), lambda: found_or_installed(_maven, MAVEN))


def _postgres() -> Path | None:
    debian = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    brew = (file for place in BREW for file in place.glob("postgresql*/bin/postgres"))
    program = _newest([*debian, *brew, *_on_path("postgres")], ("--version",), 15)
    return program.resolve().parent if program and program.resolve().with_name("initdb").exists() else None


def _redis() -> Path | None:
    return _newest(_on_path("redis-server"), ("--version",), 7)


def _java() -> Path | None:
    """The first that is new enough: the one that people use here, else one that no path leads to (as Homebrew's)."""
    brew = [place / "openjdk" / "bin" / "java" for place in BREW]
    return next((found for found in [*_on_path("java"), *brew] if _major(found, ("-version",)) >= 17), None)


def _maven() -> Path | None:
    return next(iter(_on_path("mvn")), None)


def _on_path(name: str) -> list[Path]:
    found = shutil.which(name)
    return [] if found is None else [Path(found)]


def _newest(programs: Iterable[Path], ask: tuple[str, ...], at_least: int) -> Path | None:
    versions = {program: _major(program, ask) for program in programs}
    best = max(versions, key=lambda program: versions[program], default=None)
    return best if best is not None and versions[best] >= at_least else None


def _major(program: Path, ask: tuple[str, ...]) -> int:
    """The first number of its version; 0 if it does not run."""
    try:
        said = subprocess.run([program, *ask], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    number = VERSION.search(said.stdout + said.stderr) if said.returncode == 0 else None
    return int(number[1]) if number else 0
