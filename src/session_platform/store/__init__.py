"""The store: a command's new state, its events and their numbers are one transaction; nothing leaves before it is durable.

This room decides how commands become transactions, how a timeline's numbers and epoch are minted, what a repeated request is
answered, how far a consumer has come, what it had to set aside, and what retention may take. It refuses to know what a command
means, who reads the events and how they travel. `port` is the small interface; ``sqlite`` stands behind it, and only the wiring
may name it. The functions of `outbox`, `idempotency`, `inbox`, `parked`, `retention` and `secrets` are plain SQL over a
`Reader` or `Tx`, the same for every database.
"""

from session_platform.store import idempotency, inbox, outbox, parked, retention, secrets
from session_platform.store.port import GENESIS, UNMARKED, Head, Marks, Position, Reader, Row, Store, StoredEvent, Tx, Value

__all__ = [
    "GENESIS",
    "UNMARKED",
    "Head",
    "Marks",
    "Position",
    "Reader",
    "Row",
    "Store",
    "StoredEvent",
    "Tx",
    "Value",
    "idempotency",
    "inbox",
    "outbox",
    "parked",
    "retention",
    "secrets",
]
