"""Timelines as they are read: cursors, filters, the hot window, replay, and one connection's feed.

This room decides where in a timeline a reader stands, what it may be given next and in which order, and when to say that
continuity was lost. It refuses to know what an event means, who may read it, what a frame looks like and how it is sent: bodies
pass through as bytes. `Feed`, `Windows`, `CursorCodec` and `Filter` are pure; `History` and `Acknowledgements` read and write
the store; the `Router` joins the log to those who listen. A subscriber's way: `Router.listen`, `History.start`,
`Feed.subscribe`, then `Feed.pull` whenever it is woken and can write.
"""

from session_platform.timeline.acknowledgements import Acknowledgements
from session_platform.timeline.cursor import CursorCodec
from session_platform.timeline.feed import CaughtUp, Deliver, Feed, Fetch, Passing, Reset, Step
from session_platform.timeline.history import ContinuityLost, History, Start
from session_platform.timeline.router import Listener, Router
from session_platform.timeline.subscription import Filter
from session_platform.timeline.window import Entry, Windows, entry_of

__all__ = [
    "Acknowledgements",
    "CaughtUp",
    "ContinuityLost",
    "CursorCodec",
    "Deliver",
    "Entry",
    "Feed",
    "Fetch",
    "Filter",
    "History",
    "Listener",
    "Passing",
    "Reset",
    "Router",
    "Start",
    "Step",
    "Windows",
    "entry_of",
]
