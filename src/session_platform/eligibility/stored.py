"""Coverage as it is kept: every answer a row whose details never change, the newest of an account the current one. Any other
stays for as long as an event that refers to it may be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from session_platform.clock import to_micros
from session_platform.contract import CoverageDetails
from session_platform.store.port import Reader, Tx

INSERT: Final = """
INSERT INTO coverage (coverage_id, account_id, details, at, superseded_at)
VALUES (:coverage_id, :account_id, :details, :at, :superseded_at)
"""
SUPERSEDE: Final = "UPDATE coverage SET superseded_at = :at WHERE account_id = :account_id AND superseded_at IS NULL"
NEWEST: Final = """
SELECT details FROM coverage WHERE account_id = :account_id AND superseded_at IS NULL ORDER BY coverage_id DESC LIMIT 1
"""
FORGET: Final = """
DELETE FROM coverage WHERE coverage_id IN (
    SELECT coverage_id FROM coverage WHERE superseded_at < :before ORDER BY superseded_at LIMIT :limit
)
"""
BY_ID: Final = "SELECT account_id, details FROM coverage WHERE coverage_id = :coverage_id"

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(CoverageDetails)


def add(tx: Tx, details: CoverageDetails, *, current: bool = True) -> str:
    """Store an answer's coverage, which is the account's from now on: its new ``cov_`` id. Not ``current``: it is only to be
    read by that id."""
    coverage_id, at = tx.mint("cov"), to_micros(tx.now)
    if current:
        tx.execute(SUPERSEDE, account_id=details.account_id, at=at)
    tx.execute(
        INSERT,
        coverage_id=coverage_id,
        account_id=details.account_id,
        details=_encoder.encode(details),
        at=at,
        superseded_at=None if current else at,
    )
    return coverage_id


def coverage_of(reader: Reader, account_ids: Sequence[str]) -> list[CoverageDetails]:
    """The current coverage of each account that has one, in the order of ``account_ids``."""
    rows = (reader.one(NEWEST, account_id=account_id) for account_id in account_ids)
    return [_decoder.decode(row[0]) for row in rows if row is not None]


def forget(tx: Tx, before: datetime, limit: int) -> int:
    """Delete at most ``limit`` answers that are no account's any more since before that time, the oldest first: how many."""
    return tx.execute(FORGET, before=to_micros(before), limit=limit)


def coverage_at(reader: Reader, coverage_id: str) -> tuple[str, CoverageDetails] | None:
    """(account id, coverage) as it was answered; None for an id there is not."""
    row = reader.one(BY_ID, coverage_id=coverage_id)
    return None if row is None else (row[0], _decoder.decode(row[1]))
