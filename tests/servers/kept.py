"""A program under a keeper, as its users see it: through the files in its directory, never as their own child."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

KEEPER: Final = Path(__file__).with_name("keeper.py")
READY_WITHIN_S: Final = 60.0
GONE_WITHIN_S: Final = 30.0
LOOK_EVERY_S: Final = 0.01
LOG_LINES_SHOWN: Final = 25
PORTS: Final = range(15_000, 31_000)
"""Below those that Linux and macOS give to outgoing connections, which would take the port of a server that restarts."""

S_co = TypeVar("S_co", covariant=True)


class ServerDidNotStart(Exception):
    """One sentence on what happened, and the end of the server's log."""


@dataclass(frozen=True, slots=True)
class Program:
    """What a keeper runs. ``stop`` asks it to end in good order, ``end`` ends it at once; ``user`` is (uid, gid)."""

    argv: tuple[str, ...]
    stop: signal.Signals
    end: signal.Signals
    user: tuple[int, int] | None = None


class Recipe(Protocol[S_co]):
    """How one kind of server is set up. One value is one server: its ports and its password never change."""

    @property
    def title(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def server(self) -> S_co:
        """What its users get."""

    @property
    def address(self) -> Mapping[str, Any]:
        """What ``server`` is made from, for other processes of the run."""

    def prepare(self, directory: Path) -> None:
        """Lay out an empty server in ``directory``."""

    def program(self, directory: Path) -> Program: ...
    def answers(self) -> bool:
        """Whether it serves now; asked again and again, so it returns within a second."""


def start(recipe: Recipe[object], directory: Path) -> None:
    """Run the server over what is in ``directory`` and return when it answers. Raises `ServerDidNotStart`."""
    began = time.monotonic()
    with contextlib.suppress(FileNotFoundError):
        (directory / "status").unlink()
    argument = _argument(recipe.program(directory))
    kept = subprocess.run([sys.executable, "-I", str(KEEPER), str(directory), argument], stdin=subprocess.DEVNULL, check=False)
    while kept.returncode == 0 and is_kept(directory) and time.monotonic() - began < READY_WITHIN_S:
        if recipe.answers():
            return
        time.sleep(LOOK_EVERY_S)
    why = "it could not be run" if kept.returncode else _why(directory, began)
    raise ServerDidNotStart(f"{recipe.title} did not start: {why}. The end of its log:\n{log(directory)}")


def start_on_a_free_port(make: Callable[[], Recipe[S_co]], directory: Path) -> Recipe[S_co]:
    """A new server; with another port where somebody took the first one in the meantime."""
    for _ in range(3):
        recipe = make()
        recipe.prepare(directory)
        try:
            start(recipe, directory)
        except ServerDidNotStart:
            if is_free(recipe.port):
                raise
        else:
            return recipe
    raise ServerDidNotStart(f"{recipe.title} did not start: somebody took its port, three times.")


def is_kept(directory: Path) -> bool:
    """Whether the program runs."""
    try:
        descriptor = os.open(directory / "kept", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def wait_until_gone(directory: Path) -> None:
    """Return when neither the program nor its keeper runs."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while is_kept(directory):
        if time.monotonic() > deadline:
            raise TimeoutError(f"what runs in {directory} did not end within {GONE_WITHIN_S:.0f} s")
        time.sleep(LOOK_EVERY_S)


def pid(directory: Path) -> int:
    return int((directory / "pid").read_text())


def log(directory: Path) -> str:
    """Its last lines."""
    try:
        lines = (directory / "log").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return "(there is none)"
    return "\n".join(lines[-LOG_LINES_SHOWN:])


def free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def temporary_root() -> Path:
    """Where directories of servers go. Root's servers run as somebody else, who has to be able to get there."""
    chosen = Path(tempfile.gettempdir()).resolve()
    open_to_all = all(place.stat().st_mode & 0o001 for place in (chosen, *chosen.parents))
    return chosen if open_to_all or os.geteuid() != 0 else Path("/tmp")


def new_run() -> Path:
    """An empty directory for one server and its directory."""
    return Path(tempfile.mkdtemp(prefix="sps-", dir=temporary_root()))


def _argument(program: Program) -> str:
    return json.dumps({"argv": program.argv, "end": program.end, "user": program.user})


def _why(directory: Path, began: float) -> str:
    try:
        return f"it ended with {(directory / 'status').read_text()}"
    except FileNotFoundError:
        return f"no answer within {time.monotonic() - began:.0f} s"
