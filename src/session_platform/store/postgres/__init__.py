"""The store on PostgreSQL: one database, any number of processes, a few connections each.

It decides in which order timelines are locked, what became of a transaction whose COMMIT was never answered, which failures are
worth another run, and up to where the log is complete while others still write. It refuses to guess: a command is answered when
its transaction is known to be durable, or known to be gone. Rooms know none of it: they speak plain SQL through the port.
"""

from session_platform.store.postgres.snapshot import snapshot
from session_platform.store.postgres.store import PostgresStore

__all__ = ["PostgresStore", "snapshot"]
