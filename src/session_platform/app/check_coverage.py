"""``session-platform check-coverage``: the main job in a terminal, with live progress and the coverage at the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

import typer

import digital_session as sdk
from session_platform.app import terminal
from session_platform.app.terminal import EndpointOption, JsonOption, TokenOption

# After so many failed attempts in a row, some minutes, a person would rather be told.
ATTEMPTS_MAX = 20

# The platform's text for a failure says what to do, except where only the payer knows.
WHAT_TO_DO: Mapping[str, str] = {"payer_rejected": "Ask the payer what is missing before another check."}


class View(Protocol):
    """How a check is shown."""

    def submitted(self, service_request_id: str) -> None: ...

    def progress(self, now: sdk.Progress) -> None: ...

    def connection(self, state: str) -> None: ...

    def coverage(self, result: Mapping[str, Any]) -> None: ...

    def failed(self, code: str, message: str) -> None: ...


def check_coverage(
    member: Annotated[str | None, typer.Option(help="The member [default: the token's].")] = None,
    account: Annotated[str | None, typer.Option(help="Whose coverage to check [default: the member's own account].")] = None,
    endpoint: EndpointOption = terminal.DEFAULT_ENDPOINT,
    token: TokenOption = "",
    as_json: JsonOption = False,
) -> None:
    """Check a member's coverage with the payer, live."""
    hint = "The check goes on without this terminal; `session-platform tail --from beginning` shows its events."
    terminal.run(
        check(_view(as_json), member, account, endpoint, token),
        endpoint,
        interrupted=hint,
        interrupted_status=terminal.INTERRUPTED_STATUS,
    )


async def check(
    view: contextlib.AbstractContextManager[View], member: str | None, account: str | None, endpoint: str, token: str
) -> int:
    """Run one check and show it; the exit status. Raises CommandError and the SDK's errors."""
    terminal.member_of(token, member)
    reconnect = sdk.Reconnect(max_attempts=ATTEMPTS_MAX)
    with view as show:
        async with sdk.DigitalSessionClient(endpoint, token=token, reconnect=reconnect) as client:
            client.on("state", terminal.Reachability(endpoint, show.connection).changed)
            client.on("error", lambda _: None)
            session = await client.create_session(intent="check_coverage")
            fields: dict[str, Any] = {"subject": account} if account else {}
            try:
                request = await session.submit_service_request(
                    service="RTE", reason="check_coverage", priority=sdk.ServiceRequestPriority.INTERACTIVE, **fields
                )
            except sdk.ValidationError as error:
                raise _refused(error, token) from error
            show.submitted(request.id)
            request.on("progress", show.progress)
            status = await _ended(request, show)
            with contextlib.suppress(sdk.DigitalSessionError):
                await session.end()
            return status


def _refused(error: sdk.ValidationError, token: str) -> Exception:
    """The account is not one of the token's, or something else is not acceptable."""
    if not any(problem.get("pointer") == "/subject" for problem in error.errors):
        return error
    accounts = ", ".join(map(str, sdk.read_claims(token).get("account_ids", ())))
    return terminal.CommandError(f"This token cannot ask about that account: choose --account among {accounts}.")


async def _ended(request: sdk.ServiceRequest, show: View) -> int:
    """Wait for the end, after all progress was shown."""
    shown = asyncio.Event()
    for end in ("completed", "failed", "canceled"):
        request.on(end, lambda _end: shown.set())
    try:
        result = await request.result()
    except (sdk.ServiceRequestFailedError, sdk.ServiceRequestCanceledError) as error:
        await shown.wait()
        show.failed(error.code, f"{error.message} {WHAT_TO_DO.get(error.code, '')}".strip())
        return 1
    await shown.wait()
    show.coverage(result)
    return 0


