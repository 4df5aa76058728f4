"""The X12 271 that an answer quotes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from session_platform.simulators.clearinghouse.asked import Inquiry


def transaction(inquiry: Inquiry, payer: str, trace: str, today: date, segments: Sequence[str]) -> str:
    """One interchange with one 271 about the subscriber, with ``segments`` (EB or AAA) at its place."""
    day, control = f"{today:%Y%m%d}", f"{int(trace[:8], 16) % 10**9:09d}"
    npi = inquiry.provider.get("npi", "1999999984")
    body = [
        "ST*271*0001*005010X279A1",
        f"BHT*0022*11*{trace[:26]}*{day}*1200",
        "HL*1**20*1",
        f"NM1*PR*2*{_safe(payer).upper()}*****PI*{_safe(inquiry.payer_id)}",
        "HL*2*1*21*1",
        f"NM1*1P*2*PROVIDER*****XX*{npi}",
        "HL*3*2*22*0",
        f"NM1*IL*1*{_safe(inquiry.last_name).upper()}*{_safe(inquiry.first_name).upper()}****MI*{_safe(inquiry.member_id)}",
        *([f"DMG*D8*{inquiry.date_of_birth.replace('-', '')}"] if inquiry.date_of_birth else []),
        *segments,
    ]
    return "~".join([
        f"ISA*00*{'':10}*00*{'':10}*ZZ*{'STEDI':15}*ZZ*{'SIMULATOR':15}*{day[2:]}*1200*^*00501*{control}*0*T*:",
        f"GS*HB*STEDI*SIMULATOR*{day}*1200*1*X*005010X279A1",
        *body,
        f"SE*{len(body) + 1}*0001",
        "GE*1*1",
        f"IEA*1*{control}",
        "",
    ])  # fmt: skip


def _safe(text: str) -> str:
    """Without X12's own separators."""
    return "".join(" " if character in "*~:^" else character for character in text)
