"""What the API accepts: a request's body, checked as the clearinghouse does before it asks a payer. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_ISO_DATE: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_NPI: Final = re.compile(r"\d{10}")
_IDENTIFIERS: Final = ("npi", "tin", "ein", "ssn", "serviceProviderNumber", "pharmacyProcessorNumber")
_CODE_SYSTEMS: Final = frozenset({"STC", "CDT", "CPT", "NDC", "HCPCS", "ICD_10_PCS"})


@dataclass(frozen=True, slots=True)
class Inquiry:
    """An acceptable request; texts are empty where it has none."""

    payer_id: str
    payer_name: str
    provider: Mapping[str, Any]
    member_id: str
    first_name: str
    last_name: str
    date_of_birth: str


class Unparsable(Exception):
    """The body is no JSON object."""


class Invalid(Exception):
    """``failures``: (path, message) of each thing wrong."""

    def __init__(self, failures: list[tuple[str, str]]) -> None:
        super().__init__()
        self.failures = failures


def parse(body: bytes) -> Inquiry:
    """The inquiry in ``body``. Raises `Unparsable` and `Invalid`."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        raise Unparsable from None
    if not isinstance(sent, dict):
        raise Unparsable
    failures = [*_payer(sent), *_provider(sent.get("provider")), *_subscriber(sent.get("subscriber")), *_encounter(sent)]
    if failures:
        raise Invalid(failures)
    person = _at(sent, "subscriber", "name", "person")
    return Inquiry(
        payer_id=sent["payerId"],
        payer_name=_text(sent.get("payerName")),
        provider=sent["provider"],
        member_id=_text(_at(sent, "subscriber").get("memberId")),
        first_name=_text(person.get("firstName")),
        last_name=_text(person.get("lastName")),
        date_of_birth=_text(_at(sent, "subscriber").get("dateOfBirth")),
    )


def _payer(sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _length(sent, "payerId", "/payerId", range(1, 81), required=True)
    yield from _length(sent, "payerName", "/payerName", range(1, 61))


def _provider(provider: object) -> Iterator[tuple[str, str]]:
    if not isinstance(provider, dict):
        yield "/provider", "is required"
        return
    yield from _either(provider.get("name"), "/provider/name", required=True)
    if not any(provider.get(name) for name in _IDENTIFIERS):
        yield "/provider", "needs an identifier"
    if "npi" in provider and not _NPI.fullmatch(_text(provider["npi"])):
        yield "/provider/npi", "must be ten digits"


def _subscriber(subscriber: object) -> Iterator[tuple[str, str]]:
    if not isinstance(subscriber, dict):
        yield "/subscriber", "is required"
        return
    yield from _either(subscriber.get("name"), "/subscriber/name")
    yield from _length(subscriber, "memberId", "/subscriber/memberId", range(2, 81))
    person = _at(subscriber, "name", "person")
    yield from _length(person, "firstName", "/subscriber/name/person/firstName", range(1, 36))
    yield from _length(person, "lastName", "/subscriber/name/person/lastName", range(1, 61))
    born = subscriber.get("dateOfBirth")
    if born is not None and not _ISO_DATE.fullmatch(_text(born)):
        yield "/subscriber/dateOfBirth", "must be a date, YYYY-MM-DD"
    if not (subscriber.get("memberId") or born or person.get("lastName")):
        yield "/subscriber", "needs memberId, dateOfBirth or name.person.lastName"


def _encounter(sent: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    services = _at(sent, "encounter").get("services", [])
    if not isinstance(services, list):
        yield "/encounter/services", "must be a list"
        return
    for place, service in enumerate(services):
        path = f"/encounter/services/{place}"
        if not isinstance(service, dict):
            yield path, "must be an object"
            continue
        yield from _length(service, "value", f"{path}/value", range(1, 49), required=True)
        if service.get("system") not in _CODE_SYSTEMS:
            yield f"{path}/system", "must be a known code system"


def _either(name: object, path: str, *, required: bool = False) -> Iterator[tuple[str, str]]:
    if name is None and not required:
        return
    if not isinstance(name, dict) or sum(kind in name for kind in ("person", "organization")) != 1:
        yield path, "must be either a person or an organization"


def _length(
    holder: Mapping[str, Any], name: str, path: str, lengths: range, *, required: bool = False
) -> Iterator[tuple[str, str]]:
    value = holder.get(name)
    if value is None:
        if required:
            yield path, "is required"
    elif not isinstance(value, str) or len(value) not in lengths:
        yield path, f"must be text of {lengths[0]} to {lengths[-1]} characters"


def _at(holder: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object at this path; empty when there is none."""
    found: Any = holder
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
