"""What goes over the wire to the clearinghouse: Stedi's ``POST /2026-06-01/eligibility-check``, as far as it is sent or read
here.

Payers fill in the answers, and not every payer keeps to the form. So an answer is typed only where it is read, and each list is
read entry by entry: an entry of another form is left out, the rest stands. The bytes themselves are kept as they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Raw, Struct

from session_platform.eligibility.model import Insured

PATH: Final = "/2026-06-01/eligibility-check"
HEALTH_BENEFIT_PLAN: Final = "30"
"""X12 service type code for the plan as a whole."""

T = TypeVar("T")
_NOTHING: Final = Raw(b"null")


class Unreadable(Exception):
    """The bytes are no answer of the clearinghouse's form. Says nothing of what they hold."""


# ------------------------------------------------------------------------------------------------------------------ the request


class _Sent(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Fields without a value are left out: the API refuses empty text."""


class PersonName(_Sent, frozen=True, kw_only=True):
    first_name: str = ""
    last_name: str = ""


class SubscriberName(_Sent, frozen=True, kw_only=True):
    person: PersonName


class ProviderName(_Sent, frozen=True, kw_only=True):
    organization: str


class Provider(_Sent, frozen=True, kw_only=True):
    """Who asks: an organisation and its National Provider Identifier (ten digits)."""

    name: ProviderName
    npi: str


class Subscriber(_Sent, frozen=True, kw_only=True):
    """The person as the payer knows them. A dependant with a member id of their own stands here too; ``date_of_birth`` is
    YYYY-MM-DD."""

    name: SubscriberName
    member_id: str = ""
    date_of_birth: str = ""


class Service(_Sent, frozen=True, kw_only=True):
    value: str
    system: str


class Encounter(_Sent, frozen=True, kw_only=True):
    services: tuple[Service, ...]


class Request(_Sent, frozen=True, kw_only=True):
    """One check. Without a date of service the payer answers for today, in its own time zone."""

    payer_id: str
    payer_name: str = ""
    provider: Provider
    subscriber: Subscriber
    encounter: Encounter


WHOLE_PLAN: Final = Encounter(services=(Service(value=HEALTH_BENEFIT_PLAN, system="STC"),))

_encoder: Final = msgspec.json.Encoder()


def question(insured: Insured, provider: Provider) -> Request:
    """The question for this account's coverage of today."""
    return Request(
        payer_id=insured.payer_id,
        payer_name=insured.payer_name,
        provider=provider,
        subscriber=Subscriber(
            name=SubscriberName(person=PersonName(first_name=insured.first_name, last_name=insured.last_name)),
            member_id=insured.member_id_at_payer,
            date_of_birth=insured.date_of_birth,
        ),
        encounter=WHOLE_PLAN,
    )


def encode(request: Request) -> bytes:
    """The request's body."""
    return _encoder.encode(request)


# ------------------------------------------------------------------------------------------------------------------- the answer


class _Read(Struct, frozen=True, kw_only=True, rename="camel"):
    """A field that is absent or null has its default."""


class Person(_Read, frozen=True, kw_only=True):
    first_name: str | None = None
    last_name: str | None = None


class Name(_Read, frozen=True, kw_only=True):
    """One of the two."""

    person: Person | None = None
    organization: str | None = None


class Payer(_Read, frozen=True, kw_only=True):
    name: Name | None = None


class DateRange(_Read, frozen=True, kw_only=True):
    """YYYY-MM-DD; ``end`` is the last day."""

    start: str | None = None
    end: str | None = None


class Dates(_Read, frozen=True, kw_only=True):
    """When the coverage holds; payers use one or another of these."""

    plan: DateRange | None = None
    eligibility: DateRange | None = None
    policy: DateRange | None = None
    enrollment: DateRange | None = None


class Numbered(_Read, frozen=True, kw_only=True):
    number: str | None = None
    name: str | None = None


class Identifiers(_Read, frozen=True, kw_only=True):
    plan: Numbered | None = None
    group: Numbered | None = None
    group_or_policy_number: str | None = None


class Patient(_Read, frozen=True, kw_only=True):
    """The subscriber or the dependant of an answer."""

    member_id: str | None = None
    dates: Dates | None = None
    additional_information: Identifiers | None = None


class ServiceOrProcedure(_Read, frozen=True, kw_only=True):
    """``system`` STC: an X12 service type code; others name procedures."""

    value: str | None = None
    definition: str | None = None
    system: str | None = None


class Network(_Read, frozen=True, kw_only=True):
    indicator: str | None = None


class Status(_Read, frozen=True, kw_only=True):
    """Whether the patient is covered for a service."""

    status: str
    service: ServiceOrProcedure | None = None
    dates: Dates | None = None
    plan_coverage_description: str | None = None


class Benefit(_Read, frozen=True, kw_only=True):
    """A co-payment, co-insurance, deductible or out-of-pocket entry: ``amount`` in US dollars or ``percent`` as a share of
    one."""

    coverage_level: str | None = None
    network: Network | None = None
    service: ServiceOrProcedure | None = None
    time_period: str | None = None
    amount: str | None = None
    percent: str | None = None


class Benefits(_Read, frozen=True, kw_only=True):
    statuses: list[Raw] | None = None
    co_payment: list[Raw] | None = None
    co_insurance: list[Raw] | None = None
    deductible: list[Raw] | None = None
    out_of_pocket: list[Raw] | None = None


class Plan(_Read, frozen=True, kw_only=True):
    name: str | None = None
    benefits: Benefits


class PayerError(_Read, frozen=True, kw_only=True):
    """An AAA segment of the payer's answer."""

    code: str | int
    followup_action: str | None = None


class Answer(_Read, frozen=True, kw_only=True):
    """The body of a 200."""

    id: str
    payer: Raw = _NOTHING
    subscriber: Raw = _NOTHING
    dependent: Raw = _NOTHING
    plans: list[Raw] | None = None
    errors: Raw = _NOTHING


_answers: Final = msgspec.json.Decoder(Answer)


def decode(body: bytes) -> Answer:
    """The answer in ``body``. Raises `Unreadable` for what is no JSON and for a body of another form."""
    try:
        msgspec.json.decode(body)  # Raw values are not looked into: after this they are known to be whole.
        return _answers.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Unreadable from None


def each(entries: Iterable[Raw] | None, form: type[T]) -> list[T]:
    """Those of ``entries`` that have this form."""
    found = (part(entry, form) for entry in entries or ())
    return [entry for entry in found if entry is not None]


def part(raw: Raw, form: type[T]) -> T | None:
    """``raw`` if it has this form, else None."""
    try:
        return msgspec.json.decode(raw, type=form)
    except msgspec.ValidationError:
        return None
