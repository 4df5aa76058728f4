"""An insured person for tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    account_id: str = "A789012"
    payer_id: str = "BCBS1"
    payer_name: str = "Blue Cross Blue Shield"
    member_id_at_payer: str = "W789012"
    first_name: str = "Demo"
    last_name: str = "Member789012"
    date_of_birth: str = "1985-04-12"
