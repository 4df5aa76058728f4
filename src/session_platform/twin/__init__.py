"""The digital twin: what a member's events add up to, beyond what each room keeps of its own.

It decides what of the log makes up a member's engagement (activity by channel, sessions of the last 30 days, open and overdue
work) and care plan, and just behind which event that stands. It refuses to know who may read it, how events reach it and what
any other room keeps: it hears the timeline, like everybody else, as one consumer group.
"""

from session_platform.twin.model import CarePlan, Engagement, Visit
from session_platform.twin.stored import GROUP, Known, handle, read

__all__ = ["GROUP", "CarePlan", "Engagement", "Known", "Visit", "handle", "read"]
