"""The gateway's real protocol core, windows and feeds behind the interface of the fake one: a `Rig` plays against it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from digital_session._effects import CaughtUp, Deliver, Effect, Ended, Send, Started
from digital_session._loss import Loss
from digital_session.events import Reset
from session_platform.gateway.commands import Shared
from session_platform.gateway.effects import Locate, Located, Outcome
from session_platform.gateway.protocol import Connection
from session_platform.store import StoredEvent
from session_platform.timeline import Router, Windows
from tests.gateway import bench
from tests.gateway.bench import CODEC, MEMBER, REQUEST, SESSION, Bench
from tests.sdk.fake_gateway import SUFFIX, Frame, Rig

TOKEN = bench.token()


class RealGateway:
    """One member's history, and the connections of one client, one after the other."""

    def __init__(self, *, events_in_window: int = 5) -> None:
        self.windows = Windows(CODEC, per_timeline_events=events_in_window)
        self.router = Router(self.windows)
        self.history: list[StoredEvent] = []
        self.lines: list[RealLine] = []
        # What was acknowledged, as numbers, in order.
        self.acknowledged: list[int] = []
        self.now = 0.0
        # False: what a connection asks of the world is answered by `RealLine.answer_one` and `RealLine.fetch_one` only.
        self.answering = True
        # Up to this number the store has forgotten everything.
        self.pruned_through = 0

    def publish(self, name: str, session: str = SESSION, request: str = REQUEST) -> None:
        seq = len(self.history) + 1
        body = {
            "specversion": "1.0",
            "type": f"com.includedhealth.sessions.{SUFFIX.get(name, name)}",
            "id": f"evt_{seq}",
            "timelineseq": f"{seq:020}",
            "timelineepoch": 1,
            "data": {"member_id": MEMBER, "session_id": session, "service_request_id": request},
        }
        stored = StoredEvent(seq, MEMBER, 1, seq, seq * 7, name, session, request, json.dumps(body).encode())
        self.history.append(stored)
        self.router.publish([stored])
        self.turn()

    def turn(self) -> None:
        """Every connection does what it can."""
        for line in self.lines:
            line.turn()

    def cursor(self, seq: int) -> str:
        return CODEC.encode(MEMBER, self.history[seq - 1].position)

    def connect(self) -> RealLine:
        line = RealLine(self)
        self.lines.append(line)
        return line


class RealLine(Bench):
    """One connection: frames in by `receive`, frames out in ``out``."""

    def __init__(self, gateway: RealGateway) -> None:
        super().__init__()
        self.gateway = gateway
        self.windows, self.router, self.history = gateway.windows, gateway.router, gateway.history
        self.now = 1000.0 + gateway.now
        self.connection = Connection(Shared(self.limits, self.windows, CODEC), self.now)
        self.out: deque[Frame] = deque()
        self._shown = 0

    def receive(self, frame: Frame) -> None:
        self.connection.receive(json.dumps(frame), self.now)
        self.turn()

    def turn(self) -> None:
        """Do what can be done without the client."""
        self.now = 1000.0 + self.gateway.now
        self.answering = self.gateway.answering
        if self.closed is None:
            self.connection.ponged(self.now)
            self.connection.tick(self.now)
            self.settle()
        self.out.extend(self.frames[self._shown :])
        self._shown = len(self.frames)
        self.gateway.acknowledged += [done.position.seq for done in self.acknowledged]
        self.acknowledged.clear()

    def world_answers(self, limit: int) -> None:
        """One of the things that were asked is answered."""
        if self.asked:
            self.answer_one()
        elif self.fetches:
            self.fetch_one(limit)
        self.turn()

    def fetch_one(self, limit: int = 3) -> None:
        fetch = self.fetches[0]
        if fetch.after >= self.gateway.pruned_through:
            super().fetch_one(limit)
            return
        del self.fetches[0]
        head = len(self.history)
        self.connection.prefix_lost(fetch, head, self.gateway.cursor(head))

    def _located(self, asked: Locate) -> Outcome:
        found = super()._located(asked)
        if not isinstance(found, Located) or found.after >= self.gateway.pruned_through:
            return found
        after = self.gateway.pruned_through if asked.since_beginning else len(self.history)
        recovered = None if asked.since_beginning else False
        return replace(found, after=after, cursor=self.gateway.cursor(after), recovered=recovered)

    def block(self, blocked: bool) -> None:
        """The client stops, or starts, taking in what is written."""
        if blocked:
            self.connection.blocked(self.now)
        else:
            self.connection.unblocked(self.now)
        self.turn()

    def lost(self) -> None:
        for timeline in self.connection.timelines:
            self.router.unlisten(timeline, self)
        self.connection.gone()


