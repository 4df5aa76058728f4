"""What a client keeps from one run to the next, where an application asked for it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol


class Storage(Protocol):
    """A place for one JSON object. ``load`` answers an empty one where nothing was saved; both may raise OSError."""

    def load(self) -> Mapping[str, Any]: ...

    def save(self, kept: Mapping[str, Any]) -> None: ...


class FileStorage:
    """One file of one client, readable by its owner alone. It is replaced as a whole: there is the old one or the new one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)

    def load(self) -> Mapping[str, Any]:
        """What was saved last; a file that is none of ours counts as nothing."""
        try:
            kept = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def save(self, kept: Mapping[str, Any]) -> None:
        """Durable when it returns. Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(json.dumps(kept).encode())
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._path)
        finally:
            beside.unlink(missing_ok=True)
