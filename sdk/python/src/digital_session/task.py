"""A task: what somebody, or a system, has to do for a service request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from digital_session._generated import TaskOutcome
from digital_session._rest import Rest
from digital_session.events import Record


class Task(Record):
    """A task under its wire names (``task.title``, ``task["due_at"]``, ``task.form`` …), as it was when last read.

    What is done with it shows in it. Each of these raises ConflictError when the task's state forbids it, ForbiddenError when
    it is another's to do, and ValidationError for a result that the task's form does not allow.
    """

    def __init__(self, rest: Rest, fields: Mapping[str, Any]) -> None:
        super().__init__(fields)
        self._rest = rest

    async def start(self) -> Task:
        """Begin with it."""
        return await self._do("start")

    async def complete(self, result: Mapping[str, Any] | None = None, *, outcome: str = TaskOutcome.SUCCESS) -> Task:
        """Finish it. The attempt that was read goes along: a newer one, somebody else's, is not overwritten."""
        attempt = self.get("attempt")
        extra = {} if attempt is None else {"attempt": attempt}
        return await self._do("complete", {"outcome": outcome, "result": dict(result or {}), **extra})

    async def claim(self) -> Task:
        """Take it, as a member of staff."""
        return await self._do("claim")

    async def release(self) -> Task:
        """Give it back, as the one who took it."""
        return await self._do("release")

    async def _do(self, what: str, body: Mapping[str, Any] | None = None) -> Task:
        answer = await self._rest.post(f"/v1/tasks/{quote(self['task_id'], safe='')}/{what}", body)
        self.clear()
        self.update(answer)
        return self
