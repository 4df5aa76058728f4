"""The gateway: WebSocket connections and the protocol spoken on them.

It decides who may stay connected, what each frame means in each state, which subscriptions a connection has, in which order it
is given events and at what pace, and how it ends. It refuses to know what an event says, which business rooms there are and how
the store works: it pulls bytes from the timelines, and the wiring hands it functions that know who owns a session or request.
`frames`, `effects`, `limits`, `delivery`, `commands`, `protocol` and `websocket` are pure; `desk` reads and writes the store;
`transport` and `hub` are the shell.
"""

from session_platform.gateway.desk import Desk, Owner
from session_platform.gateway.hub import Counts, Hub
from session_platform.gateway.limits import Limits
from session_platform.gateway.websocket import SUBPROTOCOL, Gate, PlaintextRefused

__all__ = ["SUBPROTOCOL", "Counts", "Desk", "Gate", "Hub", "Limits", "Owner", "PlaintextRefused"]
