"""What a client remembers: its device, how far each session was handled, what waits to be submitted; kept where asked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from digital_session._tasks import Tasks
from digital_session.errors import UnavailableError
from digital_session.storage import Storage

VERSION = 1
SESSIONS_MAX = 32


class Memory:
    """The device's id belongs to the device; all else to one subject, and is forgotten when there is another."""

    def __init__(
        self, storage: Storage | None, device_id: str | None, tasks: Tasks, report: Callable[[Exception], None]
    ) -> None:
        self._storage = storage
        self._tasks = tasks
        self._report = report
        kept = _understood(storage.load()) if storage is not None else {}
        self.device_id: str | None = device_id or kept.get("device_id")
        self._subject: str | None = kept.get("subject")
        self._cursors: dict[str, str] = dict(kept.get("cursors") or {})
        self._submissions: Any = kept.get("submissions") or []
        self._changed = False
        self._saving: asyncio.Task[None] | None = None
        if storage is not None and self.device_id is None:
            self.device_id = str(uuid.uuid4())
        self._changed = storage is not None and self.device_id != kept.get("device_id")

    def cursor(self, subject: str, session_id: str) -> str | None:
        """How far this session was handled."""
        self._of(subject)
        return self._cursors.get(session_id)

    def keep_cursor(self, subject: str, session_id: str, cursor: str) -> None:
        """This session was handled up to there; durable soon."""
        self._of(subject)
        self._cursors.pop(session_id, None)
        self._cursors[session_id] = cursor
        while len(self._cursors) > SESSIONS_MAX:
            del self._cursors[next(iter(self._cursors))]
        self._save_soon()

    def submissions(self, subject: str) -> Any:
        """What waited to be submitted at the end of the last run."""
        self._of(subject)
        return self._submissions

    def keep_submissions(self, subject: str, submissions: Any) -> None:
        """What waits to be submitted; durable soon, and when `saved` returns."""
        self._of(subject)
        self._submissions = submissions
        self._save_soon()

    def keep_device(self) -> None:
        """The device's id is in use from now on; durable soon."""
        if self._changed:
            self._save_soon()

    async def saved(self) -> None:
        """Wait until everything is kept that is to be kept."""
        if self._changed:
            self._save_soon()
        if self._saving is not None:
            await asyncio.shield(self._saving)

    def _of(self, subject: str) -> None:
        if subject != self._subject:
            self._subject, self._cursors, self._submissions = subject, {}, []
            self._changed = self._storage is not None

    def _save_soon(self) -> None:
        self._changed = self._storage is not None
        if self._changed and (self._saving is None or self._saving.done()):
            self._saving = self._tasks.spawn(self._save())

    async def _save(self) -> None:
        while self._changed and self._storage is not None:
            self._changed = False
            kept = {
                "version": VERSION,
                "device_id": self.device_id,
                "subject": self._subject,
                "cursors": dict(self._cursors),
                "submissions": self._submissions,
            }
            try:
                await asyncio.to_thread(self._storage.save, kept)
            except Exception as error:  # noqa: BLE001 - a storage is the application's; whatever it raises ends nothing
                self._report(UnavailableError("What is to be kept on this device could not be written.", cause=error))


def _understood(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """What this version can read; anything else counts as nothing."""
    return kept if kept.get("version") == VERSION and isinstance(kept.get("cursors"), dict) else {}
