"""What the commands that talk to a running platform share: their options, their endings, and errors as one sentence each."""

from __future__ import annotations

import asyncio
import os
import ssl
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any, NoReturn

import typer

import digital_session as sdk

DEFAULT_ENDPOINT = "ws://127.0.0.1:8080/v1"
INTERRUPTED_STATUS = 130

EndpointOption = Annotated[
    str, typer.Option("--endpoint", envvar="SESSION_PLATFORM_ENDPOINT", help="The platform's address, such as wss://HOST/v1.")
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="SESSION_PLATFORM_TOKEN",
        help="A member's token; `session-platform token` prints one.",
        callback=lambda token: token.strip(),  # what comes along when it is copied
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


class CommandError(Exception):
    """The command cannot go on; the message is one sentence that says what to do."""


class Reachability:
    """Says once that there is no connection, and once that there is one again."""

    def __init__(self, endpoint: str, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._endpoint = endpoint
        self._reached = False
        self._told = False

    def changed(self, state: str, error: Exception | None) -> None:
        """A client's ``state`` handler."""
        if state == sdk.State.RECONNECTING and not self._told:
            self._told = True
            missing = f"{unreachable(self._endpoint, error)} Trying again."
            self._tell("connection lost, reconnecting" if self._reached else missing)
        if state == sdk.State.CONNECTED:
            if self._told:
                self._tell("connected")
            self._told, self._reached = False, True


def member_of(token: str, member: str | None) -> str:
    """The member whom ``token`` is for. Raises CommandError when there is none, or when it is not ``member``."""
    if not token:
        raise CommandError(
            "A token is needed: give --token or set SESSION_PLATFORM_TOKEN; `session-platform token` prints one."
        )
    claimed = sdk.read_claims(token).get("member_id")
    if claimed is None:
        raise CommandError("The token is not a member's: `session-platform token --member ID` prints one that is.")
    if member is not None and member != claimed:
        raise CommandError(
            f"The token is for {claimed}, not for {member}: `session-platform token --member {member}` prints the right one."
        )
    return str(claimed)


def is_for_people() -> bool:
    """Whether the output is a terminal."""
    return sys.stdout.isatty()


def reader_of(token: str, member: str | None) -> str:
    """The member to look at: the token's own, or the one that a token of staff was given with. Raises CommandError."""
    if not token or "staff_id" not in sdk.read_claims(token):
        return member_of(token, member)
    if member is None:
        raise CommandError("The token is a staff member's: say whom to look at with --member ID.")
    return member


def unreachable(endpoint: str, error: BaseException | None = None) -> str:
    """The platform is not there, as ``error`` says, and what to do about it."""
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
        return f"The certificate of {endpoint} is not trusted here: add its issuer with SSL_CERT_FILE, or check the address."
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return f"What answers at {endpoint} does not speak TLS: name it with ws:// where it was started with --insecure."
    return f"The platform at {endpoint} cannot be reached: start it with `make run`, or name another one with --endpoint."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """``error`` and all that lies beneath it."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def sentence(error: sdk.DigitalSessionError, endpoint: str) -> str:
    """What went wrong and what to do about it, for a person."""
    match error:
        case sdk.AuthenticationError():
            return "The token is not accepted, it may have expired: `session-platform token --member ID` prints a new one."
        case sdk.UnavailableError():
            return unreachable(endpoint, error)
        case sdk.NotFoundError():
            return "There is no such member, or the token does not open it: check --member and whose the token is."
        case sdk.ProtocolError():
            return f"{error.message} The endpoint is {endpoint}."
        case sdk.ValidationError() if error.errors:
            problems = "; ".join(
                f"{each.get('pointer', '').strip('/')} {each.get('detail', '')}".strip() for each in error.errors
            )
            return f"{error.message.rstrip('.')}: {problems.rstrip('.')}."
        case _:
            return error.message


def run(work: Coroutine[Any, Any, int], endpoint: str, *, interrupted: object = "", interrupted_status: int = 0) -> NoReturn:
    """Run a command to its exit status. Errors become a sentence and 1; a closed pipe and Ctrl-C end it quietly.

    ``interrupted`` is what there is to say, by then, to who ends it with Ctrl-C.
    """
    try:
        status = asyncio.run(_until_the_pipe_closes(work))
    except KeyboardInterrupt:
        say(str(interrupted))
        status = interrupted_status
    except BrokenPipeError:
        # What is still buffered has nowhere to go; without this the interpreter would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except OSError:
        raise  # the output cannot be written: `cli.main` says so for every command
    except (CommandError, ValueError) as error:
        say(str(error))
        status = 1
    except sdk.DigitalSessionError as error:
        say(sentence(error, endpoint))
        status = 1
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, never a traceback
        say(f"Something unexpected went wrong ({type(error).__name__}): please report it.")
        status = 1
    raise typer.Exit(status)


def say(message: str) -> None:
    """Tell the person, beside the output."""
    if message:
        typer.echo(f"session-platform: {message}", err=True)


async def _until_the_pipe_closes(work: Coroutine[Any, Any, int]) -> int:
    """Run ``work``; when standard output is a pipe and its reader goes away, end it, also while nothing is written."""
    task = asyncio.ensure_future(work)
    loop, output = asyncio.get_running_loop(), sys.stdout.fileno()
    closed = False

    def reader_left() -> None:
        nonlocal closed
        closed = True
        loop.remove_reader(output)
        task.cancel()

    if stat.S_ISFIFO(os.fstat(output).st_mode):
        loop.add_reader(output, reader_left)
    try:
        return await task
    except asyncio.CancelledError:
        if closed:
            raise BrokenPipeError from None
        raise
    finally:
        loop.remove_reader(output)
