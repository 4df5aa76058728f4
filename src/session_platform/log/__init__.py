"""The log: how committed events reach the rest of the system, in order and without loss.

This room decides who is told of a commit, when, how to go on after an interruption, and what becomes of an event that somebody
cannot handle. It refuses to know what events mean and what readers do with them. In one process the outbox table itself is the
log: `Follower` tails it for those who only want to know, a `Group` works it off from a position that survives the process, for
those who keep what an event adds up to.
"""

from session_platform.log.follow import Follower
from session_platform.log.groups import Group, Groups, Handler, Redriven
from session_platform.log.pace import Pace

__all__ = ["Follower", "Group", "Groups", "Handler", "Pace", "Redriven"]
