"""``session-platform check-coverage``: the main job in a terminal, with live progress and the coverage at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any

import typer

import digital_session as sdk
from session_platform.app import following, terminal
from session_platform.app.coverage_words import benefit_cells, period
from session_platform.app.terminal import EndpointOption, JsonOption, TokenOption

# The platform's text for a failure says what to do, except where only the payer knows.
WHAT_TO_DO: Mapping[str, str] = {"payer_rejected": "Ask the payer what is missing before another check."}


def check_coverage(
    member: Annotated[str | None, typer.Option(help="The member [default: the token's].")] = None,
    account: Annotated[str | None, typer.Option(help="Whose coverage to check [default: the member's own account].")] = None,
    endpoint: EndpointOption = terminal.DEFAULT_ENDPOINT,
    token: TokenOption = "",
    as_json: JsonOption = False,
) -> None:
    """Check a member's coverage with the payer, live."""
    farewell = following.Farewell(
        "The check goes on without this terminal; `session-platform tail --from beginning` shows its events."
    )
    subject = {"subject": account} if account else {}
    priority = sdk.ServiceRequestPriority.INTERACTIVE
    fields = {"service": "RTE", "reason": "check_coverage", "priority": priority, **subject}
    terminal.run(
        following.ask(
            _view(as_json), following.Asking(member, endpoint, token, "check_coverage", fields, WHAT_TO_DO), farewell
        ),
        endpoint,
        interrupted=farewell,
        interrupted_status=terminal.INTERRUPTED_STATUS,
    )


def _view(as_json: bool) -> contextlib.AbstractContextManager[following.View]:
    if as_json:
        return contextlib.nullcontext(following.JsonView("coverage", with_steps=False))
    if not terminal.is_for_people():
        return contextlib.nullcontext(following.PlainView(tell_coverage, with_steps=False))
    from session_platform.app.coverage_screen import show_coverage
    from session_platform.app.request_screen import Screen

    return Screen("Coverage check", show_coverage)


def tell_coverage(result: Mapping[str, Any]) -> None:
    """A coverage as lines for a pipe."""
    known = result.get("coverage") or {}
    status, payer = result.get("coverage_status", "UNKNOWN"), result.get("payer_name") or ""
    following.line("coverage", status, payer, known.get("plan_name", ""), period(result))
    for benefit in known.get("benefits", []):
        *what, deductible, out_of_pocket = benefit_cells(benefit)
        rest = (f"deductible {deductible}" if deductible else "", f"out of pocket {out_of_pocket}" if out_of_pocket else "")
        following.line("benefit", *what, *rest)