class RealRig(Rig):
    """A client's core against the gateway's; ``awaiting`` are the subscriptions whose replay is not over."""

    gateway: Any

    def __init__(self, gateway: RealGateway | None = None) -> None:
        super().__init__(gateway or RealGateway())  # type: ignore[arg-type]
        self.core = type(self.core)(self.core._reconnect, {"device_id": "phone"}, renewable=False)
        self.awaiting: dict[int, bool] = {}
        self.caught_up: dict[int, int] = {}
        # By subscription: up to which number something may be missing, because the platform said so.
        self.excused: dict[int, int] = {}
        # Where its first replay began.
        self.began: dict[int, int] = {}

    def subscribe_to(self, scope: Frame, **track: Any) -> int:
        from digital_session._track import Track

        local, effects = self.core.subscribe(Track(scope, **track))
        self.items[local], self.handled[local], self.resets[local] = deque(), [], []
        self.carry_out(effects)
        return local

    def open(self, token: str = TOKEN) -> None:
        super().open(token)

    def cut(self, loss: Loss | None = None, jitter: float = 0.5) -> list[Effect]:
        if self.line is not None:
            self.line.lost()  # type: ignore[attr-defined]
        return super().cut(loss, jitter)

    def down(self) -> bool:
        """One frame arrives, or the close that follows the last one."""
        if super().down():
            return True
        if self.line is not None and self.line.closed is not None:  # type: ignore[attr-defined]
            self.cut(Loss(code=self.line.closed))  # type: ignore[attr-defined]
            return True
        return False

    def advance(self, seconds: float) -> list[Effect]:
        effects = super().advance(seconds)
        self.gateway.now = self.now
        self.gateway.turn()
        return effects

    def say(self, frame: Frame) -> list[Effect]:
        effects = super().say(frame)
        if frame["type"] == "subscribed":
            for effect in effects:
                if isinstance(effect, Started):
                    self.began.setdefault(effect.local, CODEC.decode(frame["cursor"], MEMBER).seq)
        if frame["type"] == "reset" or frame.get("recovered") is False:
            through = CODEC.decode(frame["cursor"], MEMBER).seq
            for effect in effects:
                if isinstance(effect, Deliver) and isinstance(effect.item, Reset):
                    self.excused[effect.local] = through
        return effects

    def carry_out(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            self._check(effect)
        done = super().carry_out(effects)
        for effect in effects:
            if isinstance(effect, Send) and effect.frame["type"] == "ack":
                self._check_acknowledgement(dict(effect.frame))
        return done

    def _check_acknowledgement(self, frame: Frame) -> None:
        """What waits for a handler is not acknowledged. Judged when the client says it: what reaches it later, by the replay of
        a new subscription, was handled before and may be on its way when this arrives."""
        for cursor in frame["cursors"]:
            acknowledged = CODEC.decode(cursor, MEMBER).seq
            assert all(seq > acknowledged for local in self.items for seq in self.unhandled(local))

    def _check(self, effect: Effect) -> None:
        match effect:
            case Started(local):
                self.awaiting[local] = True
            case Deliver(local, CaughtUp()):
                assert self.awaiting[local], "caught_up came twice"
                self.awaiting[local] = False
                self.caught_up[local] = self.caught_up.get(local, 0) + 1
            case Ended(_, error):
                assert error is None, "a subscription ended"
            case _:
                pass

    def unhandled(self, local: int) -> Iterable[int]:
        return [item.key.seq for item in self.items[local] if hasattr(item, "key") and item.key is not None]
