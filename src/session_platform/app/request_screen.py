"""A service request on a terminal: a bar with stage and time left, its steps below, then the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import digital_session as sdk
from session_platform.app.steps import Step

_MARK = {"pending": "·", "in_progress": "…", "completed": "✓", "failed": "✗", "canceled": "✗"}
_COLOUR = {"in_progress": "cyan", "completed": "green", "failed": "bold red", "canceled": "bold red"}

Reveal = Callable[[Console, Mapping[str, Any]], None]


class Screen:
    """A `View` for people; the bar is gone when the request has ended, its steps stay. ``reveal`` shows a result."""

    def __init__(self, what: str, reveal: Reveal, console: Console | None = None) -> None:
        self._what = what
        self._reveal = reveal
        self._console = console or Console()
        self._steps: dict[str, Step] = {}
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), _TimeLeft(), TimeElapsedColumn()
        )
        self._task: TaskID = self._bar.add_task("connecting", total=100, left_s=0, told_s=0.0)
        self._live = Live(Group(self._bar), console=self._console, transient=True)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def submitted(self, service_request_id: str) -> None:
        self._console.print(f"{self._what} [bold]{service_request_id}[/bold] submitted.")
        self._bar.update(self._task, description="submitted")

    def progress(self, now: sdk.Progress) -> None:
        left: dict[str, Any] = {"left_s": now.estimated_seconds or 0, "told_s": self._bar.get_time()}
        self._bar.update(self._task, completed=now.percent_complete, description=(now.stage or "").lower(), **left)

    def step(self, changed: Step) -> None:
        self._steps[changed.task_id] = changed
        self._live.update(Group(self._bar, _listed(self._steps.values())), refresh=True)

    def connection(self, state: str) -> None:
        self._console.print(state, style="dim")

    def completed(self, result: Mapping[str, Any]) -> None:
        self._end()
        self._reveal(self._console, result)

    def failed(self, code: str, message: str) -> None:
        self._end()
        self._console.print(message, style="bold red")
        self._console.print(f"({code})", style="dim")

    def _end(self) -> None:
        self._live.stop()
        if self._steps:
            self._console.print(_listed(self._steps.values()))


class _TimeLeft(ProgressColumn):
    """Counts the platform's last estimate down, since it is told at each step only."""

    def render(self, task: Task) -> Text:
        left_s = round(task.fields["left_s"] - (task.get_time() - task.fields["told_s"]))
        return Text(f"about {left_s} s left" if left_s > 0 else "")


def _listed(steps: Iterable[Step]) -> Table:
    table = Table("", "", "", "", show_header=False, box=None)
    for step in steps:
        style = _COLOUR.get(step.state, "dim")
        mark = Text(_MARK.get(step.state, "·"), style)
        table.add_row(mark, Text(step.task_type), Text(step.words, style), Text(step.title, "dim"))
    return table
