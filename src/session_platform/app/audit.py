"""``session-platform audit``: verify the record of who did and read what, and take it out of the house.

Both read one snapshot of a data directory, beside a running ``up`` or without one, and never hold the whole of it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from session_platform.access.audit import Period, Verification, export_lines, fhir_lines, verify, verify_lines
from session_platform.app.settings import Settings
from session_platform.errors import StartError, Unavailable
from session_platform.store import Reader

HEAD_BYTES: Final = 32

app = typer.Typer(no_args_is_help=True, help="The audit: verify its chain, export it.")

DataOption = Annotated[Path | None, typer.Option("--data", help="Folder of the embedded store [default: data].")]


class Format(StrEnum):
    JSONL = "jsonl"
    FHIR = "fhir"


@app.command("verify")
def verify_audit(
    data: DataOption = None,
    file: Annotated[Path | None, typer.Option(help="An export in JSON lines to verify in place of the store.")] = None,
    head: Annotated[str, typer.Option(help="A head noted earlier: it must be in the chain.")] = "",
) -> None:
    """Verify the chain of audit records: exit status 0 when it is whole, 1 when it is broken."""
    wanted = _head(head)
    if file is None:
        with _audit(data) as reader:
            found = verify(reader, wanted)
    else:
        with file.open("rb") as lines:
            found = verify_lines(lines, wanted)
    _tell(found)
    if not found.whole:
        raise typer.Exit(1)


@app.command("export")
def export_audit(
    data: DataOption = None,
    format_: Annotated[
        Format, typer.Option("--format", help="jsonl can be verified; fhir is AuditEvent (R4, BALP).")
    ] = Format.JSONL,
    since: Annotated[str, typer.Option(help="Not before this time, such as 2026-01-31 or 2026-01-31T10:00:00Z.")] = "",
    until: Annotated[str, typer.Option(help="Before this time.")] = "",
) -> None:
    """Write the audit to the standard output, one record a line."""
    period = Period(_moment("--since", since), _moment("--until", until))
    write = export_lines if format_ is Format.JSONL else fhir_lines
    with _audit(data) as reader:
        sys.stdout.buffer.writelines(write(reader, period))
        sys.stdout.buffer.flush()


@contextlib.contextmanager
def _audit(data: Path | None) -> Iterator[Reader]:
    """The store of a data directory. Raises `StartError`."""
    from session_platform.store.sqlite import snapshot

    directory = Settings.load(data=data).data
    try:
        with snapshot(directory) as reader:
            yield reader
    except Unavailable:
        raise StartError(f"The database in {directory} cannot be read: look at its disk, or restore a backup.") from None
    except UnicodeDecodeError:
        raise StartError(f"The audit in {directory} holds text that is none: somebody else has written it.") from None


def _tell(found: Verification) -> None:
    start = f" after place {found.start.place}" if found.start.place else ""
    lines = [f"{found.records} sealed records{start}, {found.seals} seals, {found.unsealed} not sealed yet"]
    if found.wanted_at is not None:
        lines.append(f"the head given stands at place {found.wanted_at}")
    if found.whole:
        lines.append(f"place {found.head.place} head {found.head.link.hex()}")
    lines += [each.sentence() for each in found.breaks]
    if found.breaks_in_all > len(found.breaks):
        lines.append(f"and {found.breaks_in_all - len(found.breaks)} more")
    lines.append("whole" if found.whole else "BROKEN")
    typer.echo("\n".join(lines))


def _head(text: str) -> bytes | None:
    if not text:
        return None
    with contextlib.suppress(ValueError):
        head = bytes.fromhex(text.strip())
        if len(head) == HEAD_BYTES:
            return head
    raise StartError(f"--head is the {2 * HEAD_BYTES} hexadecimal digits that an earlier 'audit verify' printed.")


def _moment(option: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise StartError(f"{option} is a date or a time such as 2026-01-31T10:00:00Z.") from None
