"""``session-platform tail``: a member's timeline live, reconnecting by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

import digital_session as sdk
from session_platform.app import terminal
from session_platform.app.terminal import EndpointOption, JsonOption, TokenOption


def tail(
    member: Annotated[str | None, typer.Option(help="The member [default: the token's]; staff name one.")] = None,
    start: Annotated[str, typer.Option("--from", help="beginning, now, or a cursor to go on after.")] = "now",
    events: Annotated[list[str] | None, typer.Option(help="Short names or globs such as 'task.*'; may be repeated.")] = None,
    endpoint: EndpointOption = terminal.DEFAULT_ENDPOINT,
    token: TokenOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show a member's timeline live, until Ctrl-C."""
    terminal.run(_tail(_printer(as_json), member, start, events or ["*"], (endpoint, token)), endpoint)


async def _tail(
    show: Callable[[sdk.Envelope], None], member: str | None, start: str, events: list[str], where: tuple[str, str]
) -> int:
    endpoint, token = where
    member_id = terminal.reader_of(token, member)
    names = [name.strip() for listed in events for name in listed.split(",")]
    async with sdk.DigitalSessionClient(endpoint, token=token, hydrate=False) as client:
        client.on("state", terminal.Reachability(endpoint, terminal.say).changed)
        client.on("error", lambda error: _trouble(client, error))
        client.on("reset", lambda _: terminal.say("Events may be missing here: the platform no longer has them."))
        try:
            timeline = await client.subscribe(member_id=member_id, events=names, **_position(start))
        except sdk.ValidationError as error:
            if error.code == "bad_cursor":
                raise terminal.CommandError(
                    "The cursor is not one of this member's timeline: use --from beginning or --from now."
                ) from error
            raise
        async for envelope in timeline:
            show(envelope)
    return 0


def _trouble(client: sdk.DigitalSessionClient, error: Exception) -> None:
    """Say what ended nothing; what ends the client is raised, and said then."""
    if client.state not in (sdk.State.FAILED, sdk.State.CLOSED):
        terminal.say(str(error))


def _position(start: str) -> dict[str, Any]:
    return {"beginning": {"since": "beginning"}, "now": {}}.get(start, {"cursor": start})


def _printer(as_json: bool) -> Callable[[sdk.Envelope], None]:
    if as_json:
        return print_json
    if not terminal.is_for_people():
        return print_line
    return _coloured()


def print_json(envelope: sdk.Envelope) -> None:
    """The envelope as a journal keeps it: to go on after any line, give its cursor to ``--from``."""
    print(json.dumps({"cursor": envelope.cursor, "event": envelope.event}, ensure_ascii=False), flush=True)  # noqa: T201


def print_line(envelope: sdk.Envelope) -> None:
    """Number (``-`` for an ephemeral event), time, name, then the data's plain fields."""
    print(*cells(envelope), flush=True)  # noqa: T201


def cells(envelope: sdk.Envelope) -> tuple[str, str, str, str]:
    """What a line shows of an event."""
    number = "-" if envelope.key is None else str(envelope.key.seq)
    data = envelope.get("data") or {}
    plain = " ".join(
        f"{name}={value}" for name, value in data.items() if name != "member_id" and not isinstance(value, dict | list)
    )
    return number, str(envelope.get("time", "")), envelope.name, plain


def _coloured() -> Callable[[sdk.Envelope], None]:
    from rich.console import Console
    from rich.text import Text

    console = Console()

    def show(envelope: sdk.Envelope) -> None:
        number, time, name, plain = cells(envelope)
        line = Text.assemble((f"{number:>6} ", "dim"), (f"{time} ", "dim"), (f"{name:<28} ", "bold cyan"), plain)
        console.print(line, soft_wrap=True)

    return show
