"""Coverage as it is kept: every answer a row that is never changed, the newest of an account the current one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from session_platform.clock import to_micros
from session_platform.contract import CoverageDetails
from session_platform.store.port import Reader, Tx

INSERT: Final = "INSERT INTO coverage (coverage_id, account_id, details, at) VALUES (:coverage_id, :account_id, :details, :at)"
NEWEST: Final = "SELECT details FROM coverage WHERE account_id = :account_id ORDER BY coverage_id DESC LIMIT 1"
BY_ID: Final = "SELECT account_id, details FROM coverage WHERE coverage_id = :coverage_id"

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(CoverageDetails)


def add(tx: Tx, details: CoverageDetails) -> str:
    """Store an answer's coverage: its new ``cov_`` id."""
    coverage_id = tx.mint("cov")
    tx.execute(
        INSERT,
        coverage_id=coverage_id,
        account_id=details.account_id,
        details=_encoder.encode(details),
        at=to_micros(tx.now),
    )
    return coverage_id


def coverage_of(reader: Reader, account_ids: Sequence[str]) -> list[CoverageDetails]:
    """The current coverage of each account that has one, in the order of ``account_ids``."""
    rows = (reader.one(NEWEST, account_id=account_id) for account_id in account_ids)
    return [_decoder.decode(row[0]) for row in rows if row is not None]


def coverage_at(reader: Reader, coverage_id: str) -> tuple[str, CoverageDetails] | None:
    """(account id, coverage) as it was answered; None for an id there is not."""
    row = reader.one(BY_ID, coverage_id=coverage_id)
    return None if row is None else (row[0], _decoder.decode(row[1]))
