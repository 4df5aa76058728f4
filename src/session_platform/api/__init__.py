"""The REST API: HTTP in, a room's command or read, JSON out; and every refusal as an RFC 9457 problem.

It decides what a call looks like on the wire, which roles may use it, that its body is strictly JSON, that a repeated request
takes effect once, and that a read of health data is on record before its answer leaves. It refuses to know how any of the rooms
does its work: a call asks `access` for the right and hands the rest to one command. `build` makes the ASGI application over a
`Platform`, which the wiring fills.
"""

from session_platform.api.app import build, published_contracts
from session_platform.api.platform import Platform

__all__ = ["Platform", "build", "published_contracts"]
