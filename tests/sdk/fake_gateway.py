"""The server's side of the protocol in memory, and a rig that plays a client's core against it frame by frame."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from digital_session._backoff import Policy
from digital_session._effects import Abort, CaughtUp, Deliver, Dial, Effect, Ended, Send, StateChanged
from digital_session._loss import Loss
from digital_session._protocol import Protocol
from digital_session._track import Track
from digital_session.errors import DigitalSessionError
from digital_session.events import Envelope, Reset, matches

SUFFIX = {
    "session.created": "lifecycle.created",
    "session.active": "lifecycle.active",
    "session.ended": "lifecycle.ended",
    "service_request.submitted": "service-request.submitted",
    "service_request.processing": "service-request.processing",
    "service_request.completed": "service-request.completed",
    "task.assigned": "task.assigned",
    "task.in_progress": "task.in-progress",
    "task.completed": "task.completed",
    "rte.completed": "rte.completed",
    "coverage.updated": "coverage.updated",
}
WALL = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)
EXPIRES = "2026-01-15T11:00:00Z"
Frame = dict[str, Any]


def cloud_event(name: str, seq: int | None, data: Frame, epoch: int = 1) -> Frame:
    """An event as the gateway sends it; without ``seq`` an ephemeral one."""
    numbered = {} if seq is None else {"timelineseq": f"{seq:020d}", "timelineepoch": epoch, "partitionkey": "M1"}
    return {
        "specversion": "1.0",
        "type": f"com.includedhealth.sessions.{SUFFIX.get(name, name)}",
        "source": "/test",
        "id": f"evt_{epoch}_{seq}",
        "time": "2026-01-15T10:00:00Z",
        "datacontenttype": "application/json",
        **numbered,
        "data": data,
    }


class Gateway:
    """One member's timeline and the connections that listen to it."""

    def __init__(self) -> None:
        self.epoch = 1
        self.pruned = 0
        self.events: list[tuple[str, Frame]] = []
        self.lines: list[Line] = []
        self.acknowledged: list[str] = []
        self.refuse_cursors = False
        self.forbidden = False
        self.ends_after_replay = False
        self.hold_subscribes = False

    @property
    def head(self) -> int:
        return len(self.events)

    def cursor(self, seq: int) -> str:
        return f"c{self.epoch}.{seq}"

    def publish(self, name: str, data: Frame | None = None) -> None:
        self.events.append((name, data or {"member_id": "M1"}))
        for line in self.lines:
            line.send_live(self.head)

    def whisper(self, name: str, data: Frame) -> None:
        """An ephemeral event."""
        for line in self.lines:
            named = [sub for sub, events in line.live.items() if covers(events, name)]
            line.send_event(named, cloud_event(name, None, data), self.cursor(self.head))

    def release(self) -> None:
        """Answer every subscribe that was held."""
        self.hold_subscribes = False
        for line in self.lines:
            held, line.held = line.held, []
            for frame in held:
                line.subscribe(frame)

    def frame_event(self, seq: int) -> Frame:
        name, data = self.events[seq - 1]
        return cloud_event(name, seq, data, self.epoch)

    def connect(self) -> Line:
        line = Line(self)
        self.lines.append(line)
        return line


