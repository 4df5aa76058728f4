"""Commands and events as the store's tests need them: small, and their effect countable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping

from session_platform.contract import SessionActiveEvent, SessionCreatedEvent, TaskInProgressEvent
from session_platform.store import Reader, Store, Tx

PATIENCE_S = 20.0
"""After this long a test that waits for a thread has failed."""

Command = Callable[[Tx], list[int]]

# Not unique on purpose: an effect that took place twice shows.
_EFFECTS = "CREATE TABLE IF NOT EXISTS effect (command TEXT NOT NULL)"
_TAKE_EFFECT = "INSERT INTO effect (command) VALUES (:command)"
_COUNT_EFFECTS = "SELECT command, COUNT(*) FROM effect GROUP BY command"
_EVENTS = "SELECT timeline, seq, session_id FROM outbox ORDER BY id"


def created(member_id: str, session_id: str = "sess_1", intent: str = "check_coverage") -> SessionCreatedEvent:
    return SessionCreatedEvent(session_id=session_id, member_id=member_id, intent=intent)


def started(member_id: str, task_id: str = "task_1") -> TaskInProgressEvent:
    return TaskInProgressEvent(task_id=task_id, member_id=member_id, session_id="sess_1")


def active(member_id: str, session_id: str = "sess_1") -> SessionActiveEvent:
    return SessionActiveEvent(session_id=session_id, member_id=member_id)


def make_effects(tx: Tx) -> None:
    """Once a store: the table that `effect` writes to."""
    tx.execute(_EFFECTS)


def effect(name: str, *timelines: str) -> Command:
    """Takes one countable effect and emits one event on each timeline, with ``name`` as its session: the numbers they got."""

    def command(tx: Tx) -> list[int]:
        tx.execute(_TAKE_EFFECT, command=name)
        return [tx.emit(created(timeline, session_id=name)) for timeline in timelines]

    return command


def effects(reader: Reader) -> dict[str, int]:
    """How often each command took effect."""
    return {name: count for name, count in reader.all(_COUNT_EFFECTS)}


def emitted(reader: Reader) -> list[tuple[str, int, str]]:
    """Timeline, number and session of every event, in the order of the outbox."""
    return [(timeline, seq, session_id) for timeline, seq, session_id in reader.all(_EVENTS)]


class Gate:
    """Holds the writer inside a command, so that what is submitted meanwhile becomes one batch."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self._opened = threading.Event()

    def hold(self, _reader: Reader) -> None:
        """The command (or query)."""
        self.entered.set()
        assert self._opened.wait(PATIENCE_S)

    def open(self) -> None:
        self._opened.set()


def nothing() -> None:
    """What happens by default before a batch begins."""


async def run_as_one_batch(
    store: Store, commands: Mapping[str, Command], *timelines: str, before: Callable[[], None] = nothing
) -> dict[str, list[int] | BaseException]:
    """Submit all commands while the writer is held, call ``before``, let it go on: what each caller was told, by name."""
    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.entered.wait, PATIENCE_S)
    running = [asyncio.create_task(store.run(command, *timelines)) for command in commands.values()]
    await asyncio.sleep(0)
    before()
    gate.open()
    await holding
    return dict(zip(commands, await asyncio.gather(*running, return_exceptions=True), strict=True))