def _view(as_json: bool) -> contextlib.AbstractContextManager[View]:
    if as_json:
        return contextlib.nullcontext(JsonView())
    if not sys.stdout.isatty():
        return contextlib.nullcontext(PlainView())
    from session_platform.app.coverage_screen import Screen

    return Screen()


class PlainView:
    """Stable lines for a pipe: the first word says what a line is."""

    def submitted(self, service_request_id: str) -> None:
        _line("submitted", service_request_id)

    def progress(self, now: sdk.Progress) -> None:
        left = f"about {now.estimated_seconds} s left" if now.estimated_seconds else ""
        _line("progress", f"{now.percent_complete}%", now.stage or "", left)

    def connection(self, state: str) -> None:
        terminal.say(state)

    def coverage(self, result: Mapping[str, Any]) -> None:
        known = result.get("coverage") or {}
        _line(
            "coverage",
            result.get("coverage_status", "UNKNOWN"),
            result.get("payer_name", ""),
            known.get("plan_name", ""),
            period(result),
        )
        for benefit in known.get("benefits", []):
            *what, deductible, out_of_pocket = benefit_cells(benefit)
            rest = (f"deductible {deductible}" if deductible else "", f"out of pocket {out_of_pocket}" if out_of_pocket else "")
            _line("benefit", *what, *rest)

    def failed(self, code: str, message: str) -> None:
        _line("failed", code)
        terminal.say(message)


class JsonView:
    """One JSON object a line; the last one is the coverage, or why there is none."""

    def submitted(self, service_request_id: str) -> None:
        _object("submitted", service_request_id=service_request_id)

    def progress(self, now: sdk.Progress) -> None:
        _object(
            "progress",
            percent_complete=now.percent_complete,
            stage=now.stage,
            estimated_seconds=now.estimated_seconds,
            tasks=list(now.tasks),
        )

    def connection(self, state: str) -> None:
        _object("connection", message=state)

    def coverage(self, result: Mapping[str, Any]) -> None:
        _object("coverage", **result)

    def failed(self, code: str, message: str) -> None:
        _object("failed", code=code, message=message)
        terminal.say(message)


def period(result: Mapping[str, Any]) -> str:
    """From when until when the coverage holds, as far as the payer says."""
    start, end = result.get("effective_date", ""), result.get("termination_date", "")
    return f"{start} to {end}" if start and end else f"from {start}" if start else f"until {end}" if end else ""


def benefit_cells(benefit: Mapping[str, Any]) -> tuple[str, ...]:
    """Service, for whom, network, the member's share, deductible, out of pocket: a text each, empty where nothing is known."""
    network = {True: "in network", False: "out of network"}.get(benefit.get("in_network", None), "")
    coinsurance = benefit.get("coinsurance_percent")
    shares = [
        f"copay {money(benefit['copay'])}" if benefit.get("copay") else "",
        f"coinsurance {coinsurance:g}%" if coinsurance is not None else "",
    ]
    return (
        str(benefit.get("service_type") or benefit.get("service_type_code") or ""),
        str(benefit.get("coverage_level", "")),
        network,
        ", ".join(share for share in shares if share),
        _left("deductible", benefit),
        _left("out_of_pocket", benefit),
    )


def money(amount: Mapping[str, Any]) -> str:
    """Such as ``25.00 USD``."""
    return f"{amount.get('amount', '')} {amount.get('currency', '')}".strip()


def _left(field: str, benefit: Mapping[str, Any]) -> str:
    whole, rest = benefit.get(field), benefit.get(f"{field}_remaining")
    parts = [money(whole) if whole else "", f"{money(rest)} left" if rest else ""]
    return ", ".join(part for part in parts if part)


def _line(*words: str) -> None:
    print(" ".join(word for word in words if word), flush=True)  # noqa: T201 - a pipe is told each line at once


def _object(kind: str, **fields: Any) -> None:
    print(json.dumps({"type": kind, **fields}, ensure_ascii=False), flush=True)  # noqa: T201 - as above
