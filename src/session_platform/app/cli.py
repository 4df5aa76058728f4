"""``session-platform``: every command. What is heavy is imported where it is used, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from session_platform.app import streams
from session_platform.app.settings import Settings
from session_platform.errors import Broken, StartError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The Digital Session Platform: a member's sessions, live and in order.",
)

TEN_YEARS_S: Final = 10 * 365 * 86_400
DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the embedded store [default: data].")]


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port for REST and WebSocket; 0 takes a free one [default: 8080].")] = None,
    data: DataOption = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Allow plaintext and development tokens, on loopback only.")
    ] = None,
    simulator_speed: Annotated[
        float | None, typer.Option(help="10: the simulated clearinghouse answers ten times faster.")
    ] = None,
) -> None:
    """Start everything in one process on the embedded parts, with the clearinghouse simulator beside it."""
    settings = Settings.load(host=host, port=port, data=data, insecure=insecure, simulator_speed=simulator_speed)
    from session_platform.app.up import run

    run(settings)


@app.command()
def token(
    member: Annotated[str | None, typer.Option(help="A member's id.")] = None,
    staff: Annotated[str | None, typer.Option(help="A staff member's id; needs --role.")] = None,
    role: Annotated[str | None, typer.Option(help="care_team or clinician.")] = None,
    service: Annotated[str | None, typer.Option(help="A backend's name.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="An operator.")] = False,
    expires_in: Annotated[int, typer.Option(min=1, max=TEN_YEARS_S, help="Seconds until it expires.")] = 3600,
    data: DataOption = None,
) -> None:
    """Print a development token for the running data directory."""
    from session_platform.app.development import Subject, development_token

    subject = Subject(member=member, staff=staff, role=role, service=service, admin=admin)
    typer.echo(development_token(Settings.load(data=data), subject, expires_in))


@app.command()
def settings() -> None:
    """Print every setting with its value, source and meaning."""
    from rich.console import Console
    from rich.table import Table

    rows = Settings.load().sources()
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    table = Table("setting", "value", "source", "meaning")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _register() -> None:
    from session_platform.app import audit, contract_check
    from session_platform.app.check_coverage import check_coverage
    from session_platform.app.submit import submit
    from session_platform.app.tail import tail

    app.command("check-coverage")(check_coverage)
    app.command("submit")(submit)
    app.command("tail")(tail)
    app.add_typer(audit.app, name="audit")
    app.add_typer(contract_check.app, name="contract")


def main() -> NoReturn:
    """The console script: a `StartError`, `Broken`, or a file or output that fails becomes one sentence and exit status 1."""
    streams.complete()
    _register()
    try:
        app()
    except (StartError, Broken) as error:
        _end(str(error))
    except OSError as error:
        _end(f"{error.filename or 'The output'} cannot be used: {error.strerror or error}.")
    sys.exit(0)


def _end(sentence: str) -> NoReturn:
    typer.echo(f"session-platform: {sentence}", err=True)
    sys.exit(1)
