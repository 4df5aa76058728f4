"""The bodies of the clearinghouse's answers. Pure: who, what and when come as arguments."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from session_platform.simulators.clearinghouse.asked import Inquiry
from session_platform.simulators.clearinghouse.payers import PAYERS, PlanData
from session_platform.simulators.clearinghouse.x12 import transaction

Json = dict[str, Any]
_SERVICES: Final = {
    "30": "Health Benefit Plan Coverage",
    "98": "Professional (Physician) Visit - Office",
    "UC": "Urgent Care",
}
_SPECIALIST: Final = "SPECIALIST"
_IN: Final = "IN_NETWORK"
_OUT: Final = "OUT_OF_NETWORK"
OUT_OF_NETWORK_FACTOR: Final = 2


def active(inquiry: Inquiry, key: str, today: date, plan: PlanData) -> Json:
    """Covered since the beginning of the year, with benefits."""
    dates = {"plan": {"start": f"{today.year}-01-01"}}
    return _covered(inquiry, key, today, plan, dates, {"statuses": _statuses("ACTIVE_COVERAGE"), **_costs(plan)})


def terminated(inquiry: Inquiry, key: str, today: date, plan: PlanData) -> Json:
    """Covered until the end of last year."""
    dates = {"plan": {"start": f"{today.year - 2}-01-01", "end": f"{today.year - 1}-12-31"}}
    return _covered(inquiry, key, today, plan, dates, {"statuses": _statuses("INACTIVE")})


def not_found(inquiry: Inquiry, key: str, today: date) -> Json:
    """AAA 75: the payer does not know the subscriber."""
    error = {
        "code": "75",
        "description": "Subscriber/Insured Not Found",
        "followupAction": "Please Correct and Resubmit",
        "location": "SUBSCRIBER",
        "possibleResolutions": "The payer has no such member. Check the member ID, the name and the date of birth.",
    }
    return _rejected(inquiry, key, today, error, "AAA*N**75*C")


def unavailable(inquiry: Inquiry, key: str, today: date) -> Json:
    """AAA 42: the payer cannot answer at this time."""
    error = {
        "code": "42",
        "description": "Unable to Respond at Current Time",
        "followupAction": "Resubmission Allowed",
        "location": "PAYER",
        "possibleResolutions": "The payer's system is temporarily unavailable. Send the check again later.",
    }
    return _rejected(inquiry, key, today, error, "AAA*N**42*R")


# ----------------------------------------------------------------------------------------------------------------------- parts


def _covered(inquiry: Inquiry, key: str, today: date, plan: PlanData, dates: Json, benefits: Json) -> Json:
    answer = _frame(inquiry, key, today, _eb_segments(benefits))
    answer["subscriber"] |= {
        "dates": dates,
        "additionalInformation": {"group": {"number": plan.group}, "plan": {"number": plan.group, "name": plan.name}},
    }
    answer["plans"] = [{"name": plan.name, "benefits": benefits}]
    return answer


def _rejected(inquiry: Inquiry, key: str, today: date, error: Json, segment: str) -> Json:
    return _frame(inquiry, key, today, [segment]) | {"errors": [error]}


def _frame(inquiry: Inquiry, key: str, today: date, segments: Sequence[str]) -> Json:
    """What every answer has. Its ids follow from the inquiry's key: the same inquiry, the same answer."""
    trace = hashlib.blake2b(key.encode(), digest_size=16).hexdigest().upper()
    payer = PAYERS.get(inquiry.payer_id) or inquiry.payer_name or inquiry.payer_id
    person = {"firstName": inquiry.first_name.upper(), "lastName": inquiry.last_name.upper()}
    subscriber = {
        "memberId": inquiry.member_id,
        "dateOfBirth": inquiry.date_of_birth,
        "name": {"person": {name: value for name, value in person.items() if value}},
    }
    return {
        "id": f"ec_{uuid.UUID(hex=trace)}",
        "meta": {"traceId": trace[:26], "outboundTraceId": trace[:26]},
        "payerId": inquiry.payer_id,
        "payer": {"type": "PAYER", "name": {"organization": payer}, "identification": inquiry.payer_id},
        "provider": {"type": "PROVIDER", "name": inquiry.provider["name"], "npi": inquiry.provider.get("npi", "1999999984")},
        "subscriber": {name: value for name, value in subscriber.items() if value},
        "x12": transaction(inquiry, payer, trace, today, segments),
    }


def _statuses(status: str) -> list[Json]:
    return [_entry(code, None) | {"status": status} for code in _SERVICES]


def _costs(plan: PlanData) -> Json:
    """Deductible and limit in and out of network, and what a visit costs."""
    return {
        "deductible": [*_limit(plan.deductible, plan.deductible_left)],
        "outOfPocket": [*_limit(plan.out_of_pocket, plan.out_of_pocket_left)],
        "coPayment": [
            _entry("98", _IN) | {"amount": plan.office_visit, "messages": ["PRIMARY CARE"]},
            _entry("98", _IN) | {"amount": plan.specialist_visit, "messages": [_SPECIALIST]},
            _entry("UC", None) | {"amount": plan.urgent_care, "timePeriod": "VISIT"},
        ],
        "coInsurance": [
            _entry("30", _IN) | {"percent": plan.co_insurance},
            _entry("30", _OUT) | {"percent": "0.5"},
        ],
    }


def _limit(whole: str, left: str) -> list[Json]:
    doubled = f"{float(whole) * OUT_OF_NETWORK_FACTOR:.2f}"
    return [
        _entry("30", _IN) | {"amount": whole, "timePeriod": "CALENDAR_YEAR"},
        _entry("30", _IN) | {"amount": left, "timePeriod": "REMAINING"},
        _entry("30", _OUT) | {"amount": doubled, "timePeriod": "CALENDAR_YEAR"},
        _entry("30", _OUT) | {"amount": doubled, "timePeriod": "REMAINING"},
    ]


def _entry(code: str, network: str | None) -> Json:
    return {
        "coverageLevel": "INDIVIDUAL",
        "network": {"indicator": network or "IN_AND_OUT_OF_NETWORK"},
        "service": {"value": code, "definition": _SERVICES[code], "system": "STC"},
    }


_EB_CODES: Final = {"coPayment": "B", "coInsurance": "A", "deductible": "C", "outOfPocket": "G"}
_EB_STATUSES: Final = {"ACTIVE_COVERAGE": "1", "INACTIVE": "6"}
_EB_PERIODS: Final = {"CALENDAR_YEAR": "23", "REMAINING": "29", "VISIT": "27"}
_EB_NETWORKS: Final = {_IN: "Y", _OUT: "N", "IN_AND_OUT_OF_NETWORK": "W"}


def _eb_segments(benefits: Json) -> list[str]:
    """The same benefits as X12 EB segments."""
    return [_eb(kind, entry) for kind, entries in benefits.items() for entry in entries]


def _eb(kind: str, entry: Json) -> str:
    code = _EB_CODES.get(kind) or _EB_STATUSES[entry["status"]]
    period = _EB_PERIODS.get(entry.get("timePeriod", ""), "")
    elements = ["EB", code, "IND", entry["service"]["value"], "", "", period, entry.get("amount", ""), entry.get("percent", "")]
    return "*".join([*elements, "", "", "", _EB_NETWORKS[entry["network"]["indicator"]]])
