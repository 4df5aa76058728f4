"""From a payer's answer to what the platform says of an account's coverage.

An answer may speak of several plans (medical, dental, vision): the coverage is that of the first one that covers the plan as a
whole, failing that of the first active one, failing that of the first. Nothing here raises, whatever the payer sent: what
cannot be read is left out. Texts and lists are bounded, so that the events that carry them stay within their limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from session_platform.contract import CoverageBenefit, CoverageChangeType, CoverageDetails, CoverageStatus, Money
from session_platform.eligibility.model import Insured
from session_platform.eligibility.wire import (
    HEALTH_BENEFIT_PLAN,
    Answer,
    Benefit,
    Benefits,
    DateRange,
    Dates,
    Patient,
    Payer,
    Plan,
    Status,
    each,
    part,
)

TEXT_MAX_CHARACTERS: Final = 100
BENEFITS_MAX: Final = 128
CURRENCY: Final = "USD"

STATUSES: Final[Mapping[str, CoverageStatus]] = MappingProxyType(
    {
        "ACTIVE_COVERAGE": CoverageStatus.ACTIVE,
        "ACTIVE_FULL_RISK_CAPITATION": CoverageStatus.ACTIVE,
        "ACTIVE_SERVICES_CAPITATED": CoverageStatus.ACTIVE,
        "ACTIVE_SERVICES_CAPITATED_TO_PRIMARY_CARE_PROVIDER": CoverageStatus.ACTIVE,
        "ACTIVE_PENDING_INVESTIGATION": CoverageStatus.ACTIVE,
        "INACTIVE": CoverageStatus.INACTIVE,
        "INACTIVE_PENDING_ELIGIBILITY_UPDATE": CoverageStatus.INACTIVE,
        "INACTIVE_PENDING_INVESTIGATION": CoverageStatus.INACTIVE,
    }
)
"""X12 eligibility codes 1 to 8, as the clearinghouse spells them."""

_IN_NETWORK: Final[Mapping[str | None, bool]] = MappingProxyType({"IN_NETWORK": True, "OUT_OF_NETWORK": False})
_WHOLE_PERIODS: Final = frozenset({None, "CALENDAR_YEAR", "SERVICE_YEAR", "CONTRACT", "YEARS"})
_REMAINING: Final = "REMAINING"
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DECIMAL: Final = re.compile(r"\d{1,12}(\.\d{0,6})?|\.\d{1,6}", re.ASCII)


def coverage(answer: Answer, insured: Insured, answered_at: datetime) -> CoverageDetails:
    """What ``answer``, received at ``answered_at``, says of the account it was asked for.

    TERMINATED: the plan's last day is over, whatever the payer still says of it. UNKNOWN: the payer names no status we know.
    """
    plan, statuses, status = _plan(answer)
    patients = [found for raw in (answer.dependent, answer.subscriber) if (found := part(raw, Patient))]
    dates = [patient.dates for patient in patients if patient.dates] + [found.dates for found in statuses if found.dates]
    ended = _first_date(dates, "end")
    if isinstance(ended, str) and ended < answered_at.date().isoformat():
        status = CoverageStatus.TERMINATED
    payer_name = _payer_name(answer) or insured.payer_name
    return CoverageDetails(
        account_id=insured.account_id,
        coverage_status=status,
        payer_id=insured.payer_id,
        payer_name=payer_name,
        plan_name=_plan_name(plan, patients, statuses),
        member_id_at_payer=_first_text([p.member_id for p in patients]) or insured.member_id_at_payer,
        group_number=_first_text([number for p in patients for number in _group_numbers(p)]) or UNSET,
        effective_date=_first_date(dates, "start"),
        termination_date=ended,
        benefits=_benefits(plan.benefits) if plan else (),
        verified_at=answered_at,
        verified_by=payer_name,
    )


def says_something(answer: Answer) -> bool:
    """Whether the payer told of any coverage, be it active or not."""
    return any(_statuses(plan) for plan in each(answer.plans, Plan))


def change(before: CoverageDetails | None, now: CoverageDetails) -> CoverageChangeType | None:
    """What really changed for the account: None when only who answered and when differs. The first answer of all verifies; a
    coverage that ended since the last one is terminated; anything else is an update."""
    if before is None:
        return CoverageChangeType.VERIFICATION
    if replace(before, verified_at=UNSET, verified_by=UNSET) == replace(now, verified_at=UNSET, verified_by=UNSET):
        return None
    ended = CoverageStatus.TERMINATED
    if now.coverage_status is ended and before.coverage_status is not ended:
        return CoverageChangeType.TERMINATION
    return CoverageChangeType.UPDATE


# ------------------------------------------------------------------------------------------------------------ plan and status


def _plan(answer: Answer) -> tuple[Plan | None, Sequence[Status], CoverageStatus]:
    plans = [(plan, _statuses(plan)) for plan in each(answer.plans, Plan)]
    if not plans:
        return None, (), CoverageStatus.UNKNOWN
    plan, statuses = max(plans, key=lambda found: _rank(found[1]))  # of equals the first
    return plan, statuses, _status(statuses)


def _statuses(plan: Plan) -> list[Status]:
    """The statuses of the plan as a whole when there are any, else those of its services."""
    known = [status for status in each(plan.benefits.statuses, Status) if status.status in STATUSES]
    return [status for status in known if _is_whole_plan(status)] or known


def _is_whole_plan(status: Status) -> bool:
    return status.service is not None and status.service.value == HEALTH_BENEFIT_PLAN and status.service.system in {None, "STC"}


def _status(statuses: Sequence[Status]) -> CoverageStatus:
    found = {STATUSES[status.status] for status in statuses}
    for status in (CoverageStatus.ACTIVE, CoverageStatus.INACTIVE):
        if status in found:
            return status
    return CoverageStatus.UNKNOWN


def _rank(statuses: Sequence[Status]) -> tuple[bool, bool, bool]:
    status = _status(statuses)
    active = status is CoverageStatus.ACTIVE
    return active and any(map(_is_whole_plan, statuses)), active, status is CoverageStatus.INACTIVE


# -------------------------------------------------------------------------------------------------------------- names and dates


def _payer_name(answer: Answer) -> str | None:
    payer = part(answer.payer, Payer)
    if payer is None or payer.name is None:
        return None
    return _first_text([payer.name.organization, payer.name.person.last_name if payer.name.person else None])


def _plan_name(plan: Plan | None, patients: Sequence[Patient], statuses: Sequence[Status]) -> str | UnsetType:
    named = [plan.name] if plan else []
    named += [status.plan_coverage_description for status in statuses]
    named += [
        p.additional_information.plan.name for p in patients if p.additional_information and p.additional_information.plan
    ]
    return _first_text(named) or UNSET


def _group_numbers(patient: Patient) -> tuple[str | None, ...]:
    identifiers = patient.additional_information
    if identifiers is None:
        return ()
    return identifiers.group.number if identifiers.group else None, identifiers.group_or_policy_number


def _first_text(texts: Sequence[str | None]) -> str | None:
    return next((text for found in texts if found and (text := found.strip()[:TEXT_MAX_CHARACTERS])), None)


def _first_date(dates: Sequence[Dates], bound: str) -> str | UnsetType:
    ranges = (found for some in dates for found in (some.plan, some.eligibility, some.policy, some.enrollment) if found)
    return next((day for found in ranges if (day := _date(found, bound))), UNSET)


def _date(found: DateRange, bound: str) -> str | None:
    day = found.start if bound == "start" else found.end
    if day is None or not _ISO_DATE.fullmatch(day):
        return None
    try:
        return date.fromisoformat(day).isoformat()
    except ValueError:
        return None


# --------------------------------------------------------------------------------------------------------------------- benefits


class _Line(NamedTuple):
    """What a benefit is paid for: entries of the same line make one `CoverageBenefit`."""

    service_type_code: str | UnsetType
    coverage_level: str | UnsetType
    in_network: bool | UnsetType


def _benefits(given: Benefits) -> tuple[CoverageBenefit, ...]:
    """One benefit a line, in the payer's order. Where a payer gives several amounts for the same thing (by place or provider,
    told apart only in free text) the first stands. Entries for single procedures are no lines of the contract."""
    lines: dict[_Line, dict[str, Any]] = {}
    for entry, field, value in _costs(given):
        if entry.service is not None and entry.service.system not in {None, "STC"}:
            continue
        line = _Line(
            _short(entry.service.value if entry.service else None),
            _short(entry.coverage_level),
            _IN_NETWORK.get(entry.network.indicator if entry.network else None, UNSET),
        )
        amounts = lines.setdefault(line, {"service_type": _short(entry.service.definition if entry.service else None)})
        amounts.setdefault(field, value)
    return tuple(CoverageBenefit(**line._asdict(), **amounts) for line, amounts in list(lines.items())[:BENEFITS_MAX])


def _costs(given: Benefits) -> Iterator[tuple[Benefit, str, Money | float]]:
    yield from _limits(given.deductible, "deductible")
    yield from _limits(given.out_of_pocket, "out_of_pocket")
    for entry in each(given.co_payment, Benefit):
        if (money := _money(entry.amount)) is not None:
            yield entry, "copay", money
    for entry in each(given.co_insurance, Benefit):
        if (percent := _percent(entry.percent)) is not None:
            yield entry, "coinsurance_percent", percent


def _limits(entries: list[Raw] | None, field: str) -> Iterator[tuple[Benefit, str, Money]]:
    """What is to pay over the plan's period, and what is left of it; amounts used so far and lifetime ones are neither."""
    for entry in each(entries, Benefit):
        money = _money(entry.amount)
        if money is None:
            continue
        if entry.time_period in _WHOLE_PERIODS:
            yield entry, field, money
        elif entry.time_period == _REMAINING:
            yield entry, f"{field}_remaining", money


def _short(text: str | None) -> str | UnsetType:
    return _first_text([text]) or UNSET


def _decimal(text: str | None) -> Decimal | None:
    stripped = (text or "").strip()
    return Decimal(stripped) if _DECIMAL.fullmatch(stripped) else None


def _money(text: str | None) -> Money | None:
    """Whole cents at least: ``40`` and ``40.0`` are ``40.00``, and finer fractions stay."""
    amount = _decimal(text)
    if amount is None:
        return None
    cents = Decimal("0.01")
    exact = amount.normalize()
    return Money(amount=format(amount.quantize(cents) if exact == exact.quantize(cents) else exact, "f"), currency=CURRENCY)


def _percent(text: str | None) -> float | None:
    """0 to 100, of a share such as ``0.2``. Some payers send 20 for the same; nothing above 100 is a percentage."""
    share = _decimal(text)
    if share is None or share > 100:
        return None
    return float(share * 100 if share <= 1 else share)
