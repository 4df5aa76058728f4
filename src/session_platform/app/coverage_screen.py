"""A coverage on a terminal, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from session_platform.app.coverage_words import benefit_cells, period

_WIDEST = 1000
_COLOUR = {"ACTIVE": "bold green", "TERMINATED": "bold red", "INACTIVE": "bold red"}


def show_coverage(console: Console, result: Mapping[str, Any]) -> None:
    """What a coverage check found."""
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
    console.print(facts)
    if known.get("benefits"):
        table = _benefits(known["benefits"])
        # A table that does not fit would cut every word of it.
        fits = Measurement.get(console, console.options.update(max_width=_WIDEST), table).minimum <= console.width
        console.print(table if fits else _listed(known["benefits"]))


def _listed(benefits: list[Mapping[str, Any]]) -> Text:
    """The benefits one below the other, for a narrow terminal."""
    text = Text("Benefits\n", "italic")
    for benefit in benefits:
        service, *whom, deductible, out_of_pocket = benefit_cells(benefit)
        text.append(f"{service}\n", "bold")
        lefts = (f"deductible {deductible}" if deductible else "", f"out of pocket {out_of_pocket}" if out_of_pocket else "")
        for line in (", ".join(cell for cell in whom if cell), *lefts):
            text.append(f"  {line}\n" if line else "")
    text.rstrip()
    return text


def _benefits(benefits: list[Mapping[str, Any]]) -> Table:
    """The benefits, without the columns in which nothing stands."""
    cells = [benefit_cells(benefit) for benefit in benefits]
    names = ("Service", "For", "Network", "You pay", "Deductible", "Out of pocket")
    kept = [place for place in range(len(names)) if any(row[place] for row in cells)]
    table = Table(*(names[place] for place in kept), title="Benefits", title_justify="left")
    for row in cells:
        table.add_row(*(row[place] for place in kept))
    return table