class Line:
    """One connection: frames in by `receive`, frames out in ``out``."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.out: deque[Frame] = deque()
        self.live: dict[str, list[str]] = {}
        self.frames: list[Frame] = []
        self.held: list[Frame] = []
        self.numbers = iter(range(1, 1_000_000))

    def receive(self, frame: Frame) -> None:
        self.frames.append(frame)
        match frame["type"]:
            case "connect":
                self.out.append(connected(frame["id"]))
            case "subscribe" if self.gateway.hold_subscribes:
                self.held.append(frame)
            case "subscribe":
                self.subscribe(frame)
            case "unsubscribe":
                if self.live.pop(frame["subscription_id"], None) is not None:
                    self.out.append({"type": "unsubscribed", "subscription_id": frame["subscription_id"], "reason": None})
            case "ack":
                self.gateway.acknowledged += frame["cursors"]
            case "ping":
                self.out.append({"type": "pong"})

    def subscribe(self, frame: Frame) -> None:
        gateway = self.gateway
        foreign = gateway.forbidden or frame["subscription"].get("member_id", "M1") != "M1"
        if foreign or (gateway.refuse_cursors and "cursor" in frame):
            code = "forbidden_or_missing" if foreign else "bad_cursor"
            refusal = {"code": code, "message": "refused", "retryable": False, "fatal": False}
            self.out.append({"type": "error", "id": frame["id"], **refusal})
            return
        start, recovered = self.start_of(frame)
        sub = f"sub_{next(self.numbers)}"
        events = frame["subscription"].get("events", ["*"])
        answer = {"subscription_id": sub, "timeline": "t1", "cursor": gateway.cursor(start), "recovered": recovered}
        self.out.append({"type": "subscribed", "id": frame["id"], **answer})
        for seq in range(start + 1, gateway.head + 1):
            if covers(events, gateway.events[seq - 1][0]):
                self.send_event([sub], gateway.frame_event(seq), gateway.cursor(seq))
        self.out.append({"type": "caught_up", "subscription_id": sub, "cursor": gateway.cursor(gateway.head)})
        self.live[sub] = events
        if gateway.ends_after_replay:
            del self.live[sub]
            self.out.append({"type": "unsubscribed", "subscription_id": sub, "reason": "relationship_ended"})

    def start_of(self, frame: Frame) -> tuple[int, bool | None]:
        gateway = self.gateway
        if "cursor" not in frame:
            return (gateway.pruned if frame.get("since") else gateway.head), None
        epoch, seq = (int(part) for part in frame["cursor"][1:].split("."))
        there = epoch == gateway.epoch and gateway.pruned <= seq <= gateway.head
        return (seq, True) if there else (gateway.head, False)

    def send_live(self, seq: int) -> None:
        name = self.gateway.events[seq - 1][0]
        named = [sub for sub, events in self.live.items() if covers(events, name)]
        self.send_event(named, self.gateway.frame_event(seq), self.gateway.cursor(seq))

    def send_event(self, named: list[str], event: Frame, cursor: str) -> None:
        if named:
            self.out.append({"type": "event", "subscription_ids": named, "cursor": cursor, "event": event})

    def send_positions(self) -> None:
        cursor = self.gateway.cursor(self.gateway.head)
        positions = [{"subscription_id": sub, "cursor": cursor} for sub in self.live]
        self.out.append({"type": "position", "positions": positions})

    def send_reset(self) -> None:
        cursor = self.gateway.cursor(self.gateway.head)
        self.out.append({"type": "reset", "subscription_ids": list(self.live), "cursor": cursor, "reason": "continuity_lost"})


def covers(events: Iterable[str], name: str) -> bool:
    return any(matches(pattern, name) for pattern in events)


def connected(answers: str | None = "connect", **fields: Any) -> Frame:
    frame: Frame = {
        "type": "connected",
        "id": answers,
        "connection_id": "conn_1",
        "subject": "M1",
        "expires_at": EXPIRES,
        "heartbeat_seconds": 30,
        "flags": {},
        "features": [],
    }
    return {**frame, **fields}


class Rig:
    """A core and a gateway with a wire between them that a test cuts where it likes. ``now`` moves only by hand."""

    def __init__(self, gateway: Gateway | None = None, *, renewable: bool = False, **reconnect: Any) -> None:
        self.gateway = gateway or Gateway()
        self.core = Protocol(Policy(**reconnect), {"client": {"name": "test"}}, renewable=renewable)
        self.now = 0.0
        self.line: Line | None = None
        self.upstream: deque[Frame] = deque()
        self.dials: list[Dial] = []
        self.items: dict[int, deque[Envelope | CaughtUp | Reset]] = {}
        self.handled: dict[int, list[Envelope]] = {}
        self.resets: dict[int, list[Reset]] = {}
        self.ended: dict[int, DigitalSessionError | None] = {}
        self.effects: list[Effect] = []

    def subscribe(self, events: list[str] | None = None, **track: Any) -> int:
        selection: Frame = {"type": "member", "member_id": "M1"}
        if events:
            selection["events"] = events
        local, effects = self.core.subscribe(Track(selection, **track))
        self.items[local], self.handled[local], self.resets[local] = deque(), [], []
        self.carry_out(effects)
        return local

    def carry_out(self, effects: list[Effect]) -> list[Effect]:
        self.effects += effects
        for effect in effects:
            match effect:
                case Send(frame):
                    self.upstream.append(json.loads(json.dumps(frame)))
                case Dial():
                    self.dials.append(effect)
                case Deliver(local, item):
                    self.items[local].append(item)
                case Ended(local, error):
                    self.ended[local] = error
                case Abort():
                    return effects + self.cut()
                case _:
                    pass
        return effects

    def open(self, token: str = "token") -> None:
        """The dialled connection comes about."""
        self.line = self.gateway.connect()
        self.upstream.clear()
        self.carry_out(self.core.opened(self.now, token, WALL))

    def cut(self, loss: Loss | None = None, jitter: float = 0.5) -> list[Effect]:
        """The connection is lost with everything on its way."""
        if self.line is not None:
            self.gateway.lines.remove(self.line)
        self.line = None
        return self.carry_out(self.core.closed(self.now, jitter, loss or Loss(code=1006)))

    def up(self) -> bool:
        """One frame from the client arrives."""
        if self.line is None or not self.upstream:
            return False
        self.line.receive(self.upstream.popleft())
        return True

    def down(self) -> bool:
        """One frame from the server arrives."""
        if self.line is None or not self.line.out:
            return False
        self.say(self.line.out.popleft())
        return True

    def say(self, frame: Frame) -> list[Effect]:
        return self.carry_out(self.core.received(self.now, json.dumps(frame)))

    def handle(self, local: int) -> bool:
        """The handler of this subscription finishes with one thing."""
        if not self.items[local]:
            return False
        match self.items[local].popleft():
            case Envelope() as envelope:
                self.handled[local].append(envelope)
                self.carry_out(self.core.handled(self.now, local))
            case Reset() as reset:
                self.resets[local].append(reset)
            case CaughtUp():
                pass
        return True

    def settle(self) -> None:
        """Connect if needed and let everything happen that can."""
        while True:
            if self.line is None and self.core.state not in {"idle", "closed", "failed"}:
                self.open()
            if not any([self.up(), self.down(), *[self.handle(local) for local in list(self.items)]]):
                return

    def advance(self, seconds: float) -> list[Effect]:
        """Time passes; timers fire when they are due."""
        end, effects = self.now + seconds, []
        while (deadline := self.core.deadline) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            effects += self.carry_out(self.core.tick(self.now))
        self.now = end
        return effects

    def live_for(self, seconds: float) -> list[Effect]:
        """Time passes on a connection whose server answers."""
        effects: list[Effect] = []
        end = self.now + seconds
        while self.now < end:
            effects += self.advance(min(10.0, end - self.now))
            self.settle()
        return effects

    def names(self, local: int) -> list[str]:
        return [envelope.name for envelope in self.handled[local]]

    def numbers(self, local: int) -> list[int]:
        return [envelope.key.seq for envelope in self.handled[local] if envelope.key is not None]

    def states(self) -> list[str]:
        return [effect.state for effect in self.effects if isinstance(effect, StateChanged)]

    def sent(self, kind: str) -> list[Frame]:
        """Frames of this type that the client wanted to send, ever."""
        return [dict(effect.frame) for effect in self.effects if isinstance(effect, Send) and effect.frame["type"] == kind]

    def count(self, kind: type[Effect]) -> int:
        return sum(isinstance(effect, kind) for effect in self.effects)
