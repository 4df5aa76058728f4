"""A server in a process of its own, which takes commands and answers as JSON lines: its memory and CPU are only its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

END_WITHIN_S = 60


class Child:
    """``python -m module *arguments``; its first line names the ``port`` it serves on."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._answer()["port"])

    async def do(self, **command: Any) -> dict[str, Any]:
        """Send one command and wait for its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return await asyncio.get_running_loop().run_in_executor(None, self._answer)

    def stop(self) -> None:
        """Let it end and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=END_WITHIN_S)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer
