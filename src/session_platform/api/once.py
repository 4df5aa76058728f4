"""A creating POST takes effect once for each Idempotency-Key: the answer is kept in the transaction of the effect.

The failure story: a client that lost the answer repeats the request and gets that answer, byte for byte, whether the platform
died in between or not. An effect without its kept answer cannot exist, and a refused request leaves nothing: its key is free.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.responses import Response

from session_platform.api.call import Call
from session_platform.errors import FieldProblem, Invalid, StillRunning
from session_platform.store import Tx, idempotency

KEY: Final = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Effect:
    """What a POST does. ``permit`` raises unless the caller may do it, and is asked before a kept answer is repeated, too:
    rights may have ended meanwhile. ``command`` does it and returns the answer."""

    permit: Callable[[Tx], None]
    command: Callable[[Tx], bytes]

    def __call__(self, tx: Tx) -> bytes:
        self.permit(tx)
        return self.command(tx)


class Running:
    """The keys whose first request has not answered yet, in this process. Another process's is met at the head lock instead."""

    def __init__(self) -> None:
        # Bounded by the requests in flight.
        self._keys: set[tuple[str, str]] = set()

    async def once(self, call: Call, digest: bytes, status: int, effect: Effect, *timelines: str) -> Response:
        """Let ``effect`` happen and answer with ``status``, or with what the first such request was answered.

        Raises `Invalid` for a key that is none, `StillRunning`, `IdempotencyMismatch`, and whatever ``effect`` raises.
        """
        key = _key(call)
        if key is None:
            return _respond(idempotency.Kept(status, await call.run(effect, *timelines)))
        scope = f"{call.identity.subject}\n{call.method} {call.path}"
        if (scope, key) in self._keys:
            raise StillRunning
        self._keys.add((scope, key))
        try:
            return _respond(await call.run(_kept(scope, key, digest, status, effect), *timelines))
        finally:
            self._keys.discard((scope, key))


def _kept(scope: str, key: str, digest: bytes, status: int, effect: Effect) -> Callable[[Tx], idempotency.Kept]:
    def run(tx: Tx) -> idempotency.Kept:
        effect.permit(tx)
        before = idempotency.recall(tx, scope, key, digest)
        if before is not None:
            return before
        answer = effect.command(tx)
        idempotency.keep(tx, scope, key, digest, status, answer)
        return idempotency.Kept(status, answer)

    return run


def _key(call: Call) -> str | None:
    if not call.keys:
        return None
    if len(call.keys) > 1 or not KEY.fullmatch(call.keys[0]):
        raise Invalid(FieldProblem("/header/Idempotency-Key", "must be 1 to 255 printable ASCII characters without spaces"))
    return call.keys[0]


def _respond(kept: idempotency.Kept) -> Response:
    return Response(kept.answer, kept.status, media_type="application/json")
