"""One server of a kind for all processes of a test run: the first that needs it starts it, the last that used it ends it."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tests.servers import kept
from tests.servers.locks import Hold, exclusively

S = TypeVar("S")


@contextlib.contextmanager
def shared(
    directory: Path, make: Callable[[], kept.Recipe[S]], revive: Callable[[dict[str, Any]], S], *, lock: Path
) -> Iterator[S]:
    """The server of ``directory``, started unless it runs. Once a process and directory; blocks while it starts.

    ``revive`` makes the server's handle from the recipe's ``address``, which the process that started it wrote down.
    ``lock`` is a file outside the run's directory, which goes away with its last server.
    """
    with exclusively(lock):
        hold = Hold(directory)
        try:
            server = revive(_address(directory, make))
        except BaseException:
            hold.release()
            raise
    try:
        yield server
    finally:
        with exclusively(lock):
            if hold.release():
                kept.wait_until_gone(directory)
                _remove(directory)


def _address(directory: Path, make: Callable[[], kept.Recipe[S]]) -> dict[str, Any]:
    file = directory / "address"
    if not (kept.is_kept(directory) and file.exists()):
        recipe = kept.start_on_a_free_port(make, directory)
        file.touch(mode=0o600)
        file.write_text(json.dumps(recipe.address))
    address: dict[str, Any] = json.loads(file.read_text())
    return address


def _remove(directory: Path) -> None:
    """What a server left that ended by itself: nobody keeps that."""
    shutil.rmtree(directory, ignore_errors=True)
    with contextlib.suppress(OSError):
        directory.parent.rmdir()
