"""What became of a transaction whose COMMIT was not answered: the server is asked, never guessed."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import psycopg

from session_platform.store.port import Value
from session_platform.store.postgres.failures import Away
from session_platform.store.postgres.link import Link

ASK_AGAIN_S: Final = 0.05
ASK_AGAIN_MAX_S: Final = 1.0
CLOSING_MAX_S: Final = 10.0
"""So long a store that closes waits for a server that is away, to tell its last callers the truth."""

# Its connection is cut, and the server may not know: a transaction that still waits for its COMMIT is ended here. One that is
# committing finishes that first.
_END: Final = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %(pid)s AND backend_xid = %(id)s::text::xid8::xid
"""
_BECAME: Final = "SELECT pg_xact_status(%(id)s::text::xid8)"


class Transaction(NamedTuple):
    """Its ``id``, and the server's process that it ran in."""

    id: int
    pid: int


def took_effect(transaction: Transaction, link: Link, closing: threading.Event) -> bool | None:
    """Whether it was committed. Waits for a server that is away until it is back; None: the store closes, and it is not."""
    params: Mapping[str, Value] = {"id": str(transaction.id), "pid": transaction.pid}
    pause_s = ASK_AGAIN_S
    closing_since: float | None = None
    while True:
        try:
            status = _ask(link, params)
        except (Away, psycopg.Error):
            link.drop()
            status = "unknown"
        if status not in {"unknown", "in progress"}:
            return status == "committed"
        if closing.is_set():
            closing_since = closing_since or time.monotonic()
            if time.monotonic() - closing_since > CLOSING_MAX_S:
                return None
            time.sleep(pause_s)
        else:
            closing.wait(pause_s)
        pause_s = min(pause_s * 2, ASK_AGAIN_MAX_S)


def _ask(link: Link, params: Mapping[str, Value]) -> str | None:
    """Raises `Away` and `psycopg.Error`. None: the server remembers no such transaction, so it is long gone without COMMIT."""
    link.execute(_END, params)
    link.execute(_BECAME, params)
    row = link.fetchone()
    return None if row is None or row[0] is None else str(row[0])
