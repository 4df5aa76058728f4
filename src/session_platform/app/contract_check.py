"""``session-platform contract check``: what of an earlier or another published contract this build would break."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from session_platform.errors import StartError

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S: Final = 10.0
OPENAPI: Final = "openapi"
ASYNCAPI: Final = "asyncapi"
SCHEMA_ID: Final = "urn:session-platform:schema:"

app = typer.Typer(help="The published contracts: OpenAPI, AsyncAPI and the JSON Schemas.", no_args_is_help=True)

Contracts = Mapping[str, Mapping[str, Any]]
"""Documents by name: ``openapi``, ``asyncapi``, and a JSON Schema under the name in its ``$id``."""


@app.callback()
def _group() -> None:
    """One command so far, still called by its name."""


@app.command()
def check(
    against: Annotated[
        str | None,
        typer.Option(help="A server's address, or a file or folder of contracts that somebody relies on."),
    ] = None,
) -> None:
    """Say what of the contracts in --against this build breaks; without it, whether this build's own are whole. Ends with 1 if
    something is broken."""
    ours = published()
    sentences = faults(ours) if against is None else broken(read(against), ours)
    for sentence in sentences:
        typer.echo(sentence)
    if sentences:
        raise typer.Exit(1)
    typer.echo(f"{len(ours)} contracts, nothing is broken.")


def published() -> dict[str, Mapping[str, Any]]:
    """What this build publishes."""
    from session_platform.api import published_contracts

    return {name: json.loads(document) for name, document in published_contracts().items()}


def read(place: str) -> dict[str, Mapping[str, Any]]:
    """The contracts at an address or in a file or folder. Raises `StartError` in one sentence."""
    if place.startswith(("http://", "https://")):
        return _fetched(place)
    path = Path(place)
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    found = dict(named for file in files if (named := _named(_parsed(file.read_bytes(), str(file)))) is not None)
    if not found:
        raise StartError(f"{place} holds no contract: an OpenAPI or AsyncAPI document, or one of the platform's JSON Schemas.")
    return found


def faults(ours: Contracts) -> list[str]:
    """What is wrong with this build's own contracts."""
    from jsonschema import Draft202012Validator, SchemaError

    found = []
    for name, document in ours.items():
        if name in (OPENAPI, ASYNCAPI):
            found += [f"{name}: the reference {each} leads nowhere." for each in _dangling(document)]
            continue
        try:
            Draft202012Validator.check_schema(document)
        except SchemaError as error:
            found.append(f"{name}: it is no JSON Schema ({error.message}).")
        found += [f"{name}: the reference {each} leads nowhere." for each in _dangling(document)]
    return found


def broken(theirs: Contracts, ours: Contracts) -> list[str]:
    """What who relies on ``theirs`` would find broken."""
    found: list[str] = []
    for name, before in theirs.items():
        now = ours.get(name)
        found += [f"{name} is gone."] if now is None else [f"{name}: {each}" for each in _compared(name, before, now)]
    return found


def _compared(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    from session_platform.contract import breaking

    try:
        if name == OPENAPI:
            return breaking.of_openapi(before, now)
        if name == ASYNCAPI:
            return breaking.of_asyncapi(before, now)
        return breaking.of_schema(before, now, breaking.way_of(name))
    except (KeyError, TypeError, AttributeError):
        raise StartError(f"The {name} to compare with is damaged or was not published by this platform.") from None


def _named(document: Any) -> tuple[str, Mapping[str, Any]] | None:
    """A document with the name of the contract that it is; None for any other JSON."""
    if not isinstance(document, dict):
        return None
    for kind in (OPENAPI, ASYNCAPI):
        if kind in document:
            return kind, document
    name = str(document.get("$id", ""))
    return (name.removeprefix(SCHEMA_ID), document) if name.startswith(SCHEMA_ID) else None


def _fetched(address: str) -> dict[str, Mapping[str, Any]]:
    import httpx2

    base = address.rstrip("/")
    with httpx2.Client(timeout=TIMEOUT_S, follow_redirects=True) as http:
        if base.endswith(".json"):
            documents = [_got(http, base)]
        else:
            index = _got(http, f"{base}/schemas.json")
            paths = ["/openapi.json", "/asyncapi.json", *(str(each["href"]) for each in index["schemas"])]
            documents = [_got(http, base + path) for path in paths]
    found = dict(named for document in documents if (named := _named(document)) is not None)
    if not found:
        raise StartError(f"{address} answers with no contract of this platform.")
    return found


def _got(http: httpx2.Client, url: str) -> Any:
    import httpx2

    try:
        answer = http.get(url)
    except httpx2.HTTPError as error:
        raise StartError(f"{url} cannot be read ({type(error).__name__}): is the server up, and the address right?") from None
    if answer.status_code != 200:
        raise StartError(f"{url} answers {answer.status_code}: is it the address of a Digital Session Platform?")
    return _parsed(answer.content, url)


def _parsed(raw: bytes, place: str) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise StartError(f"{place} is no JSON.") from None


def _dangling(document: Mapping[str, Any]) -> list[str]:
    return [each for each in _references(document) if not _leads_somewhere(each, document)]


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _leads_somewhere(reference: str, document: Mapping[str, Any]) -> bool:
    place: Any = document
    for step in reference.removeprefix("#/").split("/"):
        place = place.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
    return place is not None
