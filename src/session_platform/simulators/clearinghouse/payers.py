"""The demo members' payers: what each answers about whom, and how long it takes. Pure: the same seed, key and day, the same
answer.

A subscriber is known by the member id at the payer: ``W`` and digits. Whoever is not listed has an ordinary active plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from random import Random
from types import MappingProxyType
from typing import Final

MEDIAN_S: Final = 4.0
SHORTEST_S: Final = 2.0
LONGEST_S: Final = 12.0
LATE_S: Final = 25.0
SPREAD: Final = 0.45
"""Standard deviation of the latency's logarithm: one answer in eight takes more than 6.7 s."""
UNAVAILABLE_TIMES: Final = 2


class Behaviour(Enum):
    """What the payer does when it is asked about a subscriber."""

    ACTIVE = "active"
    ACTIVE_LATE = "active, after 25 s"
    TERMINATED = "terminated"
    NOT_FOUND = "not found"
    UNAVAILABLE_AT_FIRST = "unavailable twice, then active"
    SILENT = "never answers"


@dataclass(frozen=True, slots=True)
class PlanData:
    """A plan; amounts are US dollars as decimal text, ``co_insurance`` a share of one."""

    name: str
    group: str
    deductible: str
    deductible_left: str
    out_of_pocket: str
    out_of_pocket_left: str
    office_visit: str
    specialist_visit: str
    urgent_care: str
    co_insurance: str


PPO: Final = PlanData("Blue Choice PPO 1500", "GRP-40017", "1500", "1120.5", "5000", "4380.5", "25", "50", "75", "0.2")
HMO: Final = PlanData("Open Access HMO 500", "GRP-71220", "500", "500", "3500", "3500", "15", "40", "60", "0.1")
BASIC: Final = PlanData("Essential 3000", "GRP-10000", "3000", "3000", "8000", "8000", "35", "70", "90", "0.3")

_PLANS: Final = MappingProxyType({"W789012": PPO, "W789013": HMO})
_BEHAVIOURS: Final = MappingProxyType(
    {
        "W200001": Behaviour.TERMINATED,
        "W200002": Behaviour.NOT_FOUND,
        "W200003": Behaviour.UNAVAILABLE_AT_FIRST,
        "W200004": Behaviour.SILENT,
        "W200005": Behaviour.ACTIVE_LATE,
    }
)
PAYERS: Final = MappingProxyType(
    {
        "BCBS1": "Blue Cross Blue Shield",
        "AETN2": "Aetna",
        "CIGN3": "Cigna",
        "UHCX4": "UnitedHealthcare",
        "HUMN5": "Humana",
    }
)


def behaviour_for(member_id: str) -> Behaviour:
    """How the payer treats this subscriber."""
    digits = member_id[1:]
    if member_id[:1] != "W" or not (digits.isascii() and digits.isdecimal()):
        return Behaviour.NOT_FOUND
    return _BEHAVIOURS.get(member_id, Behaviour.ACTIVE)


def plan_for(member_id: str) -> PlanData:
    """The subscriber's plan."""
    return _PLANS.get(member_id, BASIC)


def latency_s(behaviour: Behaviour, seed: int, key: str) -> float:
    """How long the answer to the inquiry ``key`` takes at speed 1: lognormal, median 4 s, clipped to 2 to 12 s. ``key`` rather
    than a shared sequence decides, so that it does not matter in which order inquiries come."""
    if behaviour is Behaviour.ACTIVE_LATE:
        return LATE_S
    drawn = MEDIAN_S * Random(f"{seed}/{key}").lognormvariate(0.0, SPREAD)  # noqa: S311 - a latency, no secret
    return min(max(drawn, SHORTEST_S), LONGEST_S)
