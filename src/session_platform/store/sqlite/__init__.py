"""The store on SQLite: one file, one writer thread, a few readers, nothing to install.

One thread takes the waiting commands in a batch, gives each a savepoint, and commits them together; results leave after that
commit. It decides what a failing disk means for each command of a batch, and it refuses to guess: what it cannot prove to be
durable is not acknowledged. The data directory belongs to one process at a time. Never open the database with another SQLite
library in the same process: closing that one's connection drops the locks of this one.
"""

from session_platform.store.sqlite.snapshot import snapshot
from session_platform.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "snapshot"]
