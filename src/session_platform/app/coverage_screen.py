"""A coverage check on a terminal: a bar with stage, time left and steps; then the coverage as a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

import digital_session as sdk
from session_platform.app.check_coverage import benefit_cells, period

_COLOUR = {"ACTIVE": "bold green", "TERMINATED": "bold red", "INACTIVE": "bold red"}
_MARK = {"pending": "·", "in_progress": "…", "completed": "✓", "failed": "✗", "canceled": "✗"}


class Screen:
    """A `View` for people; the bar is gone when the check has ended."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            _TimeLeft(),
            TextColumn("{task.fields[steps]}", style="dim"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("connecting", total=100, left_s=0, told_s=0.0, steps="")

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.stop()

    def submitted(self, service_request_id: str) -> None:
        self._console.print(f"Coverage check [bold]{service_request_id}[/bold] submitted.")
        self._bar.update(self._task, description="submitted")

    def progress(self, now: sdk.Progress) -> None:
        steps = "  ".join(f"{_MARK.get(task.get('status', ''), '·')} {task.get('task_type', '')}" for task in now.tasks)
        left: dict[str, Any] = {"left_s": now.estimated_seconds or 0, "told_s": self._bar.get_time()}
        stage = (now.stage or "").lower()
        self._bar.update(self._task, completed=now.percent_complete, description=stage, steps=steps, **left)

    def connection(self, state: str) -> None:
        self._console.print(state, style="dim")

    def coverage(self, result: Mapping[str, Any]) -> None:
        self._bar.stop()
        known = result.get("coverage") or {}
        status = str(result.get("coverage_status", "UNKNOWN"))
        facts = Table("", "", show_header=False, title="Coverage", title_justify="left", box=None)
        facts.add_row("Status", status, style=_COLOUR.get(status, "bold yellow"))
        rows = {
            "Payer": result.get("payer_name"),
            "Plan": known.get("plan_name"),
            "Valid": period(result),
            "Account": known.get("account_id"),
            "Group": known.get("group_number"),
        }
        for name, value in rows.items():
            if value:
                facts.add_row(name, str(value))
        self._console.print(facts)
        if known.get("benefits"):
            self._console.print(_benefits(known["benefits"]))

    def failed(self, code: str, message: str) -> None:
        self._bar.stop()
        self._console.print(message, style="bold red")
        self._console.print(f"({code})", style="dim")


class _TimeLeft(ProgressColumn):
    """Counts the platform's last estimate down, since it is told at each step only."""

    def render(self, task: Task) -> Text:
        left_s = round(task.fields["left_s"] - (task.get_time() - task.fields["told_s"]))
        return Text(f"about {left_s} s left" if left_s > 0 else "")


def _benefits(benefits: list[Mapping[str, Any]]) -> Table:
    """The benefits, without the columns in which nothing stands."""
    cells = [benefit_cells(benefit) for benefit in benefits]
    names = ("Service", "For", "Network", "You pay", "Deductible", "Out of pocket")
    kept = [place for place in range(len(names)) if any(row[place] for row in cells)]
    table = Table(*(names[place] for place in kept), title="Benefits", title_justify="left")
    for row in cells:
        table.add_row(*(row[place] for place in kept))
    return table
