"""Ingest: what backends publish, and by which rules it is taken onto a member's timeline.

The room decides how a CloudEvents message is read in each of its bindings, what an event must say, whose source it comes under,
that each is taken once and a batch whole or not at all, and that it names only what there is. It refuses to know what an event
does (each room applies its own, by functions that the wiring hands over), who may publish (the caller's matter), and, `binding`
apart, that there is HTTP.
"""

from session_platform.ingest import binding
from session_platform.ingest.binding import RawEvent
from session_platform.ingest.ingest import Applier, Emit, Event, Ingest, Known, Outcome, Taken
from session_platform.ingest.sources import REMEMBERED_FOR, forget

__all__ = [
    "REMEMBERED_FOR",
    "Applier",
    "Emit",
    "Event",
    "Ingest",
    "Known",
    "Outcome",
    "RawEvent",
    "Taken",
    "binding",
    "forget",
]
