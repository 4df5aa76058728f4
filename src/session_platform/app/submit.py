"""``session-platform submit``: any service of the catalogue in a terminal, its steps live until the end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from session_platform.app import following, terminal
from session_platform.app.terminal import EndpointOption, JsonOption, TokenOption

if TYPE_CHECKING:
    from rich.console import Console


def submit(  # noqa: PLR0913, PLR0917 - command-line options are arguments
    service: Annotated[str, typer.Option(help="Its code in the catalogue, such as ENROLLMENT_INSTANT_COVERAGE.")],
    data: Annotated[str, typer.Option(help="What the service is to know, a JSON object.")] = "",
    member: Annotated[str | None, typer.Option(help="The member [default: the token's].")] = None,
    account: Annotated[str | None, typer.Option(help="Whom it is about [default: the member's own account].")] = None,
    endpoint: EndpointOption = terminal.DEFAULT_ENDPOINT,
    token: TokenOption = "",
    as_json: JsonOption = False,
) -> None:
    """Ask for a service and watch its steps, live."""
    farewell = following.Farewell(
        "The request goes on without this terminal; `session-platform tail --from beginning` shows its events."
    )
    terminal.run(
        _submit(as_json, service, data, account, (member, endpoint, token), farewell),
        endpoint,
        interrupted=farewell,
        interrupted_status=terminal.INTERRUPTED_STATUS,
    )


async def _submit(
    as_json: bool,
    service: str,
    data: str,
    account: str | None,
    who: tuple[str | None, str, str],
    farewell: following.Farewell,
) -> int:
    fields = {"service": service, "data": _parsed(data), "subject": account}
    given = {name: value for name, value in fields.items() if value is not None}
    return await following.ask(_view(as_json, service), following.Asking(*who, service.lower(), given), farewell)


def _parsed(data: str) -> dict[str, Any] | None:
    """Raises CommandError for what is no JSON object."""
    if not data:
        return None
    with contextlib.suppress(ValueError):
        parsed = json.loads(data)
        if isinstance(parsed, dict):
            return parsed
    raise terminal.CommandError('What --data gives is no JSON object: write --data \'{"first_name": "…"}\'.')


def _view(as_json: bool, service: str) -> contextlib.AbstractContextManager[following.View]:
    if as_json:
        return contextlib.nullcontext(following.JsonView("completed", with_steps=True))
    if not terminal.is_for_people():
        return contextlib.nullcontext(following.PlainView(_tell, with_steps=True))
    from session_platform.app.request_screen import Screen

    return Screen(service, _show)


def _tell(result: Mapping[str, Any]) -> None:
    following.line("completed", json.dumps(result, ensure_ascii=False))


def _show(console: Console, result: Mapping[str, Any]) -> None:
    from session_platform.app.coverage_screen import show_coverage

    console.print("Succeeded.", style="bold green")
    if "coverage" in result:
        show_coverage(console, result)
    elif result:
        console.print_json(data=result)
