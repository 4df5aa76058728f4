"""A transactional outbox for a backend that uses SQLAlchemy 2: an event is said exactly when its transaction committed.

`Outbox.add` writes an event as a row of the backend's own database, inside the backend's own transaction; `Relay` sends the
rows, those of one member in the order in which they were written. It decides when a row may be sent and when it is done. It
refuses to know what the backend's transactions are about.

Why no event is lost, doubled or overtaken, wherever a relay dies and however many run side by side: every relay starts at rows
that are not marked, takes a member's rows from the first unmarked one without a hole, and marks them only after the platform
has them on its disk. What is sent twice the platform recognises by its source and id. The lease only saves the second relay's
work.
"""

from digital_session_producer.outbox._round import Limits
from digital_session_producer.outbox.relay import Relay
from digital_session_producer.outbox.table import Outbox, RefusedRow

__all__ = ["Limits", "Outbox", "RefusedRow", "Relay"]
