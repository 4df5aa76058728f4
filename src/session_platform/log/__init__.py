"""The log: how committed events reach the rest of the system, in order and without loss.

This room decides who is told of a commit, when, and how to go on after an interruption. It refuses to know what events mean and
what readers do with them. In one process the outbox table itself is the log, and `Follower` tails it.
"""

from session_platform.log.follow import Follower

__all__ = ["Follower"]
