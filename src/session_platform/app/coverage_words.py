"""A coverage in words, for a screen and for a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
